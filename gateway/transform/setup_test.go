package transform_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/http1"
)

// page is a handler that answers with a body and headers given as "Name: value".
func page(status int, body string, lines ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		setHeaders(w.Header(), lines)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func setHeaders(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

func wrap(t testing.TB, c transform.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := transform.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}

func request(method, target, body string, lines ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	setHeaders(r.Header, lines)
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func get(h http.Handler, lines ...string) *httptest.ResponseRecorder {
	return do(h, request(http.MethodGet, "http://shop.example/", "", lines...))
}

// jsonAnswers are rules for answers, and a handler that gives one.
func jsonAnswers(t testing.TB, j transform.JSON, body string, lines ...string) http.Handler {
	t.Helper()
	return wrap(t, transform.Config{Response: transform.Response{JSON: &j}}, page(http.StatusOK, body, append(lines, "Content-Type: application/json")...))
}

func checkInvalid(t *testing.T, err error, want string) {
	t.Helper()
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an invalid configuration with %q", err, want)
	}
}

// each runs a test over the server of net/http and over the strict one.
func each(t *testing.T, h http.Handler, test func(t *testing.T, address string)) {
	t.Run("net/http", func(t *testing.T) {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		test(t, s.Listener.Addr().String())
	})
	t.Run("http1", func(t *testing.T) {
		s, err := http1.NewServer(h, nil)
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		t.Cleanup(func() {
			_ = s.Close()
			if err := <-ended; !errors.Is(err, http1.ErrServerClosed) {
				t.Error(err)
			}
		})
		test(t, l.Addr().String())
	})
}

// fetch sends a request over the wire; the caller reads the body.
func fetch(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := (&http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func newRequest(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
