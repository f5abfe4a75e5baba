package wscases_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// normal is the end of a case that goes well.
var (
	normal     = closing(1000, "")
	ended      = said(fin|bye, "\x03\xe8")
	violation  = closed(1002)
	notTextual = closed(1007)
)

// Sections 1 to 5: frames, and how messages are made of them.
func TestFrames(t *testing.T) {
	t.Parallel()
	compare(t, handled(t, http.HandlerFunc(echo)), slices.Concat(framing(), pings(), reserved(), opcodes(), fragmented()))
}

// framing is section 1: messages of lengths at which the form of a length changes.
func framing() []play {
	var all []play
	for section, kind := range map[string]byte{"1.1": text, "1.2": octets} {
		for i, size := range []int{0, 125, 126, 127, 128, 65535, 65536} {
			payload := strings.Repeat("*", size)
			all = append(all, play{
				name:  fmt.Sprintf("%s.%d %d bytes", section, i+1, size),
				steps: send(frame(fin|kind, payload), normal),
				want:  []string{said(fin|kind, payload), ended},
			})
		}
		payload := strings.Repeat("*", 65536)
		all = append(all, play{
			name:  section + ".8 65536 bytes in pieces of 997",
			steps: chopped(997, frame(fin|kind, payload), normal),
			want:  []string{said(fin|kind, payload), ended},
		})
	}
	longer := slices.Concat(header(fin|text, 5, 127), mask[:], frame(fin|text, "hello")[6:])
	negative := slices.Concat(header(fin|octets, 1<<63|5, 127), mask[:], []byte("hello"))
	return append(
		all,
		play{name: "1 a length in a longer form than it needs", steps: send(longer, normal), want: []string{said(fin|text, "hello"), ended}, deviation: "RFC 6455 §5.2 asks for the shortest form; the library takes any"},
		play{name: "1 a length with its highest bit set", steps: send(negative), want: nil, loose: true, deviation: "closes without a close frame; 1002 may be said before (§7.1.7)"},
		play{name: "1 a frame that is not masked", steps: send([]byte{fin | text, 5}, []byte("hello")), want: nil, loose: true, deviation: "closes without a close frame; §5.1 allows it"},
		play{name: "1 a frame that ends too soon", steps: []step{{bytes: frame(fin|text, "hello")[:8], end: true}}, want: nil},
	)
}

// pings is section 2.
func pings() []play {
	nonText := "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
	full := strings.Repeat("\xfe", 125)
	var ten []byte
	var answers []string
	for i := range 10 {
		payload := "payload-" + strconv.Itoa(i)
		ten = append(ten, frame(fin|ping, payload)...)
		answers = append(answers, said(fin|pong, payload))
	}
	answers = append(answers, ended)
	return []play{
		{name: "2.1 empty", steps: send(frame(fin|ping, ""), normal), want: []string{said(fin|pong, ""), ended}},
		{name: "2.2 with text", steps: send(frame(fin|ping, "Hello, world!"), normal), want: []string{said(fin|pong, "Hello, world!"), ended}},
		{name: "2.3 with bytes that are no text", steps: send(frame(fin|ping, nonText), normal), want: []string{said(fin|pong, nonText), ended}},
		{name: "2.4 with 125 bytes", steps: send(frame(fin|ping, full), normal), want: []string{said(fin|pong, full), ended}},
		{name: "2.5 with 126 bytes", steps: send(frame(fin|ping, full+"\xfe"), normal), want: []string{violation}, loose: true},
		{name: "2.6 with 125 bytes, byte by byte", steps: chopped(1, frame(fin|ping, full), normal), want: []string{said(fin|pong, full), ended}},
		{name: "2.7 a pong that nobody asked for, empty", steps: send(frame(fin|pong, ""), normal), want: []string{ended}},
		{name: "2.8 a pong that nobody asked for", steps: send(frame(fin|pong, "unsolicited"), normal), want: []string{ended}},
		{name: "2.9 a pong that nobody asked for, and a ping", steps: send(frame(fin|pong, "unsolicited"), frame(fin|ping, "ping"), normal), want: []string{said(fin|pong, "ping"), ended}},
		{name: "2.10 ten", steps: send(ten, normal), want: answers},
		{name: "2.11 ten, byte by byte", steps: chopped(1, ten, normal), want: answers},
	}
}

// reserved is section 3: bits that mean nothing (RFC 6455 §5.2).
func reserved() []play {
	first, second, third := frame(fin|text, "small"), frame(fin|rsv2|text, "small"), frame(fin|ping, "")
	answer := said(fin|text, "small")
	return []play{
		{name: "3.1 the third bit", steps: send(frame(fin|rsv3|text, "small")), want: []string{violation}, loose: true},
		{name: "3.2 the second bit, after a message", steps: send(first, second, third), want: []string{answer, violation}, loose: true},
		{name: "3.3 the second bit, frame by frame", steps: each(first, second, third), want: []string{answer, violation}, loose: true},
		{name: "3.4 two bits, byte by byte", steps: chopped(1, first, frame(fin|rsv2|rsv3|text, "small"), third), want: []string{answer, violation}, loose: true},
		{name: "3.5 the first and third bit", steps: send(frame(fin|rsv1|rsv3|octets, "\x00\xff\xfe")), want: []string{violation}, loose: true},
		{name: "3.6 two bits of a ping", steps: send(frame(fin|rsv1|rsv2|ping, "")), want: []string{violation}, loose: true},
		{name: "3.7 all bits of a close frame", steps: send(frame(fin|rsv1|rsv2|rsv3|bye, "\x03\xe8")), want: []string{violation}, loose: true},
	}
}

// opcodes is section 4: kinds of frames that mean nothing.
func opcodes() []play {
	var all []play
	for section, codes := range map[string][]byte{"4.1": {3, 4, 5, 6, 7}, "4.2": {11, 12, 13, 14, 15}} {
		for i, code := range codes {
			payload, chops, want := "", 0, []string{violation}
			var before []byte
			if i%2 == 1 {
				payload = "reserved"
			}
			if i >= 2 {
				before = frame(fin|text, "before")
				want = []string{said(fin|text, "before"), violation}
			}
			if i == 4 {
				chops = 1
			}
			all = append(all, play{
				name:  fmt.Sprintf("%s.%d kind %d", section, i+1, code),
				steps: []step{{bytes: slices.Concat(before, frame(fin|code, payload), frame(fin|ping, "")), chops: chops}},
				want:  want, loose: true,
			})
		}
	}
	return all
}

// fragmented is section 5.
func fragmented() []play {
	a, b := frame(text, "fragment1"), frame(fin|more, "fragment2")
	whole := said(fin|text, "fragment1fragment2")
	question, answer := frame(fin|ping, "ping"), said(fin|pong, "ping")
	hello := frame(fin|text, "hello")
	five := [][]byte{frame(text, "1"), frame(more, "2"), question, frame(more, "3"), frame(more, "4"), question, frame(fin|more, "5"), normal}
	of5 := []string{answer, answer, said(fin|text, "12345"), ended}
	waits := each(five...)
	waits[2].await, waits[5].await = 1, 1
	fails := []string{violation}
	var all []play
	add := func(name string, want []string, steps ...[]step) {
		for i, s := range steps {
			p := play{name: name, steps: s, want: want, loose: want[len(want)-1] == violation}
			if i > 0 {
				p.name += []string{"", ", frame by frame", ", byte by byte"}[i]
			}
			all = append(all, p)
		}
	}
	ways := func(frames ...[]byte) [][]step {
		return [][]step{send(frames...), each(frames...), chopped(1, frames...)}
	}
	add("5.1 a ping in two frames", fails, send(frame(ping, "a"), b))
	add("5.2 a pong in two frames", fails, send(frame(pong, "a"), b))
	add("5.3-5.5 a message in two", []string{whole, ended}, ways(a, b, normal)...)
	add("5.6-5.8 a ping in the middle", []string{answer, whole, ended}, ways(a, question, b, normal)...)
	add("5.9-5.11 the last frame of nothing", fails, ways(frame(fin|more, "x"), hello)...)
	add("5.12-5.14 a middle frame of nothing", fails, ways(frame(more, "x"), hello)...)
	add("5.15 a middle frame of nothing, after a message", []string{whole, violation}, send(a, b, frame(more, "x"), hello))
	add("5.16 a middle frame of nothing, before one that is whole", fails, send(frame(more, "x"), hello, frame(fin|more, "y"), hello))
	add("5.17 the last frame of nothing, twice", fails, send(frame(fin|more, "x"), hello, frame(fin|more, "y"), hello))
	add("5.18 a message within a message", fails, send(a, frame(fin|text, "fragment2")))
	add("5.19 five frames, and pings that are waited for", of5, waits)
	add("5.20 five frames and pings", of5, ways(five...)...)
	add("5 empty frames of a message", []string{said(fin|text, ""), ended}, send(frame(text, ""), frame(more, ""), frame(fin|more, ""), normal))
	return all
}
