package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/openapi"
)

// scalars are chosen so that different texts mean the same number, and numbers
// are where float64 rounds.
func scalars() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		`null`, `true`, `false`, `0`, `-0.0`, `1`, `1.0`, `10e-1`, `2`, `-3`, `0.1`, `0.3`, `1.5`, `1e20`, `9007199254740992`, `9007199254740993`,
		`""`, `"a"`, `"ab"`, `"é"`, `"1"`, `"2026-11-21"`,
	})
}

func values(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 3).Draw(t, "kind")
		if depth == 0 || kind < 2 {
			return scalars().Draw(t, "scalar")
		}
		parts := rapid.SliceOfN(values(depth-1), 0, 3).Draw(t, "parts")
		if kind == 2 {
			return "[" + strings.Join(parts, ",") + "]"
		}
		for i := range parts {
			parts[i] = fmt.Sprintf("%q:%s", string(rune('a'+i)), parts[i])
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
}

// generated makes schemas of every keyword that is evaluated here.
func generated(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "leaf") == 0 {
			return rapid.SampledFrom([]string{"true", "false", `{"$ref":"#/components/schemas/Tree"}`}).Draw(t, "schema")
		}
		var words []string
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(keywords()), 1, 3, rapid.ID[string]).Draw(t, "keywords") {
			words = append(words, fmt.Sprintf("%q:%s", name, keyword(t, name, depth)))
		}
		return "{" + strings.Join(words, ",") + "}"
	})
}

func keywords() []string {
	return []string{
		"type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "format",
		"minItems", "maxItems", "uniqueItems", "items", "prefixItems", "contains", "minContains", "maxContains",
		"required", "properties", "patternProperties", "additionalProperties", "propertyNames", "minProperties", "maxProperties", "dependentRequired", "dependentSchemas",
		"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "unevaluatedProperties", "unevaluatedItems",
	}
}

func keyword(t *rapid.T, name string, depth int) string {
	sub := func() string {
		if depth == 0 {
			return rapid.SampledFrom([]string{"true", "false", `{"type":"string"}`, `{"minimum":1}`}).Draw(t, "leaf")
		}
		return generated(depth-1).Draw(t, name)
	}
	pick := func(of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	switch name {
	case "type":
		return pick(`"null"`, `"boolean"`, `"integer"`, `"number"`, `"string"`, `"array"`, `"object"`, `["string","null"]`, `["integer","array"]`)
	case "enum":
		return "[" + values(1).Draw(t, "one") + "," + values(1).Draw(t, "two") + "]"
	case "const":
		return values(1).Draw(t, name)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return pick("0", "1", "1.0", "0.3", "9007199254740992", "9007199254740993", "-3", "1e20")
	case "multipleOf":
		return pick("1", "0.1", "2", "0.3")
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
		return pick("0", "1", "2")
	case "pattern":
		return pick(`"^a"`, `"b"`, `"^[0-9]+$"`)
	case "format":
		return pick(`"date"`, `"uuid"`, `"nonsense"`)
	case "uniqueItems":
		return pick("true", "false")
	case "prefixItems", "allOf", "anyOf", "oneOf":
		return "[" + sub() + "," + sub() + "]"
	case "required":
		return pick(`["a"]`, `["a","b"]`, `[]`)
	case "properties", "dependentSchemas":
		return `{"a":` + sub() + `,"b":` + sub() + `}`
	case "patternProperties":
		return `{"^[ab]$":` + sub() + `}`
	case "dependentRequired":
		return pick(`{"a":["b"]}`, `{"b":["a","c"]}`)
	}
	return sub()
}

// What is evaluated here is what the library evaluates, for every keyword; the
// library is the oracle.
func TestEvaluationAgreesWithLibrary(t *testing.T) {
	t.Parallel()
	tree := `{"type":"object","properties":{"a":{"$ref":"#/components/schemas/Tree"}}}`
	rapid.Check(t, func(t *rapid.T) {
		schema := generated(2).Draw(t, "schema")
		text := `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/":{"post":{"requestBody":{"content":{"application/json":{"schema":` + schema + `}}}}}},"components":{"schemas":{"Tree":` + tree + `}}}`
		oracle := compileWithLibrary(t, text)
		d, err := openapi.Parse("t", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v, err := openapi.NewValidator(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			value := values(2).Draw(t, "value")
			parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
			if err != nil {
				t.Fatal(err)
			}
			r, _ := http.NewRequest(http.MethodPost, "/", bytes.NewReader([]byte(value)))
			r.Header.Set("Content-Type", "application/json")
			_, problem := v.Check(r)
			if want := oracle.Validate(parsed); (want == nil) != (problem == nil) {
				text, _ := json.Marshal(problem)
				t.Fatalf("schema %s\nvalue %s\nthe library: %v\nhere: %s", schema, value, want, text)
			} else if problem != nil && (problem.Status != 400 || len(problem.Errors) == 0) {
				t.Fatalf("schema %s\nvalue %s\nrefused without a mistake: %+v", schema, value, problem)
			}
		}
	})
}

func compileWithLibrary(t *rapid.T, text string) *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("http://x/doc", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("http://x/doc#/paths/~1/post/requestBody/content/application~1json/schema")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// JSON that is taken is JSON to encoding/json too, and means the same.
func TestJSONAgreesWithStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := values(3).Draw(t, "value")
		text := `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"x-v":` + value + `}`
		d, err := openapi.Parse("t", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if want, got := normal(t, text), normal(t, string(written)); want != got {
			t.Fatalf("%s became %s", want, got)
		}
	})
}

func normal(t *rapid.T, text string) string {
	var v any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}
