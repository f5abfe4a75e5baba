package compress_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/banyanhq/banyan/gateway/compress"
)

// A long text for a client that reads zstd, and the same for one that does not.
func Example() {
	p, err := compress.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("ETag", `"v1"`)
		fmt.Fprint(w, strings.Repeat("all work and no play ", 1000))
	}))
	for _, accept := range []string{"gzip, zstd", "identity"} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%q %s %s, shorter: %v\n", w.Header().Get("Content-Encoding"), w.Header().Get("ETag"), w.Header().Get("Vary"), w.Body.Len() < 21_000)
	}
	// Output:
	// "zstd" W/"v1" Accept-Encoding, shorter: true
	// "" "v1" Accept-Encoding, shorter: false
}

// A megabyte of zeros fits into a kilobyte. A server that takes 64 kB does not have
// to find that out by itself.
func ExampleRequests() {
	p, err := compress.New(&compress.Config{Requests: &compress.Requests{Decompress: true, MaxBytes: 64 << 10}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes", len(body))
	}))
	for _, n := range []int{1000, 1 << 20} {
		var body bytes.Buffer
		z := gzip.NewWriter(&body)
		_, _ = z.Write(make([]byte, n))
		_ = z.Close()
		r := httptest.NewRequest(http.MethodPost, "/", &body)
		r.Header.Set("Content-Encoding", "gzip")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, http.StatusText(w.Code))
	}
	// Output:
	// 200 OK
	// 413 Request Entity Too Large
}
