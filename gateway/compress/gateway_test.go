package compress_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

// forwarding is what the gateway does: the strict client, and a copy of the answer
// that flushes when there is nothing more to read for now.
func forwarding(t *testing.T, address string) http.Handler {
	t.Helper()
	c, err := http1.NewClient(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.WithContext(r.Context())
		out.URL = &url.URL{Scheme: "http", Host: r.Host, Opaque: "/"}
		resp, err := c.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for _, name := range []string{"Content-Type", "Content-Length"} {
			if v := resp.Header[name]; len(v) > 0 {
				w.Header()[name] = v
			}
		}
		w.WriteHeader(resp.StatusCode)
		if _, err := http1.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
}

func TestAsInTheGateway(t *testing.T) {
	t.Parallel()
	read := make(chan string)
	behind := gatetest.Behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		w.Header().Set("Content-Type", "text/plain")
		for i := range 3 {
			line := fmt.Sprintf("line %d\n", i)
			_, _ = io.WriteString(w, line)
			_ = http.NewResponseController(w).Flush()
			if got := <-read; got != line {
				t.Errorf("got %q, want %q", got, line)
			}
		}
	})
	bomb := zeros(t, "gzip", 16<<20)
	h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, forwarding(t, strings.TrimPrefix(behind, "http://")))
	gatetest.Each(t, h, func(t *testing.T, address string) {
		for _, encoding := range []string{"gzip", "zstd"} {
			resp := gatetest.Fetch(t, gatetest.To(t, http.MethodGet, address, nil, "Accept-Encoding: "+encoding))
			if got := resp.Header.Get("Content-Encoding"); got != encoding {
				t.Fatalf("encoding %q", got)
			}
			in := bufio.NewReader(decoder(t, encoding, resp.Body))
			for range 3 {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				read <- line
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
		if resp := gatetest.Fetch(t, gatetest.To(t, http.MethodPost, address, bytes.NewReader(bomb), "Content-Encoding: gzip")); resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("bomb: %d", resp.StatusCode)
		}
	})
}
