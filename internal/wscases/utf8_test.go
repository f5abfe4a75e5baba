package wscases_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// kosme is text whose letters take one to three bytes.
const kosme = "κόσμε"

// mixed is text whose letters take one and two bytes.
const mixed = "Hello-µ@ßöäüàá-UTF-8!!"

// Section 6: text is UTF-8 (RFC 6455 §8.1), and what is not ends the connection.
func TestUTF8(t *testing.T) {
	t.Parallel()
	compare(t, handled(t, http.HandlerFunc(echo)), slices.Concat(split(), failFast(), sequences()))
}

// split are sections 6.1 to 6.3: where frames are cut does not matter.
func split() []play {
	wrong := kosme + "\xed\xa0\x80edited"
	whole := func(payload string) []string { return []string{said(fin|text, payload), ended} }
	fails := []string{notTextual}
	return []play{
		{name: "6.1.1 nothing", steps: send(frame(fin|text, ""), normal), want: whole("")},
		{name: "6.1.2 nothing, in three frames", steps: send(frame(text, ""), frame(more, ""), frame(fin|more, ""), normal), want: whole("")},
		{name: "6.1.3 text between empty frames", steps: send(frame(text, ""), frame(more, "middle"), frame(fin|more, ""), normal), want: whole("middle")},
		{name: "6.2.1 one frame", steps: send(frame(fin|text, mixed), normal), want: whole(mixed)},
		{name: "6.2.2 two frames, between letters", steps: send(frame(text, mixed[:7]), frame(fin|more, mixed[7:]), normal), want: whole(mixed)},
		{name: "6.2.3 a frame for each byte", steps: send(fragments(text, mixed, 1), normal), want: whole(mixed)},
		{name: "6.2.4 a frame for each byte of longer letters", steps: send(fragments(text, kosme, 1), normal), want: whole(kosme)},
		{name: "6.2 byte by byte", steps: chopped(1, frame(fin|text, mixed), normal), want: whole(mixed)},
		{name: "6.3.1 what is not UTF-8", steps: send(frame(fin|text, wrong), normal), want: fails, loose: true},
		{name: "6.3.2 what is not UTF-8, a frame for each byte", steps: send(fragments(text, wrong, 1), normal), want: fails, loose: true},
	}
}

// failFast is section 6.4: the connection ends with the frame that cannot become
// text any more, not with the message.
func failFast() []play {
	fails := []string{notTextual}
	parts := func(one, two, three string) []step {
		s := each(frame(text, one), frame(more, two), frame(fin|more, three))
		s[1].await = 1
		return s
	}
	inFrame := func(one, two, three string) []step {
		all, from := frame(fin|text, one+two+three), 6
		return each(all[:from+len(one)], all[from+len(one):from+len(one)+len(two)], all[from+len(one)+len(two):])
	}
	late := "does not look before the frame is whole, which §8.1 allows"
	return []play{
		{name: "6.4.1 a letter that cannot be, in the second of three frames", steps: parts(kosme, "\xf4\x90\x80\x80", "edited"), want: fails, loose: true},
		{name: "6.4.2 its first two bytes only", steps: parts(kosme+"\xf4", "\x90", "\x80\x80edited"), want: fails, loose: true},
		{name: "6.4.3 within a frame", steps: inFrame(kosme, "\xf4\x90\x80\x80", "edited"), want: fails, loose: true, deviation: late},
		{name: "6.4.4 within a frame, its first two bytes only", steps: inFrame(kosme+"\xf4", "\x90", "\x80\x80edited"), want: fails, loose: true, deviation: late},
	}
}

// sequences are sections 6.5 to 6.23, each in one frame and in one for each byte.
func sequences() []play {
	var all []play
	for _, s := range bySection() {
		for i, payload := range s.payloads {
			want := []string{said(fin|text, payload), ended}
			if !s.valid {
				want = []string{notTextual}
			}
			for _, way := range []string{"", " by bytes"} {
				steps := send(frame(fin|text, payload), normal)
				if way != "" {
					steps = send(fragments(text, payload, 1), normal)
				}
				name := fmt.Sprintf("%s.%d %s %s%s", s.section, i+1, s.what, hex.EncodeToString([]byte(payload)), way)
				all = append(all, play{name: name, steps: steps, want: want, loose: !s.valid})
			}
		}
	}
	return all
}

// sequence is a section, with text of one kind.
type sequence struct {
	section, what string
	valid         bool
	payloads      []string
}

func bySection() []sequence {
	prefixes, broken := cut(kosme)
	long := []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}
	lone := lonely()
	short := tooShort()
	return []sequence{
		{"6.5", "valid", true, []string{"hello world", "hello$world", "hello¢world", "hello€world", "hello\U00024B62world"}},
		{"6.6", "beginnings of a text that are text", true, prefixes},
		{"6.6", "beginnings of a text that are not", false, broken},
		{"6.7", "the first of its length", true, []string{"\x00", "\u0080", "\u0800", "\U00010000"}},
		{"6.8", "the first of five and six bytes", false, long},
		{"6.9", "the last of its length", true, []string{"\x7f", "\u07ff", "\uffff", "\U0010ffff"}},
		{"6.10", "the last of lengths that cannot be", false, []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
		{"6.11", "at the edges", true, []string{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff"}},
		{"6.11", "past the edge", false, []string{"\xf4\x90\x80\x80"}},
		{"6.12", "bytes that only go on", false, lone},
		{"6.13", "first bytes alone", false, firsts()},
		{"6.14", "the last byte is missing", false, short},
		{"6.15", "all of those", false, []string{strings.Join(short, "")}},
		{"6.16", "bytes that cannot be", false, []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
		{"6.17", "slashes in more bytes than needed", false, []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
		{"6.18", "the last in more bytes than needed", false, []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
		{"6.19", "zero in more bytes than needed", false, []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
		{"6.20", "single surrogates", false, []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"}},
		{"6.21", "pairs of surrogates", false, []string{"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf", "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"}},
		{"6.22", "code points that are no characters", true, noncharacters()},
		{"6.23", "the sign for what is not text", true, []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
	}
}

// cut returns all beginnings of a text: those that are text, and those that end
// within a letter.
func cut(whole string) (valid, broken []string) {
	for i := 1; i <= len(whole); i++ {
		if utf8.ValidString(whole[:i]) {
			valid = append(valid, whole[:i])
		} else {
			broken = append(broken, whole[:i])
		}
	}
	return valid, broken
}

// lonely are bytes that go on with a letter which has not begun.
func lonely() []string {
	out := []string{"\x80", "\xbf"}
	for n := 2; n < 7; n++ {
		out = append(out, strings.Repeat("\x80\xbf", 4)[:n])
	}
	var all []byte
	for b := 0x80; b < 0xc0; b++ {
		all = append(all, byte(b))
	}
	return append(out, string(all))
}

// firsts are all first bytes of a length, each with a space behind.
func firsts() []string {
	var out []string
	for _, edge := range [][2]int{{0xc0, 0xe0}, {0xe0, 0xf0}, {0xf0, 0xf8}, {0xf8, 0xfc}, {0xfc, 0xfe}} {
		var s []byte
		for b := edge[0]; b < edge[1]; b++ {
			s = append(s, byte(b), ' ')
		}
		out = append(out, string(s))
	}
	return out
}

// tooShort are the first and the last letter of each length without the last byte.
func tooShort() []string {
	return []string{
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
}

// noncharacters are the last two code points of each plane: they are valid.
func noncharacters() []string {
	var out []string
	for plane := rune(0); plane <= 16; plane++ {
		out = append(out, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return out
}
