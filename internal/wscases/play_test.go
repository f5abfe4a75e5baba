package wscases_test

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// play is a case: what a client says, and what it has to hear.
type play struct {
	name  string
	path  string // default: /echo
	offer string // of extensions; default: none
	steps []step
	// want are the frames that have to come. A close frame may be given without
	// its reason, for reasons are the server's own.
	want []string
	// loose: the client goes on after the server has closed, so that it is chance
	// whether the connection ends in order or is reset.
	loose bool
	// deviation is why the server's library does not do what the RFC asks for, and
	// so what is wanted is what the library does.
	deviation string
}

// step of a client: it sends something, and then waits for so many frames.
type step struct {
	bytes []byte
	chops int  // bytes that are sent at once; default: all of them
	end   bool // of what it says: the sending side of the connection is closed
	await int
}

// send is what most cases do: everything at once.
func send(pieces ...[]byte) []step { return []step{{bytes: slices.Concat(pieces...)}} }

// chopped sends everything in pieces of n bytes.
func chopped(n int, pieces ...[]byte) []step {
	return []step{{bytes: slices.Concat(pieces...), chops: n}}
}

// each sends frames one by one.
func each(pieces ...[]byte) []step {
	var all []step
	for _, p := range pieces {
		all = append(all, step{bytes: p})
	}
	return all
}

// request returns a client's handshake (RFC 6455 §4.1).
func request(path string, lines ...string) string {
	lines = append([]string{
		"GET " + path + " HTTP/1.1", "Host: localhost", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key,
	}, lines...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// key is that of RFC 6455 §1.3, and accepted what is answered to it.
const (
	key      = "dGhlIHNhbXBsZSBub25jZQ=="
	accepted = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgraded is a client whose handshake was accepted.
type upgraded struct {
	connection
	in *bufio.Reader
}

// upgrade asks for the switch, and sends more without waiting for the answer.
func (r road) upgrade(t *testing.T, head string, more []byte) upgraded {
	t.Helper()
	conn := r.dial(t)
	if _, err := conn.Write(append([]byte(head), more...)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s: the handshake is answered %v, %v", r.name, resp, err)
	}
	return upgraded{conn, in}
}

// on plays a case on a road.
func (p play) on(t *testing.T, r road) heard {
	t.Helper()
	path := p.path
	if path == "" {
		path = "/echo"
	}
	head := request(path)
	if p.offer != "" {
		head = request(path, "Sec-WebSocket-Extensions: "+p.offer)
	}
	h := r.upgrade(t, head, nil).play(p.steps)
	if p.loose && h.End == "reset" {
		h.End = "eof"
	}
	return h
}

// play takes the steps, and hears the server out. A close frame ends what the
// client says.
func (u upgraded) play(steps []step) heard {
	var h heard
	came := make(chan bool, 1<<16)
	ended := make(chan bool)
	go func() {
		defer close(ended)
		for h.End == "" {
			first, payload, err := h.readFrame(u.in)
			if err != nil {
				h.End = ending(err)
				break
			}
			h.Frames = append(h.Frames, line(first, payload))
			came <- true
			if first&0xf == bye {
				_ = u.CloseWrite() // the server may have gone already
			}
		}
	}()
	for _, s := range steps {
		u.say(s)
		for range s.await {
			select {
			case <-came:
			case <-ended:
			}
		}
	}
	<-ended
	_ = u.Close()
	return h
}

// say sends the bytes of a step. If that fails, the server has gone.
func (u upgraded) say(s step) {
	size := s.chops
	if size == 0 {
		size = max(len(s.bytes), 1)
	}
	for piece := range slices.Chunk(s.bytes, size) {
		if _, err := u.Write(piece); err != nil {
			return
		}
	}
	if s.end {
		_ = u.CloseWrite() // as above
	}
}

// compare plays cases on all roads.
func compare(t *testing.T, ways []road, plays []play) {
	t.Helper()
	t.Logf("%d cases", len(plays))
	for _, p := range plays {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			straight := p.on(t, ways[0])
			p.check(t, straight)
			for _, way := range ways[1:] {
				if diff := cmp.Diff(straight, p.on(t, way)); diff != "" {
					t.Errorf("%s: it is answered otherwise than on the direct way (-direct +this):\n%s", way.name, diff)
				}
			}
		})
	}
}

// check compares what was heard with what the RFC asks for.
func (p play) check(t *testing.T, h heard) {
	t.Helper()
	same := len(p.want) == len(h.Frames) && h.End == "eof"
	for i := range p.want {
		same = same && strings.HasPrefix(h.Frames[i], p.want[i])
	}
	if !same {
		t.Errorf("the server answers %q and then %s, want %q (deviation: %q)", h.Frames, h.End, p.want, p.deviation)
	}
}
