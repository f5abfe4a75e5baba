package wscases_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Section 7: how a connection is closed (RFC 6455 §5.5.1, §7).
func TestClosing(t *testing.T) {
	t.Parallel()
	compare(t, handled(t, http.HandlerFunc(echo)), slices.Concat(after(), closeFrames(), codes(), closedFirst()))
}

// after are sections 7.1 and 7.3 in part: nothing counts after a close frame.
func after() []play {
	hello, answer := frame(fin|text, "hello"), said(fin|text, "hello")
	long := strings.Repeat("*", 256<<10)
	return []play{
		{name: "7.1.1 after a message", steps: send(hello, normal), want: []string{answer, ended}},
		{name: "7.1.2 two close frames", steps: send(normal, normal), want: []string{ended}, loose: true},
		{name: "7.1.3 a ping after it", steps: send(normal, frame(fin|ping, "")), want: []string{ended}, loose: true},
		{name: "7.1.4 a message after it", steps: send(normal, hello), want: []string{ended}, loose: true},
		{name: "7.1.5 in the middle of a message", steps: send(frame(text, "fragment1"), normal, frame(fin|more, "fragment2")), want: []string{ended}, loose: true},
		{name: "7.1.6 a long message, another one, a close frame and a ping", steps: []step{
			{bytes: slices.Concat(frame(fin|text, long), hello), await: 2}, {bytes: slices.Concat(normal, frame(fin|ping, ""))},
		}, want: []string{said(fin|text, long), answer, ended}, loose: true},
		{name: "7 no close frame, only the end", steps: []step{{bytes: hello, await: 1}, {end: true}}, want: []string{answer}},
		{name: "7 no close frame, the end in the middle of a message", steps: []step{{bytes: frame(text, "fragment1"), end: true}}, want: []string{said(fin|text, "fragment1")}, deviation: "takes a message that breaks off between two frames for a whole one"},
		{name: "7 byte by byte", steps: chopped(1, hello, normal), want: []string{answer, ended}},
	}
}

// closeFrames are sections 7.3 and 7.5: what is in a close frame.
func closeFrames() []play {
	reason := strings.Repeat("*", 123)
	wrong := "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"
	return []play{
		{name: "7.3.1 nothing", steps: send(frame(fin|bye, "")), want: []string{said(fin|bye, "")}},
		{name: "7.3.2 one byte", steps: send(frame(fin|bye, "a")), want: []string{violation}, loose: true},
		{name: "7.3.3 a code", steps: send(normal), want: []string{ended}},
		{name: "7.3.4 a code and a reason", steps: send(closing(1000, "Hello World!")), want: []string{said(fin|bye, "\x03\xe8Hello World!")}},
		{name: "7.3.5 a reason as long as can be", steps: send(closing(1000, reason)), want: []string{said(fin|bye, "\x03\xe8"+reason)}},
		{name: "7.3.6 a reason that is longer", steps: send(closing(1000, reason+"*")), want: []string{violation}, loose: true},
		{name: "7.5.1 a reason that is not UTF-8", steps: send(closing(1000, wrong)), want: []string{said(fin|bye, "\x03\xe8"+wrong)}, deviation: "does not look whether a reason is UTF-8 (§5.5.1)"},
	}
}

// codes are sections 7.7, 7.9 and 7.13: which codes may be sent (RFC 6455 §7.4).
func codes() []play {
	var all []play
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		all = append(all, play{
			name: fmt.Sprintf("7.7.%d code %d", i+1, code), steps: send(closing(code, "why")),
			want: []string{fmt.Sprintf("88 %d %q", code, "why")},
		})
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999} {
		all = append(all, play{name: fmt.Sprintf("7.9.%d code %d", i+1, code), steps: send(closing(code, "")), want: []string{violation}, loose: true})
	}
	for i, code := range []uint16{5000, 65535} {
		all = append(all, play{name: fmt.Sprintf("7.13.%d code %d", i+1, code), steps: send(closing(code, "")), want: []string{violation}, loose: true})
	}
	return all
}

// closedFirst are closes that the server begins.
func closedFirst() []play {
	moving := said(fin|bye, "\x03\xe9moving")
	return []play{
		{name: "7 the server closes", path: "/bye", steps: []step{{await: 1}, {bytes: closing(1001, "")}}, want: []string{moving}, loose: true},
		{name: "7 the server closes, and the client only ends", path: "/bye", steps: []step{{await: 1}}, want: []string{moving}},
		{name: "7 the server closes while the client ends", path: "/bye", steps: []step{{end: true}}, want: []string{moving}},
		{name: "7 the server closes while the client pings", path: "/bye", steps: []step{{bytes: frame(fin|ping, "x"), await: 1}}, want: []string{moving}, loose: true},
		{name: "7 a message is too long for the server", path: "/small", steps: send(frame(fin|octets, strings.Repeat("x", 1100))), want: []string{closed(1009)}, loose: true},
		{name: "7 a message is much too long for the server", path: "/small", steps: send(frame(fin|octets, strings.Repeat("x", 4<<20))), want: []string{closed(1009)}, loose: true},
		{name: "7 a fragmented message is too long for the server", path: "/small", steps: send(fragments(text, strings.Repeat("x", 1100), 100)), want: []string{closed(1009)}, loose: true},
	}
}
