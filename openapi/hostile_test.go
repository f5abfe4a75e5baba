package openapi_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

// Documents that are small and take their reader long, or much memory. Each of
// these took minutes, or gigabytes.
func TestParseHostile(t *testing.T) {
	t.Parallel()
	chain := func(n int) string {
		var out strings.Builder
		for i := range n {
			fmt.Fprintf(&out, `"A%d":{"$ref":"#/components/schemas/A%d"},`, i, i+1)
		}
		return `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":{` + out.String() + fmt.Sprintf(`"A%d":{}}}}`, n)
	}
	keys := func(indent string, n int) string {
		var out strings.Builder
		for i := range n {
			fmt.Fprintf(&out, "%sk%d: 1\n", indent, i)
		}
		return head + "paths: {}\nx-a:\n" + out.String()
	}
	long := strings.Repeat("a", 100_000)
	for _, c := range []struct{ name, text, want string }{
		{"references", chain(20_000), "leads through more than"},
		{"long pointers", `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{},"components":{"schemas":{"` + long + `":{"allOf":[` + strings.Repeat("{},", 100_000) + `{}]}}}}`, "too long"},
		{"aliases of a long text", head + "paths: {}\nx-a: &a " + long + "\nx-b: [" + strings.Repeat("*a, ", 5000) + "]\n", "too long together"},
		{"long paths", head + "paths: {}\nx-a:\n  " + long + ":\n" + strings.Repeat("  - a\n", 100_000), "too long"},
		{"keys", keys("", 200_000), "too many keys"},
		{"keys below", keys("  ", 200_000), "too many keys"},
	} {
		start := time.Now()
		_, err := openapi.Parse("hostile", []byte(c.text))
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %.200v, want %q", c.name, err, c.want)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: %v", c.name, took)
		}
	}
	// What is only large is read.
	for _, text := range []string{chain(90), keys("  ", 2000), head + "paths: {}\nx-a:\n" + strings.Repeat("- a: 1\n  b: 2\n", 20_000)} {
		if _, err := openapi.Parse("large", []byte(text)); err != nil {
			t.Errorf("%.300v", err)
		}
	}
}

// References are fragments of URIs: what they name may be percent-encoded.
func TestReferencesAreDecoded(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths:
  /a/{id}:
    post: {requestBody: {content: {application/json: {schema: {properties: {x: {$ref: '#/components/schemas/A%20b%22'}, y: {$ref: '#/components/schemas/C/properties/100%25'}, z: {$ref: '#/components/schemas/C/properties/100%'}}}}}}}
  /b:
    post: {requestBody: {$ref: '#/paths/~1a~1%7Bid%7D/post/requestBody'}}
components: {schemas: {A b": {type: integer}, C: {properties: {100%: {type: string}}}}}
`, nil)
	for _, path := range []string{"/a/1", "/b"} {
		if got := mistakes(t, ask(t, v, "POST", path, `{"x":"no","y":1,"z":2}`)); len(got) != 3 {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestParseRefusesBesideReference(t *testing.T) {
	t.Parallel()
	_, err := openapi.Parse("t", []byte(head+"paths: {/a: {$ref: '#/components/pathItems/P', get: {}}}\ncomponents: {pathItems: {P: {post: {}}}}"))
	if err == nil || !strings.Contains(err.Error(), "get beside $ref") {
		t.Errorf("got %v", err)
	}
	parse(t, head+"paths: {/a: {$ref: '#/components/pathItems/P', summary: s}}\ncomponents: {pathItems: {P: {post: {}}}}")
}

// What is readOnly need not be sent, wherever required says it, and wherever the
// field is described.
func TestReadOnlyIsNotRequired(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{allOf: [{$ref: '#/components/schemas/Base'}, {required: [id, name]}]}`,
		`{$ref: '#/components/schemas/Base', required: [id, name]}`,
		`{required: [id, name], properties: {id: {allOf: [{$ref: '#/components/schemas/ID'}]}}}`,
		`{required: [id, name], properties: {id: {$ref: '#/components/schemas/ID'}}}`,
	} {
		v := validator(t, head+"paths: {/: {post: {requestBody: {content: {application/json: {schema: "+schema+`}}}}}}
components: {schemas: {ID: {type: integer, readOnly: true}, Base: {properties: {id: {type: integer, readOnly: true}, name: {}}}}}`, nil)
		if got := mistakes(t, ask(t, v, "POST", "/", `{"name":"n"}`)); got != nil {
			t.Errorf("%s: %q", schema, got)
		}
		if got := mistakes(t, ask(t, v, "POST", "/", `{"id":1}`)); len(got) != 1 || !strings.Contains(got[0], `"name"`) {
			t.Errorf("%s without name: %q", schema, got)
		}
	}
}
