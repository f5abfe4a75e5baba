package wscases_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// switched is the answer of a server that switches.
const switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accepted + "\r\n\r\n"

// spoken serves connections with a function, which gets each one when it has read
// the request, and answers that itself.
func spoken(t *testing.T, serve func(conn halfCloser, in *bufio.Reader)) []road {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	return roads(t, func(l net.Listener) {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				in := bufio.NewReader(conn)
				if _, err := http.ReadRequest(in); err == nil {
					serve(conn.(halfCloser), in)
				}
			})
		}
	})
}

// say writes, for a server whose client may be gone.
func say(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// everyWay runs a test on each road.
func everyWay(t *testing.T, ways []road, test func(t *testing.T, r road)) {
	t.Helper()
	for _, r := range ways {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			test(t, r)
		})
	}
}

// What the server sends with its 101, in the same segment, is the client's.
func TestFramesWithTheSwitch(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, 4000, 4096, 5000, 100_000} {
		message := strings.Repeat("w", size)
		ways := spoken(t, func(conn halfCloser, _ *bufio.Reader) { say(conn, switched+message) })
		everyWay(t, ways, func(t *testing.T, r road) {
			if got, err := io.ReadAll(r.upgrade(t, request("/"), nil).in); string(got) != message || err != nil {
				t.Errorf("%d of %d bytes came, and %v", len(got), size, err)
			}
		})
	}
}

// What the client sends with its handshake, before it knows the answer, is the
// server's, in order with the rest.
func TestFramesWithTheHandshake(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, 3900, 4096, 5000, 100_000} {
		early := strings.Repeat("e", size)
		ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
			say(conn, switched)
			got := make([]byte, size+len("late"))
			n, _ := io.ReadFull(in, got) // what is missing shows
			say(conn, string(got[:n]))
		})
		everyWay(t, ways, func(t *testing.T, r road) {
			u := r.upgrade(t, request("/"), []byte(early))
			say(u, "late")
			if got, err := io.ReadAll(u.in); string(got) != early+"late" || err != nil {
				t.Errorf("%d of %d bytes came back, and %v", len(got), size+4, err)
			}
		})
	}
}

// A byte passes without waiting for the next one, both ways.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		for {
			b, err := in.ReadByte()
			if err != nil {
				return
			}
			say(conn, string([]byte{b ^ 0x55}))
		}
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		u := r.upgrade(t, request("/"), nil)
		for i := range 256 {
			say(u, string([]byte{byte(i)}))
			if got, err := u.in.ReadByte(); got != byte(i)^0x55 || err != nil {
				t.Fatalf("byte %d came back as %d, %v", i, got, err)
			}
		}
	})
}

// Both sides send at the same time, and neither waits for the other.
func TestBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	noise := func(seed byte) []byte {
		out := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(out)
		return out
	}
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		var sending sync.WaitGroup
		sending.Go(func() { say(conn, string(noise(1))) })
		got := make([]byte, size)
		_, _ = io.ReadFull(in, got)
		sending.Wait()
		sum := sha256.Sum256(got)
		say(conn, string(sum[:]))
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		u := r.upgrade(t, request("/"), nil)
		var sending sync.WaitGroup
		sending.Go(func() { say(u, string(noise(2))) })
		got, err := io.ReadAll(u.in)
		sending.Wait()
		sum := sha256.Sum256(noise(2))
		if want := append(noise(1), sum[:]...); !bytes.Equal(got, want) || err != nil {
			t.Errorf("%d bytes came, and %v; or the server got other ones", len(got), err)
		}
	})
}

// However both sides cut what they say, it is the same bytes in the same order.
func TestAnyPieces(t *testing.T) {
	t.Parallel()
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		for {
			size, err := in.ReadByte()
			if err != nil {
				return
			}
			piece := make([]byte, 256*int(size))
			if _, err := io.ReadFull(in, piece); err != nil {
				return
			}
			say(conn, string(piece))
		}
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		u := r.upgrade(t, request("/"), nil)
		rapid.Check(t, func(rt *rapid.T) {
			size := rapid.ByteMax(200).Draw(rt, "size")
			message := bytes.Repeat([]byte{size, size ^ 0xff}, 128*int(size))
			rest := append([]byte{size}, message...)
			for len(rest) > 0 {
				n := rapid.IntRange(1, len(rest)).Draw(rt, "piece")
				_, _ = u.Write(rest[:n]) // what is missing shows
				rest = rest[n:]
			}
			got := make([]byte, len(message))
			if _, err := io.ReadFull(u.in, got); err != nil || !bytes.Equal(got, message) {
				rt.Fatalf("%d bytes came back otherwise, or not: %v", len(message), err)
			}
		})
	})
}

// The end of what the client says reaches the server, which may answer still.
func TestClientEndsItsSide(t *testing.T) {
	t.Parallel()
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		got, err := io.ReadAll(in)
		if err != nil {
			return
		}
		for range 100 {
			say(conn, string(got))
		}
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		u := r.upgrade(t, request("/"), nil)
		say(u, "question")
		_ = u.CloseWrite()
		if got, err := io.ReadAll(u.in); string(got) != strings.Repeat("question", 100) || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The end of what the server says reaches the client, which may answer still.
func TestServerEndsItsSide(t *testing.T) {
	t.Parallel()
	answers := make(chan string, 1)
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched+"question")
		_ = conn.CloseWrite()
		got, _ := io.ReadAll(in) // what is missing shows
		answers <- string(got)
	})
	for _, r := range ways { // one after the other: they share the answers
		t.Run(r.name, func(t *testing.T) {
			u := r.upgrade(t, request("/"), nil)
			if got, err := io.ReadAll(u.in); string(got) != "question" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			say(u, strings.Repeat("answer", 100))
			_ = u.CloseWrite()
			if got := <-answers; got != strings.Repeat("answer", 100) {
				t.Errorf("the server heard %q", got)
			}
		})
	}
}

// A client that breaks off ends the server's connection.
func TestClientBreaksOff(t *testing.T) {
	t.Parallel()
	over := make(chan error, 1)
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		_, err := io.Copy(io.Discard, in)
		over <- err
	})
	for _, r := range ways { // as above
		t.Run(r.name, func(t *testing.T) {
			u := r.upgrade(t, request("/"), nil)
			say(u, "half a fra")
			u.abort()
			if ended := ending(errors.Join(<-over, io.EOF)); ended == "silence" {
				t.Error("the server was not told")
			}
		})
	}
}

// A server that breaks off ends the client's connection.
func TestServerBreaksOff(t *testing.T) {
	t.Parallel()
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		_, _ = in.ReadByte()
		raw, ok := conn.(*net.TCPConn)
		if !ok {
			raw = conn.(interface{ NetConn() net.Conn }).NetConn().(*net.TCPConn)
		}
		_ = raw.SetLinger(0)
		_ = raw.Close()
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		u := r.upgrade(t, request("/"), nil)
		say(u, "x")
		if _, err := io.ReadAll(u.in); ending(errors.Join(err, io.EOF)) == "silence" {
			t.Error("the client was not told")
		}
	})
}

// A server that has had enough says so and closes, while the client is sending
// still: the client has to hear why. Closing with bytes unread resets the
// connection, so that whoever passes bytes on sees its writing fail before it has
// read the server's last words.
func TestLastWords(t *testing.T) {
	t.Parallel()
	words := string([]byte{fin | bye, 9, 0x03, 0xf1}) + "too big"
	ways := spoken(t, func(conn halfCloser, in *bufio.Reader) {
		say(conn, switched)
		_, _ = io.ReadFull(in, make([]byte, 64<<10))
		say(conn, words)
	})
	everyWay(t, ways, func(t *testing.T, r road) {
		for i := range 30 {
			u := r.upgrade(t, request("/"), nil)
			var sending sync.WaitGroup
			sending.Go(func() {
				for range 16 {
					if _, err := u.Write(make([]byte, 64<<10)); err != nil {
						return
					}
				}
			})
			got, err := io.ReadAll(u.in)
			_ = u.Close()
			sending.Wait()
			if string(got) != words {
				t.Fatalf("the client heard %q, %v the %d. time", got, err, i+1)
			}
		}
	})
}
