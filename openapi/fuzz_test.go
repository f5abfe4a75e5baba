package openapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

// Whatever the bytes are, Parse returns a document that can be written, read
// again and used, or an error of kind ErrInvalid.
func FuzzParse(f *testing.F) {
	shop, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(shop), users, head, `{"openapi":"3.0.0","info":{"title":"","version":""}}`, "a: &a [*a]", "? [\n", "- - -\n\t", "<<: *x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		d, err := openapi.Parse("fuzz", data)
		if err != nil {
			if !errors.Is(err, banyan.ErrInvalid) || err.Error() == "" {
				t.Fatalf("error %v is not of kind ErrInvalid", err)
			}
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := openapi.Parse("again", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if got := openapi.Diff(d, again); len(got) > 0 {
			t.Fatalf("what was written is something else: %v", got)
		}
		if _, err := openapi.NewValidator(d, nil); err != nil && !errors.Is(err, banyan.ErrInvalid) {
			t.Fatalf("error %v is not of kind ErrInvalid", err)
		}
		if _, err := openapi.Merge("all", "1", []openapi.Named{{Name: "fuzz", Doc: d}}); err != nil && !errors.Is(err, banyan.ErrInvalid) && !errors.Is(err, banyan.ErrConflict) {
			t.Fatal(err)
		}
		if _, err := d.Filter(func(op openapi.Operation) bool { return op.Method == "GET" }); err != nil && !errors.Is(err, banyan.ErrInvalid) {
			t.Fatal(err)
		}
	})
}

// Whatever is sent, the validator answers with a status of its own or hands the
// body on byte for byte; and JSON that it takes is JSON.
func FuzzValidator(f *testing.F) {
	d, err := openapi.Parse("fuzz", []byte(head+`
paths:
  /a/{p}:
    post:
      parameters:
      - {name: p, in: path, required: true, schema: {type: array, items: {type: [integer, 'null']}}}
      - {name: q, in: query, schema: {type: object, properties: {x: {type: integer}}}}
      - {name: d, in: query, style: deepObject, schema: {type: object}}
      - {name: h, in: header, schema: {type: object, additionalProperties: {type: number}}}
      - {name: c, in: cookie, schema: {type: boolean}}
      requestBody:
        content:
          application/json: {schema: {$ref: '#/components/schemas/T'}}
          application/x-www-form-urlencoded: {schema: {$ref: '#/components/schemas/T'}}
          multipart/form-data: {schema: {$ref: '#/components/schemas/T'}}
          text/*: {schema: {type: string, maxLength: 5}}
          '*/*': {}
components:
  schemas:
    T: {type: object, properties: {a: {type: integer, multipleOf: 0.1}, n: {$ref: '#/components/schemas/T'}, u: {uniqueItems: true, items: {anyOf: [{type: string}, {type: number}]}}}}
`))
	if err != nil {
		f.Fatal(err)
	}
	v, err := openapi.NewValidator(d, &openapi.Options{MaxBody: 1 << 12, Query: openapi.Refuse})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/a/1,2", "x=1&d[a]=2", "a,1", "c=true", "application/json", []byte(`{"a":1,"u":["a",1.0],"n":{}}`))
	f.Add("/a/%2c", "%", "", "", "multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--b--"))
	f.Add("/a/", "", "", "", "application/x-www-form-urlencoded", []byte("a=1&u=1&u=2"))
	f.Add("/a/x", "", "", "", "text/plain; charset=utf-8", []byte("\xff"))
	f.Fuzz(func(t *testing.T, path, query, header, cookie, kind string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("H", header)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			arrived, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(arrived, body) {
				t.Fatalf("%q arrived as %q, %v", body, arrived, err)
			}
			if kind == "application/json" && len(body) > 0 && !json.Valid(body) {
				t.Fatalf("%q passed as JSON", body)
			}
			w.WriteHeader(http.StatusNoContent)
		})).ServeHTTP(w, r)
		switch w.Code {
		case 204, 400, 404, 413, 415:
		default:
			t.Fatalf("status %d", w.Code)
		}
	})
}
