package openapi_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/openapi"
)

func TestForms(t *testing.T) {
	t.Parallel()
	text := head + `
paths:
  /a:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded: {schema: &form {type: object, additionalProperties: false, required: [n], properties: {n: {type: integer}, l: {type: array, items: {type: boolean}}, s: {type: string}, o: {type: object, required: [a]}}}}
          multipart/form-data: {schema: *form}
`
	v := validator(t, text, nil)
	part := func(header, body string) string {
		return "--b\r\nContent-Disposition: form-data; " + header + "\r\n\r\n" + body + "\r\n"
	}
	const form, parts = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
	for _, c := range []struct{ kind, body, want string }{
		{form, "n=1&l=true&l=false&s=1", ""},
		{form, "n=x", "body /n: has to be integer"},
		{form, "s=a", `body: has no field "n", which is required`},
		{form, "n=1&l=true&l=x", "body /l/1: has to be boolean"},
		{form, "n=1&n=2", "body /n: has to be integer"},
		{form, "n=1&x=1", "body /x: is not allowed"},
		{form, "n=%", "body: is not percent-encoded as it has to be"},
		{parts, part(`name="n"`, "7") + part(`name="s"; filename="a.txt"`, "text") + "--b--\r\n", ""},
		{parts, part(`name="n"`, "x") + "--b--\r\n", "body /n: has to be integer"},
		{parts, part(`name="n"`, "7") + part("name=\"o\"\r\nContent-Type: application/json", "{}") + "--b--\r\n", `body /o: has no field "a", which is required`},
		{parts, part(`name="n"`, "7") + part("name=\"o\"\r\nContent-Type: application/json", `{"a":1}`) + "--b--\r\n", ""},
		{parts, "nonsense", "body: is no multipart/form-data"},
		{"multipart/form-data", "x", "body: has no boundary"},
	} {
		got := mistakes(t, ask(t, v, "POST", "/a", c.body, "Content-Type", c.kind))
		if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || got[0] != c.want) {
			t.Errorf("%s %q: got %q, want %q", c.kind, c.body, got, c.want)
		}
	}
}

// A body in chunks keeps its unknown length, and its trailers.
func TestChunkedBody(t *testing.T) {
	t.Parallel()
	v := validator(t, schemaDocument("{type: object}"), &openapi.Options{MaxBody: 100})
	server := httptest.NewServer(v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d %s %v %s", r.ContentLength, body, err, r.Trailer.Get("X-Sum"))
	})))
	defer server.Close()
	post := func(body string) (int, string) {
		r, _ := http.NewRequest(http.MethodPost, server.URL, io.MultiReader(strings.NewReader(body)))
		r.Header.Set("Content-Type", "application/json")
		r.Trailer = http.Header{"X-Sum": {"7"}}
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text)
	}
	if status, text := post(`{"a": 1 }`); status != 200 || text != `-1 {"a": 1 } <nil> 7` {
		t.Errorf("%d %s", status, text)
	}
	if status, text := post(`{"a": "` + strings.Repeat("x", 100) + `"}`); status != 413 {
		t.Errorf("%d %s", status, text)
	}
	if status, text := post(""); status != 400 || !strings.Contains(text, "is missing") {
		t.Errorf("%d %s", status, text)
	}
}

// A body that is not looked into is bounded all the same.
func TestUncheckedBodyIsBounded(t *testing.T) {
	t.Parallel()
	v := validator(t, head+"paths: {/a: {post: {requestBody: {content: {image/png: {}}}}}}", &openapi.Options{MaxBody: 10})
	r := httptest.NewRequest("POST", "/a", strings.NewReader(strings.Repeat("x", 11)))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "image/png")
	var err error
	v.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, err = io.ReadAll(r.Body)
	})).ServeHTTP(httptest.NewRecorder(), r)
	var long *http.MaxBytesError
	if !errors.As(err, &long) {
		t.Errorf("got %v, want a MaxBytesError", err)
	}
}

// The most particular media type counts.
func TestMediaTypeRanges(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths:
  /a:
    post:
      requestBody:
        content:
          '*/*': {}
          text/*: {schema: {type: string, maxLength: 3}}
          text/plain: {schema: {type: string, maxLength: 5}}
          application/*+json: {schema: {type: string}}
          application/json: {schema: {type: object}}
          application/vnd.shop+json; v=1: {schema: {type: array}}
`, nil)
	for _, c := range []struct {
		kind, body string
		status     int
	}{
		{"text/plain", "abcd", 204},
		{"text/plain", "abcdef", 400},
		{"text/html", "abcd", 400},
		{"text/html", "abc", 204},
		{"image/png", "abcdef", 204},
		{"application/json", "{}", 204},
		{"application/json", "[]", 400},
		{"application/vnd.shop+json", "[]", 204},
		{"application/vnd.shop+json; v=2", "{}", 400},
	} {
		if w := ask(t, v, "POST", "/a", c.body, "Content-Type", c.kind); w.Code != c.status {
			t.Errorf("%s %q: %d, want %d: %s", c.kind, c.body, w.Code, c.status, w.Body)
		}
	}
	if got := ask(t, v, "GET", "/b", "").Body.String(); !strings.Contains(got, `"kind":"not-found"`) {
		t.Errorf("404: %s", got)
	}
}
