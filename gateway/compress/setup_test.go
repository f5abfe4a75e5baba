package compress_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/http1"
)

// page is a handler that answers with a body and headers given as "Name: value".
func page(body string, lines ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		setHeaders(w.Header(), lines)
		_, _ = io.WriteString(w, body)
	})
}

func setHeaders(h http.Header, lines []string) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
}

func wrap(t testing.TB, c *compress.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := compress.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}

// ask calls a handler with headers given as "Name: value".
func ask(h http.Handler, method string, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://shop.example/", http.NoBody)
	setHeaders(r.Header, lines)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
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

// client does not touch encodings.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// fetch sends a request over the wire; the caller reads the body.
func fetch(t *testing.T, method, address string, body io.Reader, lines ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	setHeaders(r.Header, lines)
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// tester is a testing.T or a rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// decoder reads a body in an encoding.
func decoder(t tester, encoding string, from io.Reader) io.Reader {
	t.Helper()
	switch encoding {
	case "gzip":
		r, err := gzip.NewReader(from)
		if err != nil {
			t.Fatal(err)
		}
		return r
	case "zstd":
		r, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		return r
	}
	return from
}

func decode(t tester, encoding string, from io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(decoder(t, encoding, from))
	if err != nil {
		t.Fatalf("read %q body: %v", encoding, err)
	}
	return string(all)
}

func encode(t tester, encoding string, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
