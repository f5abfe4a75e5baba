package compress_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

// echo answers with what it read, and how the request was framed.
func echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "handler: "+err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%q %d %q %s", r.Header["Content-Encoding"], r.ContentLength, r.Header["Content-Length"], body)
	})
}

func send(h http.Handler, body []byte, lines ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://shop.example/", bytes.NewReader(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	gatetest.Add(r.Header, lines)
	return gatetest.Do(h, r)
}

// G17, and G18's nested encodings.
func TestRequestEncodings(t *testing.T) {
	t.Parallel()
	checked, open := &compress.Requests{Allow: []string{"gzip", "br"}}, &compress.Requests{Decompress: true}
	gz := encode(t, "gzip", []byte("hello"))
	for _, c := range []struct {
		name   string
		config *compress.Requests
		lines  []string
		status int
		accept string
		want   string
	}{
		{"off: anything passes", nil, []string{"Content-Encoding: foo, bar"}, 200, "", `["foo, bar"]`},
		{"none", checked, nil, 200, "", "[]"},
		{"allowed and untouched", checked, []string{"Content-Encoding: br"}, 200, "", `["br"]`},
		{"unknown, RFC 9110 §15.5.16", checked, []string{"Content-Encoding: foo"}, 415, "gzip, br", ""},
		{"known but not allowed", checked, []string{"Content-Encoding: zstd"}, 415, "gzip, br", ""},
		{"nested", checked, []string{"Content-Encoding: gzip, gzip"}, 415, "gzip, br", ""},
		{"nested on two lines", checked, []string{"Content-Encoding: gzip", "Content-Encoding: gzip"}, 415, "gzip, br", ""},
		{"nested in identity", checked, []string{"Content-Encoding: identity, gzip"}, 415, "gzip, br", ""},
		{"not a token", checked, []string{"Content-Encoding: gz ip"}, 415, "gzip, br", ""},
		{"identity", checked, []string{"Content-Encoding: identity"}, 200, "", "identity"},
		{"nothing is allowed", &compress.Requests{}, []string{"Content-Encoding: gzip"}, 415, "identity", ""},
		{"decompressed", open, []string{"Content-Encoding: gzip", "Digest: x", "Content-Digest: x"}, 200, "", "[] -1 [] hello"},
		{"upper case", open, []string{"Content-Encoding: GZIP"}, 200, "", "[] -1 [] hello"},
		{"alias", open, []string{"Content-Encoding: x-gzip"}, 200, "", "[] -1 [] hello"},
		{"cannot be decompressed", open, []string{"Content-Encoding: br"}, 415, "gzip, zstd", ""},
		{"not what it says", open, []string{"Content-Encoding: zstd"}, 400, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := send(wrap(t, &compress.Config{Requests: c.config}, echo()), gz, c.lines...)
			if w.Code != c.status || w.Header().Get("Accept-Encoding") != c.accept || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%d, Accept-Encoding %q, %s; want %d, %q, %s", w.Code, w.Header().Get("Accept-Encoding"), w.Body, c.status, c.accept, c.want)
			}
			if c.status >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("type %q", w.Header().Get("Content-Type"))
			}
		})
	}
}

func TestDamagedRequests(t *testing.T) {
	t.Parallel()
	h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, echo())
	for _, encoding := range []string{"gzip", "zstd"} {
		good := encode(t, encoding, []byte(long))
		flipped := bytes.Clone(good)
		flipped[len(flipped)-3] ^= 0x40 // in the checksum
		for name, body := range map[string][]byte{"cut": good[:len(good)/2], "checksum": flipped, "garbage behind": append(bytes.Clone(good), "garbage"...)} {
			if w := send(h, body, "Content-Encoding: "+encoding); w.Code != http.StatusBadRequest {
				t.Errorf("%s %s: %d %s", encoding, name, w.Code, w.Body)
			}
		}
		if w := send(h, nil, "Content-Encoding: "+encoding); w.Code != 200 || !strings.HasSuffix(w.Body.String(), "[] ") {
			t.Errorf("%s of nothing: %d %s", encoding, w.Code, w.Body)
		}
	}
}

// zeros is a body of n zeros.
func zeros(t testing.TB, encoding string, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	if encoding == "gzip" {
		w, _ = gzip.NewWriterLevel(&b, gzip.BestCompression)
	} else {
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	}
	if _, err := io.CopyN(w, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// G18: whatever the handler makes of the error, the client gets 413.
func TestBombs(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"gzip", "zstd"} {
		bomb := zeros(t, encoding, 16<<20)
		for name, next := range map[string]http.HandlerFunc{
			"answers 500": echo().ServeHTTP,
			"ignores it": func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				fmt.Fprint(w, "thank you")
			},
			"says nothing": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
			"panics": func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				var long *http.MaxBytesError
				var fault *http1.Error
				if !errors.As(err, &long) || !errors.As(err, &fault) || fault.Status != http.StatusRequestEntityTooLarge {
					t.Errorf("the handler got %v", err)
				}
				panic(http.ErrAbortHandler)
			},
		} {
			h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, next)
			if w := send(h, bomb, "Content-Encoding: "+encoding); w.Code != http.StatusRequestEntityTooLarge || strings.Contains(w.Body.String(), "thank") {
				t.Errorf("%s, a handler that %s: %d %s", encoding, name, w.Code, w.Body)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		max, rate int64
		size      int64
		want      int
	}{
		{"as long as it may be", 3000, 0, 3000, 200},
		{"a byte longer", 3000, 0, 3001, 413},
		{"very regular but short", 0, 10, 1 << 20, 200},
		{"very regular", 0, 10, 1<<20 + 1<<16, 413},
		{"regular within the ratio", 0, 1 << 20, 4 << 20, 200},
	} {
		for _, encoding := range []string{"gzip", "zstd"} {
			h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true, MaxBytes: c.max, MaxRatio: c.rate}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			if w := send(h, zeros(t, encoding, c.size), "Content-Encoding: "+encoding); w.Code != c.want {
				t.Errorf("%s, %s: %d, want %d", c.name, encoding, w.Code, c.want)
			}
		}
	}
}

// A gigabyte in a few kilobytes costs a few megabytes, and a client that announces
// a large window does not get it.
func TestBombMemory(t *testing.T) { //nolint:paralleltest // it measures memory
	var before, after runtime.MemStats
	for _, encoding := range []string{"gzip", "zstd"} {
		size := int64(1 << 30)
		if encoding == "gzip" || testing.Short() {
			size = 64 << 20 // one gigabyte is a megabyte in gzip
		}
		bomb := zeros(t, encoding, size)
		var most uint64
		h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, _ = io.Copy(io.Discard, r.Body)
			runtime.ReadMemStats(&after)
			most = after.TotalAlloc - before.TotalAlloc
		}))
		w := send(h, bomb, "Content-Encoding: "+encoding)
		t.Logf("%s: %d bytes in, %d kB allocated", encoding, len(bomb), most>>10)
		if w.Code != http.StatusRequestEntityTooLarge || most > 12<<20 {
			t.Errorf("%s: %d, %d bytes allocated", encoding, w.Code, most)
		}
	}
	wide := encodeWide(t, 64<<20)
	h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true, MaxBytes: 1 << 30}}, echo())
	if w := send(h, wide, "Content-Encoding: zstd"); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a window of 64 MB, RFC 9659 §3: %d %s", w.Code, w.Body)
	}
}

func encodeWide(t *testing.T, window int) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithSingleSegment(false))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, long)
	_ = w.Flush()
	_, _ = io.WriteString(w, long)
	_ = w.Close()
	return b.Bytes()
}

// A proxy behind gives up when the body breaks off; the client gets its 413
// nevertheless, over real connections.
func TestBombThroughAProxy(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(gatetest.Behind(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: tr, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	bomb, small := zeros(t, "zstd", 16<<20), encode(t, "zstd", []byte(long))
	gatetest.Each(t, wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, proxy), func(t *testing.T, address string) {
		resp := gatetest.Fetch(t, gatetest.To(t, http.MethodPost, address, bytes.NewReader(bomb), "Content-Encoding: zstd"))
		if resp.StatusCode != http.StatusRequestEntityTooLarge || !resp.Close {
			t.Errorf("bomb: %d, close %v", resp.StatusCode, resp.Close)
		}
		if resp := gatetest.Fetch(t, gatetest.To(t, http.MethodPost, address, bytes.NewReader(small), "Content-Encoding: zstd")); resp.StatusCode != http.StatusOK {
			t.Errorf("small: %d", resp.StatusCode)
		}
	})
}

func TestRequestRoundTrip(t *testing.T) {
	t.Parallel()
	p, err := compress.New(&compress.Config{Requests: &compress.Requests{Decompress: true}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 1<<14).Draw(t, "body")
		encoding := rapid.SampledFrom([]string{"gzip", "zstd"}).Draw(t, "encoding")
		var got []byte
		h := p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, err = io.ReadAll(r.Body) }))
		w := send(h, encode(t, encoding, body), "Content-Encoding: "+encoding)
		if w.Code != http.StatusOK || err != nil || !bytes.Equal(got, body) {
			t.Fatalf("%d, %v: %d bytes of %d", w.Code, err, len(got), len(body))
		}
	})
}

// The body of a request that has ended is not read: its decoder is another's.
func TestReadAfterTheEnd(t *testing.T) {
	t.Parallel()
	var body io.Reader
	h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body = r.Body }))
	send(h, encode(t, "zstd", []byte(long)), "Content-Encoding: zstd")
	if n, err := body.Read(make([]byte, 10)); n > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// A proxy answers before it has the whole body, and goes, while something still
// waits for more: neither waits for it.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	from, to := io.Pipe()
	reading := make(chan error)
	h := wrap(t, &compress.Config{Requests: &compress.Requests{Decompress: true}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			_, err := io.ReadAll(r.Body)
			reading <- err
		}()
		_, _ = to.Write(encode(t, "gzip", []byte(long))[:5]) // now it is in Read
		w.WriteHeader(http.StatusUnauthorized)
	}))
	r := httptest.NewRequest(http.MethodPost, "/", from)
	r.Header.Set("Content-Encoding", "gzip")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	_ = to.Close()
	if err := <-reading; err == nil {
		t.Error("half a body was read without an error")
	}
}
