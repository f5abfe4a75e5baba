package openapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

// ask sends a request through a validator. The body that arrives is compared with
// the one that was sent.
func ask(t testing.TB, v *openapi.Validator, method, target, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived, err := io.ReadAll(r.Body)
		if err != nil || string(arrived) != body {
			t.Errorf("%s %s: the body %q arrived as %q, %v", method, target, body, arrived, err)
		}
		w.WriteHeader(http.StatusNoContent)
	})).ServeHTTP(w, r)
	return w
}

// mistakes returns "in field pointer: text" of an answer.
func mistakes(t testing.TB, w *httptest.ResponseRecorder) []string {
	t.Helper()
	if w.Code == http.StatusNoContent {
		return nil
	}
	var p openapi.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" || p.Status != w.Code || p.Title != http.StatusText(w.Code) {
		t.Errorf("no problem details: %s %s", got, w.Body)
	}
	var all []string
	for _, m := range p.Errors {
		all = append(all, strings.Join(strings.Fields(m.In+" "+m.Field+" "+m.Pointer), " ")+": "+m.Text)
	}
	if all == nil {
		all = []string{fmt.Sprint(p.Status)}
	}
	return all
}

func TestParameters(t *testing.T) {
	t.Parallel()
	document := func(parameter string) string {
		path := "/a"
		if strings.Contains(parameter, "in: path") {
			path = "/a/{p}"
		}
		return head + "paths:\n  " + path + ":\n    get:\n      parameters:\n      - " + parameter + "\n"
	}
	for _, c := range []struct {
		parameter, target, header string
		want                      string
	}{
		{`{name: p, in: path, required: true, schema: {type: integer}}`, "/a/7", "", ""},
		{`{name: p, in: path, required: true, schema: {type: integer}}`, "/a/x", "", "path p: has to be integer"},
		{`{name: p, in: path, required: true, schema: {type: string, maxLength: 3}}`, "/a/a%2Fb", "", ""},
		{`{name: p, in: path, required: true, schema: {type: string, maxLength: 2}}`, "/a/%C3%A9%C3%A9", "", ""},
		{`{name: p, in: path, required: true, schema: {type: array, items: {type: integer}}}`, "/a/1,2,x", "", "path p /2: has to be integer"},
		{`{name: p, in: path, required: true, schema: {type: array, items: {enum: ['a,b', c]}}}`, "/a/a%2Cb,c", "", ""},
		{`{name: p, in: path, required: true, style: label, schema: {type: integer}}`, "/a/.7", "", ""},
		{`{name: p, in: path, required: true, style: label, explode: true, schema: {type: array, items: {type: integer}}}`, "/a/.7.8", "", ""},
		{`{name: p, in: path, required: true, style: label, schema: {type: integer}}`, "/a/7", "", "path p: is not written in the style label"},
		{`{name: p, in: path, required: true, style: matrix, schema: {type: integer}}`, "/a/;p=7", "", ""},
		{`{name: p, in: path, required: true, style: matrix, schema: {type: integer}}`, "/a/7", "", "path p: is not written in the style matrix"},
		{`{name: p, in: path, required: true, style: matrix, explode: true, schema: {type: array, items: {type: integer}}}`, "/a/;p=7;p=x", "", "path p /1: has to be integer"},
		{`{name: p, in: path, required: true, schema: {type: object, properties: {a: {type: integer}}}}`, "/a/a,1,b,2", "", ""},
		{`{name: p, in: path, required: true, schema: {type: object, properties: {a: {type: integer}}}}`, "/a/a,x", "", "path p /a: has to be integer"},
		{`{name: p, in: path, required: true, schema: {type: object}}`, "/a/a,1,a,2", "", "path p: is no list of names and values, each name once"},
		{`{name: p, in: path, required: true, explode: true, schema: {type: object, properties: {a: {type: integer}}}}`, "/a/a=x", "", "path p /a: has to be integer"},
		{`{name: p, in: path, required: true, style: matrix, explode: true, schema: {type: object, properties: {a: {type: integer}, b: {type: integer}}}}`, "/a/;a=1;b=x", "", "path p /b: has to be integer"},
		{`{name: q, in: query, required: true}`, "/a", "", "query q: is missing"},
		{`{name: q, in: query, required: true, schema: {type: string}}`, "/a?q=", "", ""},
		{`{name: q, in: query, schema: {type: integer, maximum: 100}}`, "/a", "", ""},
		{`{name: q, in: query, schema: {type: integer, maximum: 100}}`, "/a?q=101", "", "query q: has to be at most 100"},
		{`{name: q, in: query, schema: {type: integer}}`, "/a?q=", "", "query q: has to be integer"},
		{`{name: q, in: query, allowEmptyValue: true, schema: {type: integer}}`, "/a?q=", "", ""},
		{`{name: q, in: query, schema: {type: integer}}`, "/a?q=1&q=2", "", "query q: occurs more than once"},
		{`{name: q, in: query, schema: {type: integer}}`, "/a?%71=x", "", "query q: has to be integer"},
		{`{name: q, in: query, schema: {type: integer}}`, "/a?q=%zz", "", "query: is not percent-encoded as it has to be"},
		{`{name: q, in: query, schema: {type: boolean}}`, "/a?q=TRUE", "", "query q: has to be boolean"},
		{`{name: q, in: query, schema: {type: [integer, boolean]}}`, "/a?q=true", "", ""},
		{`{name: q, in: query, schema: {enum: [1, two]}}`, "/a?q=two", "", ""},
		{`{name: q, in: query, schema: {enum: [1, two]}}`, "/a?q=1", "", ""},
		{`{name: q, in: query, schema: {anyOf: [{type: integer, maximum: 3}, {type: string, minLength: 2}]}}`, "/a?q=10", "", ""},
		{`{name: q, in: query, schema: {type: integer, maximum: 9007199254740992}}`, "/a?q=9007199254740993", "", "query q: has to be at most 9007199254740992"},
		{`{name: q, in: query, schema: {type: array, items: {type: integer}, maxItems: 2}}`, "/a?q=1&q=2&q=3", "", "query q: has to have at most 2 items"},
		{`{name: q, in: query, explode: false, schema: {type: array, items: {type: integer}}}`, "/a?q=1,2,x", "", "query q /2: has to be integer"},
		{`{name: q, in: query, explode: false, schema: {type: array, items: {type: string}, maxItems: 1}}`, "/a?q=a%2Cb", "", ""},
		{`{name: q, in: query, style: pipeDelimited, explode: false, schema: {type: array, items: {type: integer}}}`, "/a?q=1%7C2|3", "", ""},
		{`{name: q, in: query, style: spaceDelimited, explode: false, schema: {type: array, items: {type: integer}}}`, "/a?q=1%202+x", "", "query q /2: has to be integer"},
		{`{name: q, in: query, style: deepObject, required: true, schema: {type: object, properties: {a: {type: integer}}}}`, "/a?q[a]=x", "", "query q /a: has to be integer"},
		{`{name: q, in: query, style: deepObject, required: true, schema: {type: object, properties: {a: {type: integer}}}}`, "/a?q%5Ba%5D=1", "", ""},
		{`{name: q, in: query, style: deepObject, required: true, schema: {type: object}}`, "/a", "", "query q: is missing"},
		{`{name: q, in: query, schema: {type: object, properties: {a: {type: integer}, b: {type: array, items: {type: integer}}}}}`, "/a?a=1&b=1&b=x", "", "query q /b/1: has to be integer"},
		{`{name: q, in: query, schema: {type: object, properties: {a: {type: integer}}}}`, "/a?a=1&a=2", "", "query q: has a field more than once"},
		{`{name: q, in: query, content: {application/json: {schema: {type: object, required: [a]}}}}`, "/a?q=%7B%7D", "", `query q: has no field "a", which is required`},
		{`{name: q, in: query, content: {application/json: {}}}`, "/a?q=%7B", "", "query q: is no JSON: at byte 1: a name should be here"},
		{`{name: x-n, in: header, required: true, schema: {type: integer}}`, "/a", "", "header X-N: is missing"},
		{`{name: x-n, in: header, schema: {type: integer}}`, "/a", "X-N: secret", "header X-N: has to be integer"},
		{`{name: X-N, in: header, schema: {type: array, items: {type: integer}}}`, "/a", "X-N: 1, 2", ""},
		{`{name: X-N, in: header, schema: {type: array, items: {type: integer}}}`, "/a", "X-N: 1, secret", "header X-N /1: has to be integer"},
		{`{name: Authorization, in: header, required: true, schema: {type: integer}}`, "/a", "", ""},
		{`{name: c, in: cookie, required: true, schema: {type: integer}}`, "/a", "Cookie: c=secret", "cookie c: has to be integer"},
		{`{name: c, in: cookie, required: true, schema: {type: integer}}`, "/a", "Cookie: d=1", "cookie c: is missing"},
		{`{name: c, in: cookie, schema: {type: integer}}`, "/a", "Cookie: c=1; c=2", "cookie c: occurs more than once"},
		{`{name: c, in: cookie, schema: {type: array, items: {type: integer}}}`, "/a", "Cookie: c=1; c=x", "cookie c: occurs more than once"},
		{`{name: c, in: cookie, schema: {type: array, items: {type: integer}}}`, "/a", "Cookie: c=1", ""},
	} {
		t.Run(c.parameter+" "+c.target+" "+c.header, func(t *testing.T) {
			t.Parallel()
			name, value, _ := strings.Cut(c.header, ": ")
			w := ask(t, validator(t, document(c.parameter), nil), "GET", c.target, "", name, value)
			got := mistakes(t, w)
			if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || got[0] != c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer shows a value: %s", w.Body)
			}
		})
	}
}

func TestUnknownQuery(t *testing.T) {
	t.Parallel()
	text := head + `
paths:
  /a:
    get:
      parameters:
      - {name: q, in: query}
      - {name: f, in: query, style: deepObject, schema: {type: object}}
      - {name: o, in: query, schema: {type: object, additionalProperties: false, properties: {x: {}}}}
  /free: {get: {parameters: [{name: o, in: query, schema: {type: object}}]}}
components: {securitySchemes: {k: {type: apiKey, in: query, name: api_key}}}
`
	strict, lax := validator(t, text, &openapi.Options{Query: openapi.Refuse}), validator(t, text, nil)
	for _, c := range []struct {
		target string
		want   []string
	}{
		{"/a?q=1&f[x]=1&x=1&api_key=s", nil},
		{"/a?utm=1&utm=2&v=3", []string{"query utm: is not known", "query v: is not known"}},
		{"/a?Q=1", []string{"query Q: is not known"}},
		{"/a?f=1", []string{"query f: is not known"}},
		{"/a?o=1", []string{"query o: is not known"}},
		{"/free?any=1", nil},
	} {
		if diff := cmp.Diff(c.want, mistakes(t, ask(t, strict, "GET", c.target, ""))); diff != "" {
			t.Errorf("%s: %s", c.target, diff)
		}
		if got := mistakes(t, ask(t, lax, "GET", c.target, "")); got != nil {
			t.Errorf("%s: refused although unknown parameters may pass: %q", c.target, got)
		}
	}
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	text := head + `
paths:
  /a:
    get: {}
    post: {requestBody: {required: true, content: {application/json: {schema: {type: object}}, image/*: {}}}}
    put: {requestBody: {content: {text/plain: {schema: {type: string, maxLength: 3}}}}}
`
	plain := validator(t, text, &openapi.Options{MaxBody: 20})
	open := validator(t, text, &openapi.Options{Operations: openapi.Pass, Body: openapi.Pass, BasePath: "/v1/"})
	long := strings.Repeat(" ", 20) + "{}"
	for _, c := range []struct {
		v                    *openapi.Validator
		method, target, body string
		header               []string
		status               int
	}{
		{plain, "GET", "/a", "", nil, 204},
		{plain, "HEAD", "/a", "", nil, 204},
		{plain, "GET", "/b", "", nil, 404},
		{plain, "DELETE", "/a", "", nil, 405},
		{plain, "GET", "/a", "{}", nil, 415},
		{plain, "POST", "/a", "", nil, 400},
		{plain, "POST", "/a", "{}", nil, 204},
		{plain, "POST", "/a", "[]", nil, 400},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "application/json; charset=UTF-8"}, 204},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "Application/JSON"}, 204},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "application/json; charset=utf-16"}, 415},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "text/plain"}, 415},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "application/json", "Content-Type", "image/png"}, 415},
		{plain, "POST", "/a", "{}", []string{"Content-Type", "nonsense;;"}, 415},
		{plain, "POST", "/a", "{}", []string{"Content-Encoding", "gzip"}, 415},
		{plain, "POST", "/a", "{}", []string{"Content-Encoding", "identity"}, 204},
		{plain, "POST", "/a", "\x89PNG", []string{"Content-Type", "image/png"}, 204},
		{plain, "POST", "/a", long, nil, 413},
		{plain, "POST", "/a", long, []string{"Content-Type", "image/png"}, 413},
		{plain, "PUT", "/a", "", nil, 204},
		{plain, "PUT", "/a", "abc", []string{"Content-Type", "text/plain"}, 204},
		{plain, "PUT", "/a", "abcd", []string{"Content-Type", "text/plain"}, 400},
		{open, "GET", "/v1/a", "{}", nil, 204},
		{open, "GET", "/v1/b", "", nil, 204},
		{open, "PATCH", "/v1/a", "x", nil, 204},
		{open, "POST", "/v1/a", "[]", nil, 400},
		{open, "POST", "/v1a", "[]", nil, 204},
		{open, "POST", "/a", "[]", nil, 204},
	} {
		w := ask(t, c.v, c.method, c.target, c.body, c.header...)
		if w.Code != c.status {
			t.Errorf("%s %s %q %v: %d, want %d: %s", c.method, c.target, c.body, c.header, w.Code, c.status, w.Body)
		}
		if w.Code == 405 && w.Header().Get("Allow") != "GET, HEAD, POST, PUT" {
			t.Errorf("Allow: %s", w.Header().Get("Allow"))
		}
	}
}

// Mistakes of all kinds are told at once, at most 20 of them.
func TestManyMistakes(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths:
  /a:
    post:
      parameters: [{name: q, in: query, required: true}, {name: h, in: header, required: true}]
      requestBody: {content: {application/json: {schema: {type: array, items: {type: string}}}}}
`, nil)
	got := mistakes(t, ask(t, v, "POST", "/a", "[1,2]"))
	want := []string{"query q: is missing", "header H: is missing", "body /0: has to be string", "body /1: has to be string"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := mistakes(t, ask(t, v, "POST", "/a", "["+strings.Repeat("1,", 1000)+"1]")); len(got) != 20 {
		t.Errorf("%d mistakes, want 20", len(got))
	}
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("f%d", i))
	}
	all := validator(t, schemaDocument("{required: ["+strings.Join(names, ", ")+"]}"), nil)
	if got := mistakes(t, ask(t, all, "POST", "/", "{}")); len(got) != 20 {
		t.Errorf("%d mistakes, want 20", len(got))
	}
}

func TestNewValidatorRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema string
		o      *openapi.Options
		want   string
	}{
		{`{type: string, pattern: '^(?=a)b'}`, nil, "test.yaml:5: /paths/~1/post/requestBody/content/application~1json/schema: the pattern \"^(?=a)b\" cannot be checked in linear time"},
		{`{type: string, pattern: '(a)\1'}`, nil, "linear time"},
		{`{patternProperties: {'(?!x)': {}}}`, nil, "linear time"},
		{`{type: strin}`, nil, "schema/type: it is no schema"},
		{`{minimum: x}`, nil, "schema/minimum: it is no schema"},
		{`{multipleOf: 0}`, nil, "schema/multipleOf: it is no schema"},
		{`{properties: {a: 1}}`, nil, "has to be an object"},
		{`{allOf: [{$ref: '#/paths/~1/post/requestBody/content/application~1json/schema'}]}`, nil, "without an end"},
		{`{}`, &openapi.Options{Query: "maybe"}, "refuse and pass"},
		{`{}`, &openapi.Options{MaxBody: -1}, "negative"},
		{`{}`, &openapi.Options{BasePath: "v1"}, "begin with /"},
	} {
		d, err := openapi.Parse("test.yaml", []byte(schemaDocument(c.schema)))
		if err == nil {
			_, err = openapi.NewValidator(d, c.o)
		}
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.schema, err, c.want)
		}
	}
}

func TestValidatorWithoutDocument(t *testing.T) {
	t.Parallel()
	if _, err := openapi.NewValidator(nil, nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestSkipPatternsAndFormats(t *testing.T) {
	t.Parallel()
	v := validator(t, schemaDocument(`{type: string, pattern: '^(?=a)', format: uuid}`), &openapi.Options{SkipPatterns: true, IgnoreFormats: true})
	if got := mistakes(t, ask(t, v, "POST", "/", `"b"`)); got != nil {
		t.Errorf("got %q, want none", got)
	}
}

func TestAnswerOption(t *testing.T) {
	t.Parallel()
	v := validator(t, schemaDocument(`{type: string}`), &openapi.Options{Answer: func(w http.ResponseWriter, _ *http.Request, p *openapi.Problem) {
		http.Error(w, p.Error()+" "+p.Errors[0].Text, http.StatusTeapot)
	}})
	w := ask(t, v, "POST", "/", "1")
	if w.Code != http.StatusTeapot || !strings.Contains(w.Body.String(), "has to be string") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
