package compress_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestWhatIsCompressed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		lines   []string
		body    string
		want    bool
		varies  bool
		request string
	}{
		{name: "text", lines: []string{"Content-Type: text/html; charset=utf-8"}, want: true, varies: true},
		{name: "json", lines: []string{"Content-Type: application/json"}, want: true, varies: true},
		{name: "problem details", lines: []string{"Content-Type: application/problem+json"}, want: true, varies: true},
		{name: "svg", lines: []string{"Content-Type: image/svg+xml"}, want: true, varies: true},
		{name: "wasm", lines: []string{"Content-Type: application/wasm"}, want: true, varies: true},
		{name: "upper case", lines: []string{"Content-Type: Application/JSON"}, want: true, varies: true},
		{name: "image", lines: []string{"Content-Type: image/png"}},
		{name: "no type", lines: nil},
		{name: "two types", lines: []string{"Content-Type: text/html", "Content-Type: text/plain"}},
		{name: "events", lines: []string{"Content-Type: text/event-stream"}},
		{name: "grpc ends in +json", lines: []string{"Content-Type: application/grpc+json"}},
		{name: "encoded already, RFC 9110 §8.4", lines: []string{"Content-Type: text/plain", "Content-Encoding: br"}},
		{name: "no-transform, RFC 9111 §5.2.2.6", lines: []string{"Content-Type: text/plain", "Cache-Control: public, No-Transform"}},
		{name: "no-transform of the client, §5.2.1.6", lines: []string{"Content-Type: text/plain"}, varies: true, request: "Cache-Control: no-transform"},
		{name: "a part", lines: []string{"Content-Type: text/plain", "Content-Range: bytes 0-9/99"}},
		{name: "short by length", lines: []string{"Content-Type: text/plain", "Content-Length: 5"}, body: "12345", varies: true},
		{name: "short in fact", lines: []string{"Content-Type: text/plain"}, body: "12345", varies: true},
		{name: "just long enough", lines: []string{"Content-Type: text/plain"}, body: strings.Repeat("x", 1024), want: true, varies: true},
		{name: "just long enough by length", lines: []string{"Content-Type: text/plain", "Content-Length: 1024"}, body: strings.Repeat("x", 1024), want: true, varies: true},
		{name: "just too short", lines: []string{"Content-Type: text/plain"}, body: strings.Repeat("x", 1023), varies: true},
		{name: "empty", lines: []string{"Content-Type: text/plain", "Content-Length: 0"}, body: " ", varies: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := c.body
			switch body {
			case "":
				body = long
			case " ":
				body = ""
			}
			lines := []string{"Accept-Encoding: gzip"}
			if c.request != "" {
				lines = append(lines, c.request)
			}
			w := ask(wrap(t, nil, gatetest.Page(0, body, c.lines...)), http.MethodGet, lines...)
			if got := w.Header().Get("Content-Encoding") == "gzip"; got != c.want {
				t.Errorf("compressed %v, want %v", got, c.want)
			}
			if got := w.Header().Get("Vary") == "Accept-Encoding"; got != c.varies {
				t.Errorf("Vary %q, want it: %v", w.Header()["Vary"], c.varies)
			}
			if c.want {
				if got := decode(t, "gzip", w.Body); got != body {
					t.Errorf("%d bytes, want %d", len(got), len(body))
				}
			} else if w.Body.String() != body {
				t.Errorf("body changed: %d bytes, want %d", w.Body.Len(), len(body))
			}
		})
	}
}

func TestStatusesWithoutBody(t *testing.T) {
	t.Parallel()
	for _, status := range []int{204, 205, 206, 304} {
		h := wrap(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.Header().Set("Content-Length", "4000")
			w.WriteHeader(status)
		}))
		w := ask(h, http.MethodGet, "Accept-Encoding: gzip")
		if w.Code != status || w.Header().Get("Content-Encoding") != "" || w.Header().Get("Content-Length") != "4000" || w.Body.Len() > 0 {
			t.Errorf("%d: became %d %v", status, w.Code, w.Header())
		}
	}
}

// A compressed answer says nothing about the bytes that it was made of.
func TestFieldsOfACompressedAnswer(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, gatetest.Page(0, long, "Content-Type: text/plain", "Content-Length: "+strconv.Itoa(len(long)), "Accept-Ranges: bytes", "ETag: \"v1\"",
		"Content-MD5: x", "Digest: x", "Content-Digest: x", "Repr-Digest: x", "Vary: Origin", "Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT"))
	w := ask(h, http.MethodGet, "Accept-Encoding: gzip")
	want := http.Header{
		"Content-Type": {"text/plain"}, "Content-Encoding": {"gzip"}, "Etag": {`W/"v1"`}, "Vary": {"Origin", "Accept-Encoding"},
		"Last-Modified": {"Mon, 02 Jan 2006 15:04:05 GMT"},
	}
	if diff := cmp.Diff(want, w.Header()); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	head := ask(h, http.MethodHead, "Accept-Encoding: gzip")
	if diff := cmp.Diff(want, head.Header()); diff != "" || head.Body.Len() > 0 {
		t.Errorf("HEAD, RFC 9110 §9.3.2: %d bytes, header (-GET +HEAD):\n%s", head.Body.Len(), diff)
	}
}

func TestVaryIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, vary := range []string{"accept-encoding", "Origin, Accept-Encoding", "*"} {
		w := ask(wrap(t, nil, gatetest.Page(0, long, "Content-Type: text/plain", "Vary: "+vary)), http.MethodGet, "Accept-Encoding: gzip")
		if got := w.Header().Values("Vary"); len(got) != 1 || got[0] != vary {
			t.Errorf("%q became %q", vary, got)
		}
	}
}

// RFC 9110 §13.1.2 compares weakly, so the tag that a client got with a compressed
// answer still finds the file; and a 304 has to have it in the client's form.
func TestRevalidation(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", testTime, strings.NewReader(long))
	}))
	tag := ask(h, http.MethodGet, "Accept-Encoding: gzip").Header().Get("ETag")
	for _, c := range []struct{ send, want string }{
		{tag, `W/"v1"`},
		{`"v0", ` + tag, `W/"v1"`},
		{`"v1"`, `"v1"`},
		{`W/"v1", "v1"`, `"v1"`},
	} {
		w := ask(h, http.MethodGet, "Accept-Encoding: gzip", "If-None-Match: "+c.send)
		if got := w.Header().Get("ETag"); w.Code != http.StatusNotModified || got != c.want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("If-None-Match %s: %d, ETag %s, Vary %q; want 304, %s", c.send, w.Code, got, w.Header()["Vary"], c.want)
		}
	}
	if w := ask(h, http.MethodGet, "Accept-Encoding: gzip", "If-Modified-Since: "+testTime.Format(http.TimeFormat)); w.Code != 304 || w.Header().Get("ETag") != `"v1"` {
		t.Errorf("by date: %d, ETag %s; the client did not say which form it has", w.Code, w.Header().Get("ETag"))
	}
	if w := ask(h, http.MethodGet, "Accept-Encoding: gzip", "Range: bytes=0-9"); w.Code != 206 || w.Body.String() != long[:10] {
		t.Errorf("a range: %d, %q", w.Code, w.Body)
	}
}

func TestSkipCookies(t *testing.T) {
	t.Parallel()
	plain := gatetest.Page(0, long, "Content-Type: text/plain")
	setting := gatetest.Page(0, long, "Content-Type: text/plain", "Set-Cookie: a=b")
	for _, c := range []struct {
		name   string
		skip   bool
		next   http.Handler
		cookie string
		want   string
	}{
		{"off", false, setting, "a=b", "gzip"},
		{"on, without", true, plain, "", "gzip"},
		{"on, request", true, plain, "a=b", ""},
		{"on, answer", true, setting, "", ""},
	} {
		lines := []string{"Accept-Encoding: gzip"}
		if c.cookie != "" {
			lines = append(lines, "Cookie: "+c.cookie)
		}
		w := ask(wrap(t, &compress.Config{SkipCookies: c.skip}, c.next), http.MethodGet, lines...)
		if got := w.Header().Get("Content-Encoding"); got != c.want || w.Header().Get("Vary") == "" {
			t.Errorf("%s: got %q, want %q; Vary %q", c.name, got, c.want, w.Header()["Vary"])
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	c := &compress.Config{Types: []string{"text/event-stream", "image/*", "*+JSON"}}
	for kind, want := range map[string]bool{"text/event-stream": true, "image/png": true, "application/hal+json": true, "text/plain": false, "application/json": false} {
		w := ask(wrap(t, c, gatetest.Page(0, long, "Content-Type: "+kind)), http.MethodGet, "Accept-Encoding: gzip")
		if got := w.Header().Get("Content-Encoding") != ""; got != want {
			t.Errorf("%s: compressed %v, want %v", kind, got, want)
		}
	}
}

// While it waits for bytes, a header that changes late must not get out: what
// net/http does for handlers must not depend on this package.
func TestHeaderIsThatOfWriteHeader(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Early", "1")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Late", "1")
		w.Header().Set("X-Early", "2")
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "short")
	}))
	w := ask(h, http.MethodGet, "Accept-Encoding: gzip")
	if w.Code != http.StatusAccepted || w.Header().Get("X-Late") != "" || w.Header().Get("X-Early") != "1" || w.Body.String() != "short" {
		t.Errorf("%d %v %q", w.Code, w.Header(), w.Body)
	}
}

// Half an answer must not look like a whole one.
func TestPanicAddsNoEnd(t *testing.T) {
	t.Parallel()
	h := wrap(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, long)
		panic(http.ErrAbortHandler)
	}))
	w := httptest.NewRecorder()
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler { //nolint:errorlint // a panic's value
				t.Error("the panic is gone")
			}
		}()
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Accept-Encoding", "gzip")
		h.ServeHTTP(w, r)
	}()
	if n := w.Body.Len(); n > 10 {
		t.Errorf("%d bytes were written after the panic", n)
	}
	// The encoder is used again and must not remember.
	if got := decode(t, "gzip", ask(wrap(t, nil, gatetest.Page(0, long, "Content-Type: text/plain")), http.MethodGet, "Accept-Encoding: gzip").Body); got != long {
		t.Error("the next answer is damaged")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config compress.Config
		want   string
	}{
		{compress.Config{Encodings: []string{"br"}}, `encodings: "br" is not gzip or zstd`},
		{compress.Config{Encodings: []string{"gzip", "gzip"}}, "twice"},
		{compress.Config{Level: "11"}, `level: "11"`},
		{compress.Config{Types: []string{"text"}}, `types: "text"`},
		{compress.Config{Types: []string{"*/*"}}, `types: "*/*"`},
		{compress.Config{MinSize: -1}, "min_size"},
		{compress.Config{Requests: &compress.Requests{Allow: []string{"br"}, Decompress: true}}, "cannot be decompressed"},
		{compress.Config{Requests: &compress.Requests{Allow: []string{"GZIP"}}}, "not a content coding"},
		{compress.Config{Requests: &compress.Requests{Decompress: true, MaxBytes: -1}}, "a limit is negative"},
		{compress.Config{Requests: &compress.Requests{MaxBytes: 1}}, "need decompress"},
		{compress.Config{Level: "x", MinSize: -1}, "; min_size"},
	} {
		checkInvalid(t, c.config.Check(), c.want)
		if _, err := compress.New(&c.config); err == nil {
			t.Errorf("New took %+v", c.config)
		}
	}
}
