package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

func newClient(t *testing.T, address string, o *http1.ClientOptions) *http1.Client {
	t.Helper()
	c, err := http1.NewClient(address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// backend is net/http's server, which counts its connections.
func backend(t *testing.T, h http.HandlerFunc) (address string, conns *atomic.Int64) {
	t.Helper()
	conns = new(atomic.Int64)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), conns
}

// script is a server that says what it is told to, whatever it hears: on each
// connection, one text for each request head.
func script(t *testing.T, texts ...string) string {
	t.Helper()
	address, _ := scripted(t, texts...)
	return address
}

// scripted is a script that tells when it has closed a connection.
func scripted(t *testing.T, texts ...string) (address string, ended <-chan bool) {
	t.Helper()
	ends := make(chan bool, 1000)
	l := gatetest.Listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { ends <- true }()
				defer conn.Close()
				r := bufio.NewReader(conn)
				for _, text := range texts {
					for line := "x"; strings.TrimSpace(line) != ""; {
						if line, err = r.ReadString('\n'); err != nil {
							return
						}
					}
					_, _ = io.WriteString(conn, text)
				}
			}()
		}
	}()
	return l.Addr().String(), ends
}

func call(t *testing.T, c *http1.Client, method, target string, body io.Reader) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://x"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		return nil, "", err
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return resp, string(text), err
}

func TestCalls(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 300_000)
	address, conns := backend(t, func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/trailer":
			w.Header().Set("Trailer", "Sum")
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			w.Header().Set("Sum", "1")
		default:
			fmt.Fprintf(w, "%s %s %s length=%d %s", r.Method, r.RequestURI, r.Host, r.ContentLength, text)
		}
	})
	c := newClient(t, address, nil)
	for range 3 {
		for _, k := range []struct {
			method, target string
			body           io.Reader
			want           string
		}{
			{"GET", "/a?b=%2F", nil, "GET /a?b=%2F x length=0 "},
			{"POST", "/", nil, "POST / x length=0 "},
			{"POST", "/", strings.NewReader("hello"), "POST / x length=5 hello"},
			{"PUT", "/", struct{ io.Reader }{strings.NewReader("hello")}, "PUT / x length=-1 hello"},
			{"POST", "/", struct{ io.Reader }{strings.NewReader(big)}, "POST / x length=-1 " + big},
			{"GET", "/big", nil, big},
			{"HEAD", "/big", nil, ""},
			{"GET", "/none", nil, ""},
			{"GET", "/trailer", nil, "a"},
		} {
			resp, text, err := call(t, c, k.method, k.target, k.body)
			if err != nil || text != k.want {
				t.Fatalf("%s %s: %.60q, %v; want %.60q", k.method, k.target, text, err, k.want)
			}
			if k.target == "/trailer" && resp.Trailer.Get("Sum") != "1" {
				t.Errorf("trailer %v", resp.Trailer)
			}
		}
	}
	// Who sends a body may end a moment after its answer, on a busy machine: the
	// next call needs a connection of its own then.
	const withBody = 9
	if n := conns.Load(); n > 1+withBody {
		t.Errorf("%d connections for calls one after the other, want 1, or one more for each of %d bodies", n, withBody)
	}
}

// The bytes of the target are those of the request.
func TestOpaque(t *testing.T) {
	t.Parallel()
	address, _ := backend(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	c := newClient(t, address, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque, r.URL.RawQuery = "/a%2fb/%C3%A4!", "q=%20+"
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "/a%2fb/%C3%A4!?q=%20+" {
		t.Errorf("the server saw %q", text)
	}
}

// Answers that two readers could understand differently are refused.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no status line":    "hello\r\n\r\n",
		"version":           "HTTP/2.0 200 OK\r\n\r\n",
		"status":            "HTTP/1.1 20 OK\r\n\r\n",
		"status 099":        "HTTP/1.1 099 OK\r\n\r\n",
		"bare LF":           "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"TE and CL":         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CL":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"TE gzip":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
		"TE in 1.0":         "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"fold":              "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
		"space":             "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
		"NUL":               "HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
		"large":             "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 100_000) + "\r\n\r\n",
		"100 for ever":      strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100),
		"cut off":           "HTTP/1.1 200 OK\r\nContent-",
		"closed":            "",
		"body cut off":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"chunks cut off":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"chunk with LF":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
		"chunk without end": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, script(t, text), nil)
			_, body, err := call(t, c, "POST", "/", nil)
			if err == nil {
				t.Errorf("answer %q is accepted", body)
			}
			if errors.Is(err, http1.ErrNotSent) {
				t.Errorf("%v: but it was sent", err)
			}
		})
	}
}

// A body until the end of the connection, and informational answers.
func TestGoodAnswers(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"until the end": "HTTP/1.1 200 OK\r\n\r\nhello",
		"1.0":           "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"no reason":     "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
		"100 first":     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"more than due": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, script(t, text), nil)
			for range 2 { // what came too much is not the next call's answer
				var hints atomic.Int64
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
					hints.Add(1)
					return nil
				}})
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				if err != nil || string(body) != "hello" || (name == "100 first") != (hints.Load() == 2) {
					t.Errorf("answer %q, %v, %d informational", body, err, hints.Load())
				}
				_ = resp.Body.Close()
			}
		})
	}
}

// An answer that comes before the end of the request's body is the answer.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	c := newClient(t, script(t, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"), nil)
	slow, feed := io.Pipe()
	defer feed.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", slow)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); resp.StatusCode != 413 || string(text) != "no" || err != nil {
		t.Errorf("answer %d %q, %v", resp.StatusCode, text, err)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	c := newClient(t, script(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello"), nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Upgrade", "x")
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	both, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != 101 {
		t.Fatalf("answer %d, body %T", resp.StatusCode, resp.Body)
	}
	if text, err := io.ReadAll(both); string(text) != "hello" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

// Calls at once use a connection each, and those are kept.
func TestConcurrentCalls(t *testing.T) {
	t.Parallel()
	address, conns := backend(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // net/http's server does not read and write at once
		_, _ = w.Write(text)
	})
	c := newClient(t, address, nil)
	const callers, each = 16, 50
	errs := make(chan error, callers)
	for i := range callers {
		go func() {
			text := bytes.Repeat([]byte{byte('a' + i)}, 10_000*i)
			for range each {
				_, got, err := call(t, c, "POST", "/", bytes.NewReader(text))
				if err == nil && got != string(text) {
					err = fmt.Errorf("got %d bytes back, want %d", len(got), len(text))
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	// A call's connection may come back a moment after its answer.
	if n := conns.Load(); n > 2*callers {
		t.Errorf("%d connections for %d callers", n, callers)
	}
}
