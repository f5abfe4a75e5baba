package compress_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func wrap(t testing.TB, c *compress.Config, next http.Handler) http.Handler {
	t.Helper()
	p, err := compress.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Handler(next)
}

func ask(h http.Handler, method string, lines ...string) *httptest.ResponseRecorder {
	return gatetest.Ask(h, method, "http://shop.example/", lines...)
}

// decoder reads a body in an encoding.
func decoder(t gatetest.T, encoding string, from io.Reader) io.Reader {
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

func decode(t gatetest.T, encoding string, from io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(decoder(t, encoding, from))
	if err != nil {
		t.Fatalf("read %q body: %v", encoding, err)
	}
	return string(all)
}

func encode(t gatetest.T, encoding string, plain []byte) []byte {
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
