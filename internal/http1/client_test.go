package http1_test

import (
	"bufio"
	"bytes"
	"context"
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

	"github.com/banyanhq/banyan"
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
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

// A server that closes kept connections costs no call, but a POST is not sent
// twice.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	scripted, ended := scripted(t, answer) // one call for each connection, then it closes
	c := newClient(t, scripted, nil)
	for i := range 20 {
		for _, method := range []string{"GET", "POST"} {
			if _, text, err := call(t, c, method, "/", nil); err != nil || text != "ok" {
				t.Fatalf("%s number %d: %q, %v", method, i+1, text, err)
			}
			<-ended
		}
	}
	var heard atomic.Int64
	address, _ := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if heard.Add(1) == 1 {
			return // so that the connection is kept
		}
		panic(http.ErrAbortHandler)
	})
	c = newClient(t, address, nil)
	_, _, _ = call(t, c, "GET", "/", nil)
	_, _, err := call(t, c, "POST", "/", strings.NewReader("pay"))
	if n := heard.Load(); n != 2 || !errors.Is(err, banyan.ErrUnknown) || errors.Is(err, http1.ErrNotSent) {
		t.Errorf("the server heard %d calls, the client %v", n, err)
	}
}

// A server that takes the second call of each connection and drops it is not
// asked twice each time.
func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	const calls, kept = 300, 4
	type nth struct{}
	var taken atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		taken.Add(1)
		if n, ok := r.Context().Value(nth{}).(*atomic.Int64); ok && n.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
	}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, nth{}, new(atomic.Int64))
	}
	s.Start()
	t.Cleanup(s.Close)
	c := newClient(t, s.Listener.Addr().String(), &http1.ClientOptions{MaxIdle: kept})
	failed := 0
	for range calls {
		resp, err := c.RoundTrip(httptest.NewRequest(http.MethodGet, "http://x/", http.NoBody))
		if err != nil {
			failed++
			continue
		}
		_ = resp.Body.Close()
	}
	if n := taken.Load(); n < calls+kept || n > calls+calls/5+kept {
		t.Errorf("%d calls reached the server for %d, want at most a fifth more and %d", n, calls, kept)
	}
	if failed == 0 {
		t.Error("no call failed: the server drops none")
	}
}

func TestNotSent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, _, err = call(t, newClient(t, l.Addr().String(), nil), "POST", "/", nil)
	if !errors.Is(err, http1.ErrNotSent) || !errors.Is(err, banyan.ErrUnavailable) {
		t.Errorf("nobody listens: %v", err)
	}
	c := newClient(t, script(t), nil)
	for name, r := range map[string]*http.Request{
		"header": {Header: http.Header{"A": {"b\r\nc: d"}}},
		"host":   {Host: "a b"},
		"method": {Method: "GET / HTTP/1.1\r\n"},
	} {
		proper, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		proper.Header = r.Header
		proper.Host = r.Host
		if r.Method != "" {
			proper.Method = r.Method
		}
		if _, err := c.RoundTrip(proper); !errors.Is(err, http1.ErrNotSent) || !errors.Is(err, banyan.ErrInvalid) { //nolint:bodyclose // there is none
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The end of the context ends a call, before the answer and in the middle of it.
func TestCancel(t *testing.T) {
	t.Parallel()
	began := make(chan bool)
	address, _ := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
		} else {
			began <- true
		}
		<-r.Context().Done()
	})
	c := newClient(t, address, nil)
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-began
		cancel(why)
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/head", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.RoundTrip(r); !errors.Is(err, why) { //nolint:bodyclose // there is none
		t.Errorf("%v, want the cause", err)
	}
	ctx, cancel = context.WithCancelCause(t.Context())
	r, err = http.NewRequestWithContext(ctx, http.MethodGet, "http://x/body", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel(why)
	if _, err = io.ReadAll(resp.Body); err == nil {
		t.Errorf("the body has an end")
	}
}

// brokenBody fails in the middle.
type brokenBody struct{ io.Reader }

func (b brokenBody) Close() error { return nil }

// A body that the client breaks is the client's fault, not the server's, and the
// server does not take its half for the whole.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	whole := make(chan bool, 10)
	address, _ := backend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		whole <- err == nil
	})
	c := newClient(t, address, nil)
	for name, length := range map[string]int64{"chunked": -1, "too short": 100, "too long": 3} {
		var text io.Reader = strings.NewReader("hello")
		if length < 0 {
			text = io.MultiReader(text, errorReader{})
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/", brokenBody{text})
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = length
		_, err = c.RoundTrip(r) //nolint:bodyclose // there is none
		var refused *http1.Error
		if !errors.As(err, &refused) || refused.Status != 400 {
			t.Errorf("%s: %v, want a refusal with 400", name, err)
		}
		if <-whole {
			t.Errorf("%s: the server saw a whole body", name)
		}
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

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
