package http1_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

// The context of a slow request ends when its client goes away.
func TestClientGone(t *testing.T) {
	t.Parallel()
	causes := make(chan error, 1)
	began := make(chan bool)
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		causes <- context.Cause(r.Context())
	}, nil)
	w := dial(t, address)
	w.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	<-began
	_ = w.Close()
	if err := <-causes; !errors.Is(err, http1.ErrClientGone) {
		t.Errorf("cause %v", err)
	}
}

// A request that is sent while another is slow is not lost.
func TestNextRequestWhileSlow(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}, &http1.Options{WatchAfter: time.Millisecond})
	w := dial(t, address)
	w.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	timer := time.AfterFunc(50*time.Millisecond, func() {
		_, _ = io.WriteString(w.Conn, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
		release <- true
	})
	defer timer.Stop()
	for _, want := range []string{"/slow", "/next"} {
		if _, text := w.answer("GET"); text != want {
			t.Errorf("answer %q, want %q", text, want)
		}
	}
}

// A request that came while the one before was slow has time for its body, also
// if a part of a chunk's line came with it.
func TestNextBodyWhileSlow(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	began := make(chan bool, 1)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-release
		} else {
			began <- true
		}
		text, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.URL.Path, string(text), err)
	}, &http1.Options{WatchAfter: time.Millisecond})
	w := dial(t, address)
	w.send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	timer := time.AfterFunc(50*time.Millisecond, func() {
		_, _ = io.WriteString(w.Conn, "POST /next HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5")
		release <- true
	})
	defer timer.Stop()
	if _, text := w.answer("GET"); text != "/slow<nil>" {
		t.Errorf("answer %q", text)
	}
	<-began
	timer = time.AfterFunc(50*time.Millisecond, func() { _, _ = io.WriteString(w.Conn, "\r\nhello\r\n0\r\n\r\n") })
	defer timer.Stop()
	if _, text := w.answer("POST"); text != "/nexthello<nil>" {
		t.Errorf("answer %q", text)
	}
}

// Clients that are too slow lose their connection within the limit.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	const limit = 300 * time.Millisecond
	limits := http1.Options{HeadTimeout: limit, Grace: limit, MinRate: 1 << 30}
	big := bytes.Repeat([]byte("x"), 64<<20)
	for name, c := range map[string]struct{ send, drip string }{
		"idle":       {"", ""},
		"head":       {"GET / HTTP/1.1\r\n", "a"},
		"body":       {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", "a"},
		"chunks":     {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"},
		"chunk line": {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", "a"},
		"trailer":    {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:", "a"},
		"read":       {"GET /big HTTP/1.1\r\nHost: x\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			served := make(chan time.Duration, 1)
			o := limits
			if name == "idle" { // else it would hide that another limit is missing
				o.IdleTimeout = limit
			}
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				begin := time.Now()
				if r.URL.Path == "/big" {
					_, _ = w.Write(big)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				served <- time.Since(begin)
			}, &o)
			w := dial(t, address)
			w.send(c.send)
			stop := make(chan bool)
			defer close(stop)
			if c.drip != "" {
				go func() {
					tick := time.NewTicker(limit / 10)
					defer tick.Stop()
					for {
						select {
						case <-tick.C:
							_, _ = io.WriteString(w.Conn, c.drip)
						case <-stop:
							return
						}
					}
				}()
			}
			begin := time.Now()
			if name == "read" { // takes nothing
				if took := <-served; took > limit+5*time.Second {
					t.Errorf("the handler was held for %v", took)
				}
				return
			}
			_, _ = io.Copy(io.Discard, w)
			if took := time.Since(begin); took > limit+5*time.Second {
				t.Errorf("held for %v", took)
			}
		})
	}
}
