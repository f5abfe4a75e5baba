package openapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/banyanhq/banyan/openapi"
)

func TestMaxValues(t *testing.T) {
	t.Parallel()
	v := validator(t, schemaDocument("{}"), &openapi.Options{MaxValues: 10})
	if got := mistakes(t, ask(t, v, "POST", "/", "["+strings.Repeat("1,", 8)+"1]")); got != nil {
		t.Errorf("ten values: %q", got)
	}
	got := mistakes(t, ask(t, v, "POST", "/", "["+strings.Repeat("1,", 9)+"1]"))
	if len(got) != 1 || !strings.Contains(got[0], "too many values") {
		t.Errorf("eleven values: %q", got)
	}
}

// Two alternatives at each of ninety levels are 2^90 ways: the budget ends them.
func TestAlternativesOfAlternatives(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths: {/: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}}}
components:
  schemas:
    A: {anyOf: [{properties: {n: {$ref: '#/components/schemas/A'}}, required: [x]}, {properties: {n: {$ref: '#/components/schemas/A'}}, required: [y]}]}
`, nil)
	deep := func(innermost string) string {
		return strings.Repeat(`{"x":1,"y":1,"n":`, 90) + innermost + strings.Repeat("}", 90)
	}
	if got := mistakes(t, ask(t, v, "POST", "/", deep(`{"y":1}`))); got != nil {
		t.Errorf("what fits is refused: %q", got)
	}
	got := mistakes(t, ask(t, v, "POST", "/", deep("{}")))
	if len(got) == 0 || !strings.Contains(got[0], "takes too long to check") && !strings.Contains(got[0], "alternatives") {
		t.Errorf("what does not fit is answered with %q", got)
	}
}

// What a client sent is nowhere in the answer.
func TestValuesAreNotShown(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, schema := range []string{
		`{properties: {p: {type: integer}}}`, `{properties: {p: {enum: [a]}}}`, `{properties: {p: {const: a}}}`, `{properties: {p: {pattern: '^x'}}}`,
		`{properties: {p: {format: uuid}}}`, `{properties: {p: {maxLength: 1}}}`, `{properties: {p: {not: {type: string}}}}`, `{properties: {p: {anyOf: [{type: integer}, {maxLength: 1}]}}}`,
		`{properties: {p: {format: uuid}}, unevaluatedProperties: false}`, `{properties: {p: false}}`, `{properties: {p: {type: array}}}`, `{additionalProperties: false}`,
	} {
		w := ask(t, validator(t, schemaDocument(schema), nil), "POST", "/", `{"p":"`+secret+`"}`)
		if w.Code != 400 || strings.Contains(w.Body.String(), secret) {
			t.Errorf("%s: %d %s", schema, w.Code, w.Body)
		}
	}
	w := ask(t, validator(t, schemaDocument(`{}`), nil), "POST", "/", `{"p":"`+secret+`" x}`)
	if w.Code != 400 || strings.Contains(w.Body.String(), secret) {
		t.Errorf("syntax: %d %s", w.Code, w.Body)
	}
}

// The operation's own parameter goes before that of the path; webhooks are no
// paths.
func TestParametersOfThePath(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
webhooks: {/hook: {post: {}}}
paths:
  /a:
    $ref: '#/components/pathItems/A'
components:
  pathItems:
    A:
      parameters: [{name: q, in: query, schema: {type: integer}}, {name: x-h, in: header, required: true}]
      get: {parameters: [{name: q, in: query, schema: {type: boolean}}, {name: X-H, in: header}]}
`, nil)
	if got := mistakes(t, ask(t, v, "GET", "/a?q=true", "")); got != nil {
		t.Errorf("got %q", got)
	}
	if w := ask(t, v, "POST", "/hook", ""); w.Code != 404 {
		t.Errorf("a webhook is served: %d", w.Code)
	}
}

// One validator serves any number of requests at a time.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	v := shopValidator(t, nil)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				body := order(i)
				r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				if _, p := v.Check(r); (p == nil) != (i > 0) {
					t.Error(fmt.Sprint(i, p))
				}
			}
		})
	}
	wg.Wait()
}

// The hot path allocates about what the values of the body are.
func TestAllocations(t *testing.T) {
	v := shopValidator(t, nil)
	text := order(10)
	r := httptest.NewRequest(http.MethodPost, "/orders", nil)
	r.Header.Set("Content-Type", "application/json")
	got := testing.AllocsPerRun(20, func() {
		r.Body, r.ContentLength = body{bytesReader(text)}, int64(len(text))
		if _, p := v.Check(r); p != nil {
			t.Fatal(p.Errors)
		}
	})
	if got > 400 {
		t.Errorf("%.0f allocations for an order of ten lines, want at most 400", got)
	}
}

// A hundred schemas, each twice the next, are 2^100 when they are written out.
func TestSchemasOfSchemas(t *testing.T) {
	t.Parallel()
	text := func(last string) *openapi.Document {
		var out strings.Builder
		out.WriteString(head + "paths: {/: {get: {parameters: [{name: q, in: query, schema: {$ref: '#/components/schemas/S0'}}]}}}\ncomponents:\n  schemas:\n")
		for i := range 60 {
			fmt.Fprintf(&out, "    S%d: {allOf: [{$ref: '#/components/schemas/S%d'}, {$ref: '#/components/schemas/S%d'}]}\n", i, i+1, i+1)
		}
		fmt.Fprintf(&out, "    S60: %s\n", last)
		return parse(t, out.String())
	}
	before, after := text("{type: object}"), text("{type: string}")
	openapi.Diff(before, after) // what it finds does not matter, only that it ends
	v, err := openapi.NewValidator(before, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := mistakes(t, ask(t, v, "GET", "/?a=1", "")); got != nil && !strings.Contains(got[0], "too long") {
		t.Errorf("got %q", got)
	}
}
