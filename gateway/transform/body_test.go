package transform_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

const secret = `{"id":1,"password":"hunter2"}`

func hides() transform.JSON { return transform.JSON{Remove: []string{"/**/password"}, MaxBytes: 1000} }

// Nothing that could not be edited gets out.
func TestUneditableAnswers(t *testing.T) {
	t.Parallel()
	big := `{"password":"hunter2","x":"` + strings.Repeat("x", 1000) + `"}`
	pass := transform.JSON{Rename: map[string]string{"/id": "key"}, MaxBytes: 1000}
	for _, c := range []struct {
		name   string
		status int
		body   string
		lines  []string
		want   int
	}{
		{"not JSON", 200, "password hunter2", []string{"Content-Type: text/plain"}, 502},
		{"no type", 200, secret, nil, 502},
		{"two types", 200, secret, []string{"Content-Type: application/json", "Content-Type: text/plain"}, 502},
		{"broken", 200, secret[:20], []string{"Content-Type: application/json"}, 502},
		{"more than one", 200, secret + secret, []string{"Content-Type: application/json"}, 502},
		{"lines", 200, secret + "\n" + secret, []string{"Content-Type: application/x-ndjson"}, 502},
		{"too long", 200, big, []string{"Content-Type: application/json"}, 502},
		{"too long and known", 200, big, []string{"Content-Type: application/json", "Content-Length: " + strconv.Itoa(len(big))}, 502},
		{"compressed", 200, secret, []string{"Content-Type: application/json", "Content-Encoding: gzip"}, 502},
		{"a part", 206, secret, []string{"Content-Type: application/json", "Content-Range: bytes 0-9/99"}, 502},
		{"a part without its place", 206, secret, []string{"Content-Type: application/json"}, 502},
		{"a place without its status", 200, secret, []string{"Content-Type: application/json", "Content-Range: bytes 0-9/99"}, 502},
		{"differences, RFC 3229", 226, secret, []string{"Content-Type: application/json"}, 502},
		{"an error in HTML", 404, "password hunter2", []string{"Content-Type: text/html"}, 404},
		{"a redirect in HTML", 302, "password hunter2", []string{"Content-Type: text/html", "Location: /x"}, 302},
		{"events", 200, "data: hunter2\n\n", []string{"Content-Type: text/event-stream"}, 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines := append([]string{"ETag: \"v1\"", "Last-Modified: yesterday", "X-Kept: 1"}, c.lines...)
			w := get(wrap(t, transform.Config{Response: transform.Response{JSON: ptr(hides())}}, gatetest.Page(c.status, c.body, lines...)))
			if w.Code != c.want || strings.Contains(w.Body.String(), "hunter2") || w.Header().Get("X-Kept") != "1" || w.Header().Get("Location") != "" && c.want != 302 {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			if kind := w.Header().Get("Content-Type"); c.want == 302 && (kind != "" || w.Body.Len() > 0) || c.want != 302 && kind != "application/problem+json" {
				t.Errorf("in its place there is %s %q", kind, w.Body)
			}
			for _, name := range []string{"ETag", "Last-Modified", "Content-Encoding", "Content-Range"} {
				if w.Header().Get(name) != "" {
					t.Errorf("%s: %q is of the body that is hidden", name, w.Header().Get(name))
				}
			}
			if w = get(wrap(t, transform.Config{Response: transform.Response{JSON: &pass}}, gatetest.Page(c.status, c.body, lines...))); w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("rules that hide nothing let it pass; it became %d %s", w.Code, w.Body)
			}
		})
	}
}

// A proxy that gives up because of the refusal does not cut it off; other panics
// go through, and what the handler says late about a refused answer does not.
func TestPanics(t *testing.T) {
	t.Parallel()
	for _, value := range []any{http.ErrAbortHandler, "bug", nil} {
		var got any
		w := func() *httptest.ResponseRecorder {
			defer func() { got = recover() }()
			w := httptest.NewRecorder()
			wrap(t, transform.Config{Response: transform.Response{JSON: ptr(hides())}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusOK)
				w.Header().Set("X-Late", "1")
				if _, err := w.Write(make([]byte, 2000)); err == nil {
					t.Error("the handler is not told")
				}
				if value != nil {
					panic(value)
				}
			})).ServeHTTP(w, gatetest.Request(http.MethodGet, "/", ""))
			return w
		}()
		if want := map[bool]any{true: "bug"}[value == "bug"]; got != want {
			t.Errorf("panic %v became %v", value, got)
		}
		if w != nil && (w.Code != http.StatusBadGateway || w.Header().Get("X-Late") != "") {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

func ptr[T any](v T) *T { return &v }

// The errors of servers in JSON are edited too, but nothing is selected from
// problem details.
func TestErrorsInJSON(t *testing.T) {
	t.Parallel()
	rules := transform.JSON{Select: []string{"/id"}, Remove: []string{"/password"}}
	problem := `{"title":"no","password":"hunter2"}`
	w := get(wrap(t, transform.Config{Response: transform.Response{JSON: &rules}}, gatetest.Page(404, problem, "Content-Type: application/problem+json; charset=utf-8")))
	if w.Code != 404 || w.Body.String() != `{"title":"no"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = get(wrap(t, transform.Config{Response: transform.Response{JSON: &rules}}, gatetest.Page(404, problem, "Content-Type: application/json")))
	if w.Code != 404 || w.Body.String() != `{}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = get(wrap(t, transform.Config{Response: transform.Response{JSON: &rules}}, gatetest.Page(200, problem, "Content-Type: application/problem+json")))
	if w.Code != 200 || w.Body.String() != `{}` {
		t.Errorf("an answer of 200 is no problem: %d %s", w.Code, w.Body)
	}
}

func TestFieldsOfAnEditedAnswer(t *testing.T) {
	t.Parallel()
	lines := []string{"Content-Length: " + strconv.Itoa(len(secret)), "ETag: \"v1\"", "Digest: x", "Repr-Digest: x", "Content-Digest: x", "Content-MD5: x", "Accept-Ranges: bytes"}
	h := jsonAnswers(t, hides(), secret, lines...)
	w := get(h)
	tag := w.Header().Get("ETag")
	want := http.Header{"Content-Type": {"application/json"}, "Content-Length": {"8"}, "Etag": {tag}}
	if diff := cmp.Diff(want, w.Header()); diff != "" || w.Body.String() != `{"id":1}` {
		t.Errorf("%s, header (-want +got):\n%s", w.Body, diff)
	}
	if !strings.HasPrefix(tag, `"v1~`) || !strings.HasSuffix(tag, `"`) {
		t.Errorf("the tag is %s", tag)
	}
	delete(want, "Content-Length")
	head := gatetest.Ask(h, http.MethodHead, "/")
	if diff := cmp.Diff(want, head.Header()); diff != "" {
		t.Errorf("HEAD (-want +got):\n%s", diff)
	}
	other := hides()
	other.Remove = append(other.Remove, "/id")
	if got := get(jsonAnswers(t, other, secret, lines...)).Header().Get("ETag"); got == tag {
		t.Errorf("other rules give the same tag %s", got)
	}
	for in, out := range map[string]string{`W/"x"`: `W/"x` + tag[3:], `"a,b"`: `"a,b` + tag[3:], `""`: `"` + tag[3:], `x`: "", `"x", "y"`: "", `"x`: ""} {
		if got := get(jsonAnswers(t, hides(), secret, "ETag: "+in)).Header().Get("ETag"); got != out {
			t.Errorf("tag %s became %s, want %s", in, got, out)
		}
	}
	for _, status := range []int{204, 304} {
		w := get(wrap(t, transform.Config{Response: transform.Response{JSON: ptr(hides())}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.WriteHeader(status)
		})))
		if w.Code != status || w.Header().Get("ETag") != tag || w.Body.Len() > 0 {
			t.Errorf("%d became %d, %v", status, w.Code, w.Header())
		}
	}
}

// What is sent on asks for the whole, uncompressed answer, and for the server's own
// entity tags.
func TestWhatTheServerIsAsked(t *testing.T) {
	t.Parallel()
	tag := get(jsonAnswers(t, hides(), secret, `ETag: "v1"`)).Header().Get("ETag")
	for _, c := range []struct {
		name, method string
		lines        []string
		want         http.Header
	}{
		{"encoding, range", "GET", []string{"Accept-Encoding: gzip", "Range: bytes=0-1", "If-Range: \"x\"", "A-IM: gzip"}, http.Header{}},
		{"its own tag", "GET", []string{"If-None-Match: W/" + tag + `, "v0", ` + tag}, http.Header{"If-None-Match": {`W/"v1", "v1"`}}},
		{"a tag of other rules must not match", "GET", []string{`If-None-Match: "v1"`}, http.Header{}},
		{"the star", "GET", []string{`If-None-Match: *`}, http.Header{"If-None-Match": {"*"}}},
		{"a condition of an unsafe method stays", "PUT", []string{`If-None-Match: "v1", ` + tag, `If-Match: "v0", ` + tag}, http.Header{"If-None-Match": {`"v1", "v1"`}, "If-Match": {`"v0", "v1"`}}},
		{"what is no tag stays in If-Match", "PUT", []string{`If-Match: v1`}, http.Header{"If-Match": {"v1"}}},
	} {
		var got http.Header
		h := wrap(t, transform.Config{Response: transform.Response{JSON: ptr(hides())}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
		gatetest.Do(h, gatetest.Request(c.method, "/", "", c.lines...))
		c.want["Accept-Encoding"] = []string{"identity"}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRequestBodies(t *testing.T) {
	t.Parallel()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %q %q %s %v", r.ContentLength, r.Header["Content-Length"], r.Header["Digest"], body, err)
	})
	strict := wrap(t, transform.Config{Request: transform.Request{JSON: &transform.JSON{Remove: []string{"/password"}, MaxBytes: 50}}}, echo)
	loose := wrap(t, transform.Config{Request: transform.Request{JSON: &transform.JSON{Rename: map[string]string{"/id": "key"}, MaxBytes: 50}}}, echo)
	long := `{"id":1,"x":"` + strings.Repeat("x", 50) + `"}`
	const isJSON = "Content-Type: application/json"
	for _, c := range []struct {
		name, body      string
		lines           []string
		unknown         bool
		status          int
		want, wantLoose string
	}{
		{"edited", secret, []string{isJSON, "Digest: x"}, false, 200, `8 ["8"] [] {"id":1} <nil>`, `30 ["30"] [] {"key":1,"password":"hunter2"} <nil>`},
		{"of unknown length", secret, []string{"Content-Type: application/merge-patch+json"}, true, 200, `8 ["8"] [] {"id":1} <nil>`, `30 ["30"] [] {"key":1,"password":"hunter2"} <nil>`},
		{"empty", "", nil, false, 200, `0 [] []  <nil>`, `0 [] []  <nil>`},
		{"form", "password=1", []string{"Content-Type: application/x-www-form-urlencoded"}, false, 415, "", `10 [] [] password=1 <nil>`},
		{"compressed", secret, []string{isJSON, "Content-Encoding: gzip"}, false, 415, "", "29 [] [] " + secret + " <nil>"},
		{"broken", "{", []string{isJSON}, false, 400, "", `1 ["1"] [] { <nil>`},
		{"too long", long, []string{isJSON}, false, 413, "", fmt.Sprintf("%d [] [] %s <nil>", len(long), long)},
		{"too long and unknown", long, []string{isJSON}, true, 413, "", fmt.Sprintf("-1 [] [] %s <nil>", long)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i, want := range []string{c.want, c.wantLoose} {
				h := []http.Handler{strict, loose}[i]
				r := gatetest.Request(http.MethodPost, "/", c.body, c.lines...)
				if c.unknown {
					r.ContentLength = -1
				}
				w := gatetest.Do(h, r)
				switch {
				case want == "" && (w.Code != c.status || w.Header().Get("Content-Type") != "application/problem+json"):
					t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
				case want != "" && w.Body.String() != want:
					t.Errorf("got  %s\nwant %s", w.Body, want)
				}
				if want == "" && c.status == 415 && w.Header().Get("Accept-Encoding") != "identity" {
					t.Error("415 does not say what would be taken")
				}
			}
		})
	}
	both := wrap(t, transform.Config{Request: transform.Request{JSON: ptr(hides()), Headers: transform.Fields{Set: map[string]string{"Content-Type": "text/plain"}}}}, echo)
	if w := gatetest.Do(both, gatetest.Request(http.MethodPost, "/", secret, isJSON)); w.Body.String() != `8 ["8"] [] {"id":1} <nil>` {
		t.Errorf("with another type for the server: %d %s", w.Code, w.Body)
	}
	r := gatetest.Request(http.MethodPost, "/", secret, isJSON)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{}))
	if w := gatetest.Do(strict, r); w.Code != http.StatusBadRequest {
		t.Errorf("a broken connection: %d %s", w.Code, w.Body)
	}
	r = gatetest.Request(http.MethodPost, "/", secret, isJSON)
	r.Body = http.MaxBytesReader(nil, r.Body, 5)
	if w := gatetest.Do(strict, r); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a limit above: %d %s", w.Code, w.Body)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// Over the wire: edited answers, trailers, early hints, and refused ones of handlers
// that give up or go on.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	stopped := make(chan error, 20)
	mux := http.NewServeMux()
	mux.HandleFunc("/edited", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("X-Debug", "hint")
		h.Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		h.Set("Trailer", "X-Sum, X-Debug")
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(secret)))
		for _, b := range []byte(secret) {
			_, _ = w.Write([]byte{b})
			_ = http.NewResponseController(w).Flush()
		}
		h.Set("X-Sum", "42")
		h.Set("X-Debug", "trailer")
		h.Set(http.TrailerPrefix+"X-More", "43")
		h.Set(http.TrailerPrefix+"x-debug", "another")
		h.Set("Content-Type", "too/late")
	})
	mux.HandleFunc("/copied", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, err := http1.Copy(w, strings.NewReader(secret))
		if err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/gives-up", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := http1.Copy(w, strings.NewReader(secret)); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	mux.HandleFunc("/goes-on", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done() // an event stream that heeds its context only
		stopped <- r.Context().Err()
	})
	rules := transform.Config{Response: transform.Response{JSON: ptr(hides()), Headers: transform.Fields{Remove: []string{"X-Debug"}}}}
	gatetest.Each(t, wrap(t, rules, mux), func(t *testing.T, address string) {
		var hints []http.Header
		r := gatetest.Hints(gatetest.To(t, http.MethodGet, address, nil), &hints)
		for path, want := range map[string]int{"/edited": 200, "/copied": 200, "/gives-up": 502, "/goes-on": 502} {
			r.URL.Path = path
			resp := gatetest.Fetch(t, r)
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != want || bytes.Contains(body, []byte("hunter2")) || want == 200 && string(body) != `{"id":1}` {
				t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, err)
			}
			if path == "/edited" && (resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-More") != "43" || resp.Trailer.Get("X-Debug") != "" || resp.Header.Get("X-Sum") != "" || resp.Header.Get("Content-Type") != "application/json") {
				t.Errorf("header %v, trailer %v", resp.Header, resp.Trailer)
			}
		}
		if len(hints) != 1 || hints[0].Get("Link") == "" || hints[0].Get("X-Debug") != "" {
			t.Errorf("early hints %v", hints)
		}
		if err := <-stopped; err == nil {
			t.Error("the handler's context did not end")
		}
	})
}

// Answers without JSON rules are not held back.
func TestStreams(t *testing.T) {
	t.Parallel()
	for _, c := range []transform.Config{
		{Response: transform.Response{Headers: transform.Fields{Remove: []string{"Server"}}}},
		{Response: transform.Response{JSON: &transform.JSON{Rename: map[string]string{"/a": "b"}}}},
	} {
		read := make(chan string)
		h := wrap(t, c, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			pr, pw := io.Pipe()
			copied := make(chan error, 1)
			go func() { copied <- func() error { _, err := http1.Copy(w, pr); return err }() }()
			for i := range 3 {
				fmt.Fprintf(pw, "data: %d\n", i)
				if got := <-read; got != fmt.Sprintf("data: %d\n", i) {
					t.Errorf("got %q", got)
				}
			}
			_ = pw.Close()
			if err := <-copied; err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "end\n")
			_ = http.NewResponseController(w).Flush()
			<-read
		}))
		gatetest.Each(t, h, func(t *testing.T, address string) {
			in := bufio.NewReader(gatetest.Fetch(t, gatetest.To(t, http.MethodGet, address, nil)).Body)
			for range 4 {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				read <- line
			}
		})
	}
}

func TestHijack(t *testing.T) {
	t.Parallel()
	h := wrap(t, transform.Config{Response: transform.Response{JSON: ptr(hides())}}, gatetest.Switching(t))
	gatetest.Each(t, h, func(t *testing.T, address string) {
		gatetest.Switched(t, gatetest.Dial(t, address))
	})
}
