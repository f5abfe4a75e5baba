package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

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
	l := gatetest.Listen(t)
	_ = l.Close()
	_, _, err := call(t, newClient(t, l.Addr().String(), nil), "POST", "/", nil)
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
