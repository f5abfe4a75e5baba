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

// schemaDocument has one operation that takes JSON of a schema.
func schemaDocument(schema string) string {
	return head + `
paths:
  /: {post: {requestBody: {required: true, content: {application/json: {schema: ` + schema + `}}}}}
components:
  schemas:
    Tree: {type: object, required: [v], properties: {v: {type: integer}, next: {$ref: '#/components/schemas/Tree'}}}
    Id: {type: string, readOnly: true}
`
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema, value string
		want          string // the first mistake, "" for none
	}{
		// Types of 3.1.
		{`{type: [string, 'null']}`, `null`, ""},
		{`{type: [string, 'null']}`, `1`, "body: has to be null or string"},
		{`{type: integer}`, `1.0`, ""},
		{`{type: integer}`, `10e-1`, ""},
		{`{type: integer}`, `1.5`, "body: has to be integer"},
		{`{type: number}`, `1`, ""},
		{`{type: 'null'}`, `false`, "body: has to be null"},
		{`{const: order}`, `"order"`, ""},
		{`{const: order}`, `"other"`, `body: has to be "order"`},
		{`{const: 1}`, `1.0`, ""},
		{`{enum: [1, a, null]}`, `null`, ""},
		{`{enum: [1, a, null]}`, `2`, `body: has to be one of 1, "a", null`},
		{`{enum: [{a: [1]}]}`, `{"a":[1.0]}`, ""},
		{`true`, `1`, ""},
		{`false`, `1`, "body: is not allowed"},
		{`{}`, `[1]`, ""},
		// Numbers are exact.
		{`{type: integer, maximum: 9007199254740992}`, `9007199254740993`, "body: has to be at most 9007199254740992"},
		{`{type: integer, maximum: 9007199254740992}`, `9007199254740992`, ""},
		{`{type: integer, minimum: -9007199254740993}`, `-9007199254740994`, "body: has to be at least -9007199254740993"},
		{`{exclusiveMaximum: 0.3}`, `0.3`, "body: has to be less than 0.3"},
		{`{exclusiveMaximum: 0.3}`, `0.2999999999999999999999`, ""},
		{`{exclusiveMinimum: 0}`, `1e-400`, ""},
		{`{exclusiveMinimum: 0}`, `-0.0`, "body: has to be more than 0"},
		{`{maximum: 1e400}`, `1e399`, ""},
		{`{multipleOf: 0.01}`, `19.99`, ""},
		{`{multipleOf: 0.01}`, `19.999`, "body: has to be a multiple of 0.01"},
		{`{const: 9007199254740993}`, `9007199254740992`, "body: has to be 9007199254740993"},
		// Texts: characters, not bytes.
		{`{type: string, maxLength: 2}`, `"éé"`, ""},
		{`{type: string, maxLength: 1}`, `"😀"`, ""},
		{`{type: string, minLength: 2}`, `"😀"`, "body: has to have at least 2 characters"},
		{`{type: string, maxLength: 1}`, `"ab"`, "body: has to have at most 1 characters"},
		{`{pattern: '^a+$'}`, `"aab"`, "body: has to match ^a+$"},
		{`{pattern: b}`, `"abc"`, ""},
		{`{pattern: '^\u00e9\\u0041$'}`, `"é\\u0041"`, ""},
		{`{type: string, format: date-time}`, `"2026-02-30T00:00:00Z"`, "body: is no valid date-time"},
		{`{type: string, format: uuid}`, `"2eb8aa08-aa98-11ea-b4aa-73b441d16380"`, ""},
		{`{type: integer, format: int32}`, `2147483648`, "body: is no valid int32"},
		{`{type: integer, format: int64}`, `9223372036854775807`, ""},
		{`{type: integer, format: int64}`, `9223372036854775808`, "body: is no valid int64"},
		{`{type: string, format: byte}`, `"a*"`, "body: is no valid byte"},
		{`{type: string, format: regex}`, `"("`, ""},
		{`{type: string, format: unknown}`, `"x"`, ""},
		// Arrays.
		{`{type: array, items: {type: integer}}`, `[1,"a"]`, "body /1: has to be integer"},
		{`{prefixItems: [{type: string}], items: false}`, `["a"]`, ""},
		{`{prefixItems: [{type: string}], items: false}`, `["a",1]`, "body /1: is not allowed"},
		{`{prefixItems: [{type: string}, {type: integer}]}`, `["a","b"]`, "body /1: has to be integer"},
		{`{minItems: 1}`, `[]`, "body: has to have at least 1 items"},
		{`{maxItems: 1}`, `[1,2]`, "body: has to have at most 1 items"},
		{`{uniqueItems: true}`, `[1,{"a":1},1.0]`, "body: has to have no two equal items"},
		{`{uniqueItems: true}`, `["1",1,[1],[[1]],true,null,{"1":1},"d11"]`, ""},
		{`{uniqueItems: true}`, `[{"a":1,"b":2},{"b":2,"a":1}]`, "body: has to have no two equal items"},
		{`{contains: {const: 1}}`, `[2]`, "body: has to have at least 1 items of the kind that it has to contain"},
		{`{contains: {const: 1}, minContains: 0, maxContains: 1}`, `[1,1]`, "body: has to have at most 1 items of the kind that it has to contain"},
		{`{contains: {const: 1}, minContains: 0}`, `[]`, ""},
		// Objects.
		{`{required: [a]}`, `{}`, `body: has no field "a", which is required`},
		{`{properties: {a: {type: string}}}`, `{"a":1}`, "body /a: has to be string"},
		{`{properties: {a/b: {type: string}}}`, `{"a/b":1}`, "body /a~1b: has to be string"},
		{`{properties: {a: {}}, additionalProperties: false}`, `{"b":1}`, "body /b: is not allowed"},
		{`{additionalProperties: {type: integer}}`, `{"b":"x"}`, "body /b: has to be integer"},
		{`{patternProperties: {'^x-': {type: integer}}, additionalProperties: false}`, `{"x-a":"1"}`, "body /x-a: has to be integer"},
		{`{propertyNames: {maxLength: 1}}`, `{"ab":1}`, "body /ab: has a name that is not allowed"},
		{`{minProperties: 1}`, `{}`, "body: has to have at least 1 fields"},
		{`{maxProperties: 0}`, `{"a":1}`, "body: has to have at most 0 fields"},
		{`{dependentRequired: {a: [b]}}`, `{"a":1}`, `body: has no field "b", which is required with "a"`},
		{`{dependentSchemas: {a: {required: [c]}}}`, `{"a":1}`, `body: has no field "c", which is required`},
		// Combinations.
		{`{allOf: [{required: [a]}, {required: [b]}]}`, `{"a":1}`, `body: has no field "b", which is required`},
		{`{anyOf: [{type: string}, {type: object, required: [a]}]}`, `{}`, `body: has no field "a", which is required`},
		{`{anyOf: [{type: string}, {type: integer}]}`, `1`, ""},
		{`{anyOf: [{type: string}, {type: integer}]}`, `[]`, "body: fits none of 2 alternatives"},
		{`{oneOf: [{minimum: 1}, {maximum: 5}]}`, `3`, "body: fits 2 alternatives where it has to fit exactly one"},
		{`{oneOf: [{minimum: 1}, {maximum: 5}]}`, `7`, ""},
		{`{not: {type: string}}`, `"a"`, "body: is of a kind that is not allowed"},
		{`{if: {required: [a]}, then: {required: [b]}, else: {required: [c]}}`, `{"a":1}`, `body: has no field "b", which is required`},
		{`{if: {required: [a]}, then: {required: [b]}, else: {required: [c]}}`, `{}`, `body: has no field "c", which is required`},
		{`{$ref: '#/components/schemas/Tree'}`, `{"v":1,"next":{"v":2,"next":{"v":"x"}}}`, "body /next/next/v: has to be integer"},
		{`{$ref: '#/components/schemas/Tree', maxProperties: 1}`, `{"v":1,"a":2}`, "body: has to have at most 1 fields"},
		{`{$ref: '#/components/schemas/Tree/properties/v'}`, `"x"`, "body: has to be integer"},
		{`{$defs: {A: {type: string}}, items: {$ref: '#/paths/~1/post/requestBody/content/application~1json/schema/$defs/A'}}`, `[1]`, "body /0: has to be string"},
		{`{properties: {a: true}, unevaluatedProperties: false}`, `{"a":1,"b":2}`, "body /b: does not satisfy its schema"},
		{`{allOf: [{properties: {a: true}}], unevaluatedProperties: false}`, `{"a":1}`, ""},
		// Only answers need what is readOnly.
		{`{required: [id, b], properties: {id: {type: string, readOnly: true}, b: {}}}`, `{"b":1}`, ""},
		{`{required: [id, b], properties: {id: {$ref: '#/components/schemas/Id'}, b: {}}}`, `{"b":1}`, ""},
		{`{required: [id, b], properties: {id: {$ref: '#/components/schemas/Id'}, b: {}}}`, `{}`, `body: has no field "b", which is required`},
		// JSON that two programs may read differently.
		{`{}`, `{"a":1,"a":2}`, "body: is no JSON that can be taken, at byte 7: a name occurs twice in an object"},
		{`{}`, `{"a":1,"\u0061":2}`, "body: is no JSON that can be taken, at byte 7: a name occurs twice in an object"},
		{`{}`, `NaN`, "body: is no JSON that can be taken, at byte 0: no value begins like this"},
		{`{}`, `-Infinity`, "body: is no JSON that can be taken, at byte 0: a number is not written as JSON wants it"},
		{`{}`, `1 2`, "body: is no JSON that can be taken, at byte 2: something follows the end of the value"},
		{`{}`, `[1,]`, "body: is no JSON that can be taken, at byte 3: no value begins like this"},
		{`{}`, `01`, "body: is no JSON that can be taken, at byte 1: something follows the end of the value"},
		{`{}`, "\"\xff\"", "body: is no JSON that can be taken, at byte 0: a string is not UTF-8"},
		{`{}`, `"\ud800"`, "body: is no JSON that can be taken, at byte 1: an escape that does not exist, or half a surrogate pair"},
		{`{}`, `"\ud83d\ude00"`, ""},
		{`{}`, `1e999999999`, "body: is no JSON that can be taken, at byte 0: a number has too many digits"},
		{`{}`, strings.Repeat("[", 101) + strings.Repeat("]", 101), "body: is no JSON that can be taken, at byte 100: it is nested too deep"},
		{`{}`, strings.Repeat("[", 100) + strings.Repeat("]", 100), ""},
		{`{}`, "\ufeff1", "body: is no JSON that can be taken, at byte 0: no value begins like this"},
		{`{}`, `tru`, "body: is no JSON that can be taken, at byte 0: no value begins like this"},
		{`{}`, `{"a":`, "body: is no JSON that can be taken, at byte 5: it ends where a value should be"},
	} {
		t.Run(c.schema+" "+c.value[:min(len(c.value), 40)], func(t *testing.T) {
			t.Parallel()
			got := mistakes(t, ask(t, validator(t, schemaDocument(c.schema), nil), "POST", "/", c.value))
			if c.want == "" && got != nil || c.want != "" && (len(got) == 0 || got[0] != c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Schemas of OpenAPI 3.0 are another dialect.
func TestDialectOf30(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		schema, value string
		ok            bool
	}{
		{`{type: string, nullable: true}`, `null`, true},
		{`{type: string}`, `null`, false},
		{`{nullable: true}`, `null`, true},
		{`{type: string, nullable: true, enum: [a]}`, `null`, false},
		{`{type: integer, maximum: 5, exclusiveMaximum: true}`, `5`, false},
		{`{type: integer, maximum: 5, exclusiveMaximum: false}`, `5`, true},
		{`{type: integer, minimum: 5, exclusiveMinimum: true}`, `5`, false},
		{`{type: integer, const: 5}`, `6`, true},
		{`{type: object, properties: {a: {$ref: '#/components/schemas/A', maxLength: 1}}}`, `{"a":"long"}`, true},
		{`{type: object, properties: {a: {$ref: '#/components/schemas/A', nullable: true}}}`, `{"a":null}`, false},
		{`{type: string, example: 1}`, `"a"`, true},
	} {
		text := strings.ReplaceAll(schemaDocument(c.schema), "3.1.0", "3.0.3")
		text = strings.ReplaceAll(text, "  schemas:", "  schemas:\n    A: {type: string}")
		w := ask(t, validator(t, text, nil), "POST", "/", c.value)
		if (w.Code == http.StatusNoContent) != c.ok {
			t.Errorf("%s with %s: %d %s", c.schema, c.value, w.Code, w.Body)
		}
	}
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
