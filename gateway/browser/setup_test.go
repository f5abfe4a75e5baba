package browser_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/internal/http1"
)

// page is a handler that answers with headers given as "Name: value".
func page(status int, lines ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		setHeaders(w.Header(), lines)
		w.WriteHeader(status)
		if status != http.StatusNotModified {
			_, _ = io.WriteString(w, "page")
		}
	})
}

func setHeaders(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

func wrap(t testing.TB, c browser.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := browser.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}

// ask calls a handler with headers given as "Name: value".
func ask(h http.Handler, method, target string, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	setHeaders(r.Header, lines)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
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
