package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/banyanhq/banyan/gateway"
)

// pipes is a listener of connections in memory, so that time can be a test's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// overTwo runs a handler behind a front and returns a client that speaks HTTP/2
// with it. It belongs into a bubble.
func overTwo(t *testing.T, h http.HandlerFunc) *http.Client {
	t.Helper()
	f, err := gateway.NewFront(h, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := pipes{make(chan net.Conn), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, p) }()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		p.conns <- server
		return client, nil
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return &http.Client{Transport: transport}
}

// endless is a body that sends a byte now and then.
type endless struct{ every time.Duration }

func (e endless) Read(p []byte) (int, error) {
	timer := time.NewTimer(e.every)
	<-timer.C
	return copy(p, "x"), nil
}

// Over HTTP/2 too a client that is slow with its body, or takes nothing of an
// answer, loses its stream, and no other.
func TestSlowStreams(t *testing.T) {
	t.Parallel()
	const grace, second = 5 * time.Second, time.Second
	big := bytes.Repeat([]byte("x"), 1<<20)
	for name, c := range map[string]struct {
		kind  string
		body  io.Reader
		limit time.Duration // how long the handler is held; 0: for ever
	}{
		"silent":       {"", endless{time.Hour}, grace},
		"slow":         {"", endless{second}, grace},
		"quick enough": {"", io.LimitReader(endless{2 * time.Millisecond}, 20_000), 0},
		"short":        {"", strings.NewReader("hello"), 0},
		"gRPC":         {"application/grpc", io.LimitReader(endless{time.Minute}, 5), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				held := make(chan error, 1)
				begin := time.Now()
				client := overTwo(t, func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					if took := time.Since(begin); c.limit > 0 && (took < c.limit || took > c.limit+second) {
						t.Errorf("the body was read for %v, want %v", took, c.limit)
					}
					held <- err
				})
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", c.body)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", c.kind)
				if resp, err := client.Do(r); err == nil {
					_ = resp.Body.Close()
				}
				if err := <-held; (err != nil) != (c.limit > 0) {
					t.Errorf("the body ended with %v", err)
				}
				time.Sleep(time.Hour + second) // of the bubble: the body's last Read ends
			})
		})
	}
	t.Run("no read", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			held := make(chan time.Duration, 1)
			client := overTwo(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/big" {
					return
				}
				begin := time.Now()
				for {
					if _, err := w.Write(big); err != nil {
						break
					}
				}
				held <- time.Since(begin)
			})
			resp, err := client.Get("http://x/big")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if took, want := <-held, grace+time.Duration(len(big)/240)*second; took > want+second {
				t.Errorf("the handler was held for %v, want at most %v", took, want)
			}
			if other, err := client.Get("http://x/"); err != nil || other.StatusCode != http.StatusOK {
				t.Errorf("another stream of the connection: %v", err)
			}
		})
	})
	t.Run("pause", func(t *testing.T) { // an answer may pause as long as it likes
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			client := overTwo(t, func(w http.ResponseWriter, _ *http.Request) {
				for range 3 {
					_, _ = io.WriteString(w, "piece ")
					if err := http.NewResponseController(w).Flush(); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Hour)
				}
			})
			resp, err := client.Get("http://x/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); string(text) != "piece piece piece " || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("the answer is %q, %v", text, err)
			}
		})
	})
}

// A client that gives up most of its streams loses its connection, and gets no other
// one of HTTP/2 for a time. One that does so now and then keeps it.
func TestResets(t *testing.T) {
	t.Parallel()
	began := make(chan bool)
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case began <- true:
		case <-r.Context().Done():
			return // of a connection that is over; the next one is not to take it for its own
		}
		if r.URL.Path == "/given" {
			<-r.Context().Done()
		}
	})
	address, _ := run(t, h, nil)
	proxied, _ := run(t, h, &gateway.FrontOptions{Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	streams := func(address string, late bool, most int, given func(i int) bool) int {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		over := make(chan bool)
		go func() {
			defer close(over)
			_, _ = io.Copy(io.Discard, conn)
		}()
		_, _ = io.WriteString(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, nil)
		_ = f.WriteSettings()
		var block bytes.Buffer
		header := hpack.NewEncoder(&block)
		for i := range most {
			path := "/kept"
			if given(i) {
				path = "/given"
			}
			block.Reset()
			for _, h := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}, {Name: ":path", Value: path}} {
				_ = header.WriteField(h)
			}
			id := uint32(2*i + 1)
			if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil {
				return i
			}
			select {
			case <-began:
			case <-over:
				return i
			}
			if !late && given(i) && f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return i
			}
		}
		if late {
			<-time.After(300 * time.Millisecond)
			for i := range most {
				_ = f.WriteRSTStream(uint32(2*i+1), http2.ErrCodeCancel)
			}
		}
		return most
	}
	all := func(int) bool { return true }
	if n := streams(proxied, false, 400, all); n != 400 {
		t.Errorf("a proxy whose clients give everything up had %d streams, want all of them", n)
	}
	if n := streams(address, true, 150, all); n != 150 {
		t.Errorf("a client had %d streams before it gave any up", n)
	}
	if n := streams(address, false, 400, func(i int) bool { return i%3 == 0 }); n != 400 {
		t.Errorf("a client that gave up many a while ago and gives up a third had %d streams, want all of them", n)
	}
	if n := streams(address, false, 400, all); n < 90 || n > 200 {
		t.Errorf("a client that gives everything up had %d streams, want about 100", n)
	}
	if n := streams(address, false, 400, func(int) bool { return false }); n != 0 {
		t.Errorf("after that it had %d streams on another connection, want none for a time", n)
	}
	go func() { <-began }()
	resp, err := http.Get("http://" + address + "/kept") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // over HTTP/1.1 others at the same address are served
	http.DefaultClient.CloseIdleConnections()
}
