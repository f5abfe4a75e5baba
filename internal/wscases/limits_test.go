package wscases_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Section 9: long messages, many messages; and section 10: fragments of the
// server's own.
func TestLimits(t *testing.T) {
	t.Parallel()
	compare(t, handled(t, http.HandlerFunc(echo)), slices.Concat(longMessages(), manyMessages(), inPieces()))
}

// repeated is a text of so many bytes that does not repeat at the size of any
// buffer.
func repeated(size int) string {
	const period = "0123456789abcdefghijklmnopqrstuvwxyz*"
	return strings.Repeat(period, size/len(period)+1)[:size]
}

func longMessages() []play {
	var all []play
	add := func(section string, kind byte, size, fragment, chops int) {
		payload := repeated(size)
		name := fmt.Sprintf("%s %d bytes in frames of %d", section, size, fragment)
		if chops > 0 {
			name += fmt.Sprintf(", %d at once", chops)
		}
		all = append(all, play{
			name: name, want: []string{said(fin|kind, payload), ended},
			steps: []step{{bytes: fragments(kind, payload, fragment), chops: chops, await: 1}, {bytes: normal}},
		})
	}
	for i, size := range []int{64 << 10, 256 << 10, 1 << 20, 4 << 20} {
		add(fmt.Sprint("9.1.", i+1), text, size, size, 0)
		add(fmt.Sprint("9.2.", i+1), octets, size, size, 0)
	}
	add("9.1.6", text, 16<<20, 16<<20, 0)
	add("9.2.5", octets, 8<<20, 8<<20, 0)
	for i, fragment := range []int{64, 256, 1 << 10, 64 << 10, 256 << 10} {
		add(fmt.Sprint("9.3.", i+1), text, 1<<20, fragment, 0)
		add(fmt.Sprint("9.4.", i+1), octets, 1<<20, fragment, 0)
	}
	for i, chops := range []int{64, 512, 2048} {
		add(fmt.Sprint("9.5.", i+1), text, 128<<10, 128<<10, chops)
		add(fmt.Sprint("9.6.", i+1), octets, 128<<10, 128<<10, chops)
	}
	return all
}

// manyMessages go back and forth, one after the other or all at once.
func manyMessages() []play {
	var all []play
	for i, size := range []int{0, 16, 64, 256, 1024, 4096} {
		for section, kind := range map[string]byte{"9.7": text, "9.8": octets} {
			payload := repeated(size)
			waits, want := make([]step, 200), slices.Repeat([]string{said(fin|kind, payload)}, 200)
			for j := range waits {
				waits[j] = step{bytes: frame(fin|kind, payload), await: 1}
			}
			want = append(want, ended)
			name := fmt.Sprintf("%s.%d 200 messages of %d bytes", section, i+1, size)
			all = append(
				all,
				play{name: name + ", each one waited for", steps: append(waits, step{bytes: normal}), want: want},
				play{name: name + " at once", steps: send(slices.Repeat(frame(fin|kind, payload), 200), normal), want: want},
			)
		}
	}
	return all
}

// inPieces is section 10: the server sends frames of 1300 bytes.
func inPieces() []play {
	var all []play
	for i, size := range []int{65536, 1300, 1301, 0} {
		payload := repeated(size)
		var want []string
		first := byte(text)
		for rest := payload; len(rest) > 0 && size > 1300; rest = rest[min(1300, len(rest)):] {
			want = append(want, said(first, rest[:min(1300, len(rest))]))
			first = more
		}
		if size > 1300 {
			want = append(want, said(fin|more, ""))
		} else {
			want = append(want, said(fin|text, payload))
		}
		all = append(all, play{
			name: fmt.Sprintf("10.1.%d %d bytes", i+1, size), path: "/pieces",
			steps: send(frame(fin|text, payload), normal), want: append(want, ended),
		})
	}
	return all
}
