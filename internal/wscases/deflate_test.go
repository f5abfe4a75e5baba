package wscases_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// deflater compresses messages (RFC 7692 §7.2.1), as a client does and, at the level
// of the server's library, as the server will.
type deflater struct {
	out   bytes.Buffer
	write *flate.Writer
	fresh bool // a window for each message
}

func newDeflater(t *testing.T, level int, fresh bool) *deflater {
	t.Helper()
	d := &deflater{fresh: fresh}
	var err error
	if d.write, err = flate.NewWriter(&d.out, level); err != nil {
		t.Fatal(err)
	}
	return d
}

// compress returns a message without the four bytes that each one ends with.
func (d *deflater) compress(message string) string {
	d.out.Reset()
	if d.fresh {
		d.write.Reset(&d.out)
	}
	_, _ = d.write.Write([]byte(message)) // to memory
	_ = d.write.Flush()                   // as above
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

// Sections 12 and 13: compressed messages (RFC 7692), by what the client offers.
// What the server sends is known to the byte: both compress with compress/flate.
func TestCompression(t *testing.T) {
	t.Parallel()
	ways := handled(t, http.HandlerFunc(echo))
	compare(t, ways, slices.Concat(sameMessages(t), unlikeMessages(t)))
}

// sameMessages are messages that go through compressed, of many sizes, whole and
// in fragments, with and without a window that lasts.
func sameMessages(t *testing.T) []play {
	t.Helper()
	var all []play
	for i, o := range []struct{ path, offer string }{
		{"/takeover", "permessage-deflate"},
		{"/takeover", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
		{"/takeover", "permessage-deflate; client_max_window_bits"},
		{"/fresh", "permessage-deflate"},
		{"/fresh", "permessage-deflate; client_no_context_takeover; client_max_window_bits=15"},
	} {
		fresh := o.path == "/fresh" || strings.Contains(o.offer, "client_no")
		for j, size := range []int{16, 64, 256, 1 << 10, 4 << 10, 64 << 10, 128 << 10} {
			client, server := newDeflater(t, flate.DefaultCompression, fresh), newDeflater(t, flate.BestSpeed, fresh)
			var steps []step
			var want []string
			for k := range 30 {
				message := repeated(size + k)[k:]
				packed := client.compress(message)
				cut := fragments(rsv1|text, packed, max(len(packed)/(k%3+1), 1))
				steps = append(steps, step{bytes: cut, await: 1})
				want = append(want, said(fin|rsv1|text, server.compress(message)))
				if size > 4<<10 && k == 4 {
					break // long ones take long
				}
			}
			steps = append(steps, step{bytes: normal})
			all = append(all, play{
				name: fmt.Sprintf("13.%d.%d %s %s, messages of %d bytes", i+1, j+1, o.path, o.offer, size), path: o.path, offer: o.offer,
				steps: steps, want: append(want, ended),
			})
		}
	}
	return all
}

// unlikeMessages are those that compression makes special.
func unlikeMessages(t *testing.T) []play {
	t.Helper()
	const offer = "permessage-deflate"
	packed := func(message string) string { return newDeflater(t, flate.DefaultCompression, true).compress(message) }
	back := func(message string) []string {
		return []string{said(fin|rsv1|text, newDeflater(t, flate.BestSpeed, true).compress(message)), ended}
	}
	const compressed = fin | rsv1 | text
	const thrice = "hello hello hello"
	half := len(packed(thrice)) / 2
	first, second := packed(thrice)[:half], packed(thrice)[half:]
	many := strings.Repeat("0", 16<<20)
	return []play{
		{name: "12 a message that is not compressed", path: "/takeover", offer: offer, steps: send(frame(fin|text, "hello"), normal), want: back("hello")},
		{name: "12 a ping between the frames of one", path: "/takeover", offer: offer, steps: send(frame(rsv1|text, first), frame(fin|ping, "p"), frame(fin|more, second), normal), want: append([]string{said(fin|pong, "p")}, back(thrice)...)},
		{name: "12 the bit without the offer", path: "/takeover", steps: send(frame(compressed, packed("hello"))), want: []string{violation}, loose: true},
		{name: "12 the bit in a later frame", path: "/takeover", offer: offer, steps: send(frame(rsv1|text, first), frame(fin|rsv1|more, second)), want: []string{violation}, loose: true},
		{name: "12 the bit of a ping", path: "/takeover", offer: offer, steps: send(frame(fin|rsv1|ping, "p")), want: []string{violation}, loose: true},
		{name: "12 text that is not UTF-8 when it is unpacked", path: "/takeover", offer: offer, steps: send(frame(compressed, packed("\xed\xa0\x80"))), want: []string{notTextual}, loose: true},
		{name: "12 what cannot be unpacked", path: "/takeover", offer: offer, steps: send(frame(compressed, "\xff\xff\xff\xff")), want: nil, loose: true, deviation: "closes without a close frame"},
		{name: "12 an offer that is not known", path: "/takeover", offer: "x-webkit-deflate-frame", steps: send(frame(fin|text, "hello"), normal), want: []string{said(fin|text, "hello"), ended}},
		{name: "12 an offer with what cannot be done, and one without", path: "/takeover", offer: "permessage-deflate; server_max_window_bits=8, permessage-deflate", steps: send(frame(compressed, packed("hello")), normal), want: back("hello")},
		{name: "12 a message that unpacks to much more than it is", path: "/takeover", offer: offer, steps: send(frame(compressed, packed(many)), normal), want: back(many)},
	}
}
