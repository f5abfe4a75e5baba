package openapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/openapi"
)

// quick fails where a request takes long. What took minutes takes a second here.
func quick(t *testing.T, v *openapi.Validator, body string) []string {
	t.Helper()
	start := time.Now()
	got := mistakes(t, ask(t, v, "POST", "/", body))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("a body of %d bytes took %v", len(body), took)
	}
	return got
}

// Expressions of expressions, closed to other fields: each level has two
// alternatives, and each of them looks at all that is below.
func TestOtherFieldsOfAlternatives(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths: {/: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/E'}}}}}}}
components:
  schemas:
    E:
      anyOf: [{$ref: '#/components/schemas/Not'}, {$ref: '#/components/schemas/Minus'}]
      unevaluatedProperties: false
    Not: {required: [op], properties: {op: {const: not}, of: {$ref: '#/components/schemas/E'}}}
    Minus: {required: [op], properties: {op: {const: minus}, of: {$ref: '#/components/schemas/E'}}}
`, nil)
	deep := func(levels int, innermost string) string {
		return strings.Repeat(`{"op":"not","of":`, levels) + innermost + strings.Repeat("}", levels)
	}
	if got := quick(t, v, deep(10, `{"op":"minus"}`)); got != nil {
		t.Errorf("ten levels: %q", got)
	}
	if got := quick(t, v, deep(2, `{"op":"minus","more":1}`)); len(got) == 0 {
		t.Error("a field that no alternative knows is let through")
	}
	if got := quick(t, v, deep(90, `{"op":"minus"}`)); got != nil {
		t.Errorf("ninety levels: %q", got)
	}
}

// What is innermost is gone through as often as there are ways to it.
func TestAlternativesOfMuch(t *testing.T) {
	t.Parallel()
	var fields strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&fields, `"k%d":0,`, i)
	}
	for _, c := range []struct{ name, keywords, innermost string }{
		{"fields", `{type: object, properties: {a: {}}}`, "{" + fields.String() + `"z":0}`},
		{"unique items", `{type: array, uniqueItems: true}`, "[[" + strings.Repeat(`"aaaaaaaaaaaaaaaaaaaaaaaaa",`, 10_000) + `1]]`},
		{"a pattern", `{type: string, pattern: '^(a?b?)*$'}`, `"` + strings.Repeat("ab", 40_000) + `"`},
	} {
		v := validator(t, head+`
paths: {/: {post: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}}}
components:
  schemas:
    A: {anyOf: [{$ref: '#/components/schemas/N'}, {allOf: [{$ref: '#/components/schemas/N'}]}, {allOf: [`+c.keywords+`], not: {}}]}
    N: {type: object, required: [n], properties: {n: {$ref: '#/components/schemas/A'}}}
`, &openapi.Options{MaxValues: 20_000})
		deep := strings.Repeat(`{"n":`, 16) + c.innermost + strings.Repeat("}", 16)
		if got := quick(t, v, deep); len(got) == 0 {
			t.Errorf("%s: what does not fit is let through", c.name)
		}
	}
}

// What could not be checked for want of time did not fit; to not, that would be
// well.
func TestNotOfMuch(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths: {/: {post: {requestBody: {content: {application/json: {schema: {not: {$ref: '#/components/schemas/A'}}}}}}}}
components:
  schemas:
    A: {anyOf: [{$ref: '#/components/schemas/N'}, {allOf: [{$ref: '#/components/schemas/N'}]}, {const: 1}]}
    N: {type: object, required: [n], properties: {n: {allOf: [{$ref: '#/components/schemas/A'}, {not: {const: 2}}]}}}
`, nil)
	deep := strings.Repeat(`{"n":`, 90) + "3" + strings.Repeat("}", 90)
	if got := quick(t, v, deep); len(got) != 1 || !strings.Contains(got[0], "too long") {
		t.Errorf("got %q", got)
	}
}
