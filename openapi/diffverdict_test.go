package openapi_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/openapi"
)

const nodes = `
components:
  schemas:
    Wrapped: {type: object, properties: {next: {allOf: [{$ref: '#/components/schemas/Wrapped'}], description: d}}}
    Nullable: {type: object, properties: {next: {anyOf: [{$ref: '#/components/schemas/Nullable'}, {type: 'null'}]}}}
    Both: {allOf: [{properties: {p: {$ref: '#/components/schemas/Both', title: a}}}, {properties: {p: {$ref: '#/components/schemas/Other'}}}]}
    Other: {allOf: [{properties: {p: {$ref: '#/components/schemas/Both'}}}, {properties: {p: {$ref: '#/components/schemas/Other', title: b}}}, {$ref: '#/components/schemas/Both'}]}
    Money: {type: number, maximum: LIMIT}
    Cat: {type: object, properties: {lives: {type: integer}}}
    Dog: {type: object, properties: {lives: {type: integer}}}
`

// schemaOf makes a document with a schema in a request and in an answer, and
// others to refer to.
func schemaOf(t testing.TB, schema, limit string) *openapi.Document {
	t.Helper()
	return parse(t, head+fmt.Sprintf(`
paths:
  /a:
    post:
      requestBody: {content: {application/json: {schema: %s}}}
      responses: {'200': {content: {application/json: {schema: %s}}}}
`, schema, schema)+strings.Replace(nodes, "LIMIT", limit, 1))
}

// verdicts returns what is said of the request and of the answer.
func verdicts(before, after *openapi.Document) (sent, got []string) {
	for _, c := range changes(openapi.Diff(before, after)) {
		if rest := strings.Replace(c, "body application/json", "", 1); rest != c {
			sent = append(sent, strings.Join(strings.Fields(rest), " "))
		} else {
			got = append(got, strings.Join(strings.Fields(strings.Replace(c, "answer 200 application/json", "", 1)), " "))
		}
	}
	return sent, got
}

// A schema that contains itself behind allOf or "or null" is ordinary.
func TestDiffOfRecursionEnds(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Wrapped", "Nullable", "Both", "Other"} {
		ref := "{$ref: '#/components/schemas/" + name + "'}"
		start := time.Now()
		got := openapi.Diff(schemaOf(t, ref, "5"), schemaOf(t, ref, "6"))
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		}
		if name != "Both" && name != "Other" && len(got) > 0 { // those grow at each level: they may be given up
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDiffVerdicts(t *testing.T) {
	t.Parallel()
	refs := func(more ...string) string {
		for i, name := range more {
			more[i] = "{$ref: '#/components/schemas/" + name + "'}"
		}
		return strings.Join(more, ", ")
	}
	for _, c := range []struct {
		name, before, after string
		sent, got           []string
	}{
		{
			"siblings of a reference that was seen", `{properties: {a: {$ref: '#/components/schemas/Cat'}, b: {$ref: '#/components/schemas/Cat', maxProperties: 5}}}`,
			`{properties: {a: {$ref: '#/components/schemas/Cat'}, b: {$ref: '#/components/schemas/Cat', maxProperties: 3}}}`,
			[]string{"! /b: maxProperties was 5 and is 3"},
			[]string{"- /b: maxProperties was 5 and is 3"},
		},
		{
			"field becomes readOnly", `{properties: {a: {type: string}}}`, `{properties: {a: {type: string, readOnly: true}}}`,
			[]string{"! /a: is gone: what clients send has no effect, or is refused"},
			nil,
		},
		{
			"required field is no longer readOnly", `{required: [a], properties: {a: {readOnly: true}}}`, `{required: [a], properties: {a: {}}}`,
			[]string{"! /a: is new and required"},
			nil,
		},
		{"field becomes writeOnly", `{properties: {a: {}}}`, `{properties: {a: {writeOnly: true}}}`, nil, []string{"! /a: is gone"}},
		{"required all along, described now", `{required: [a]}`, `{required: [a], properties: {a: {}}}`, []string{"- /a: is new"}, []string{"- /a: is new"}},
		{
			"one becomes alternatives", `{type: string}`, `{oneOf: [{type: integer}, {type: string}]}`,
			[]string{"- : may be one of 2 alternatives"},
			[]string{"! : may be one of 2 alternatives"},
		},
		{
			"alternatives become one", `{oneOf: [{type: integer}, {type: string}]}`, `{type: string}`,
			[]string{"! : has to be one of what were 2 alternatives"},
			[]string{"- : has to be one of what were 2 alternatives"},
		},
		{
			"one becomes other alternatives", `{type: string}`, `{oneOf: [{type: integer}, {type: string, maxLength: 3}]}`,
			[]string{"! : has to fit one of 2 alternatives", "- : its type was string and may be anything"},
			[]string{"- : has to fit one of 2 alternatives", "! : its type was string and may be anything"},
		},
		{
			"bound becomes a lower exclusive one", `{minimum: 5}`, `{exclusiveMinimum: 4}`,
			[]string{"- : minimum was 5 and is 4 (exclusive)"},
			[]string{"! : minimum was 5 and is 4 (exclusive)"},
		},
		{
			"bound becomes exclusive", `{maximum: 5.0}`, `{exclusiveMaximum: 5}`,
			[]string{"! : maximum was 5.0 and is 5 (exclusive)"},
			[]string{"- : maximum was 5.0 and is 5 (exclusive)"},
		},
		{"the stricter of two bounds counts", `{minimum: 1, exclusiveMinimum: 3}`, `{minimum: 2, exclusiveMinimum: 3}`, nil, nil},
		{"const in an enum", `{enum: [a, b], const: a}`, `{enum: [a, c], const: a}`, nil, nil},
		{"const was in an enum", `{enum: [a, b], const: a}`, `{enum: [a, b]}`, []string{`- : allows "b" too`}, []string{`! : allows "b" too`}},
		{
			"pattern gone from a closed object", `{additionalProperties: false, patternProperties: {x: {}}}`, `{additionalProperties: false}`,
			[]string{"! : what is left to additionalProperties changed", "- /x: is gone"},
			[]string{"! : what is left to additionalProperties changed", "! /x: is gone"},
		},
		{"one is contained by default", `{contains: {}}`, `{contains: {}, minContains: 0}`, []string{"- : minContains was 1 and is 0"}, []string{"! : minContains was 1 and is 0"}},
		{
			"less is left over", `{unevaluatedProperties: false}`, `{unevaluatedProperties: false, additionalProperties: true}`,
			[]string{"! : what is left to unevaluatedProperties changed"},
			[]string{"! : what is left to unevaluatedProperties changed"},
		},
		{"bound of nothing", `{}`, `{minLength: 0, minItems: 0, minProperties: 0}`, nil, nil},
		{
			"what not refers to", `{not: {$ref: '#/components/schemas/Money'}}`, `{not: {$ref: '#/components/schemas/Money'}}`,
			[]string{"! : not changed in a way that cannot be judged"},
			[]string{"! : not changed in a way that cannot be judged"},
		},
		{"texts in not", `{not: {description: a, type: string}}`, `{not: {description: b, type: string}}`, nil, nil},
		{
			"fields by pattern", `{patternProperties: {'^x': {$ref: '#/components/schemas/Money'}}}`, `{patternProperties: {'^x': {$ref: '#/components/schemas/Money'}}}`,
			[]string{"! /^x: maximum was 5 and is 3"},
			[]string{"- /^x: maximum was 5 and is 3"},
		},
		{
			"discriminator's property", `{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: kind}}`, `{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: type}}`,
			[]string{"! : its kind was said by kind and is said by type"},
			[]string{"! : its kind was said by kind and is said by type"},
		},
		{
			"discriminator's values", `{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: k}}`,
			`{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: k, mapping: {cat: '#/components/schemas/Cat'}}}`,
			[]string{`! : kind "Cat" is gone`, `- : kind "cat" is new`},
			[]string{`- : kind "Cat" is gone`, `! : kind "cat" is new`},
		},
		{
			"discriminator spelled out", `{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: k}}`,
			`{oneOf: [` + refs("Cat", "Dog") + `], discriminator: {propertyName: k, mapping: {Cat: Cat, Dog: '#/components/schemas/Dog'}}}`, nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sent, got := verdicts(schemaOf(t, c.before, "5"), schemaOf(t, c.after, "3"))
			if diff := cmp.Diff(c.sent, sent); diff != "" {
				t.Error("request:", diff)
			}
			if diff := cmp.Diff(c.got, got); diff != "" {
				t.Error("answer:", diff)
			}
		})
	}
}

// Ranges of media types, classes of statuses and default describe what has no
// description of its own.
func TestDiffOfRanges(t *testing.T) {
	t.Parallel()
	responses := func(text string) string { return `/a: {get: {responses: ` + text + `}}` }
	takes := func(text string) string { return `/a: {post: {requestBody: {content: ` + text + `}}}` }
	schema := func(name string) string { return `{content: {a/b: {schema: {type: ` + name + `}}}}` }
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"status becomes its class", responses(`{'200': {}, '404': ` + schema("string") + `}`), responses(`{'200': {}, 4XX: ` + schema("string") + `}`), []string{"- answer 4XX: is new"}},
		{"status becomes default", responses(`{'200': {}, '404': ` + schema("string") + `}`), responses(`{'200': {}, default: ` + schema("integer") + `}`), []string{"! answer 404 a/b: its type was string and is integer", "- answer default: is new"}},
		{"status out of default", responses(`{default: ` + schema("string") + `}`), responses(`{'200': ` + schema("integer") + `, default: ` + schema("string") + `}`), []string{"! answer 200 a/b: its type was string and is integer"}},
		{"success goes, default is for errors", responses(`{'200': {}, default: {}}`), responses(`{'201': {}, default: {}}`), []string{"! answer 200: is gone", "- answer 201: is new"}},
		{"default goes", responses(`{'200': {}, default: {}}`), responses(`{'200': {}}`), []string{"- answer default: is gone"}},
		{"media type becomes a range", takes(`{a/b: {schema: {type: string}}}`), takes(`{a/*: {schema: {type: string}}}`), nil},
		{"range becomes a media type", takes(`{a/*: {}}`), takes(`{a/b: {}}`), []string{"! body a/*: is gone"}},
		{"media type out of a range", takes(`{a/*: {schema: {type: string}}}`), takes(`{a/b: {schema: {type: integer}}, a/*: {schema: {type: string}}}`), []string{"! body a/b: its type was string and is integer"}},
		{"charset and case", takes(`{a/b: {schema: {type: string}}}`), takes(`{A/B; charset=utf-8: {schema: {type: string}}}`), nil},
		{"range of answers becomes a part of it", responses(`{'200': {content: {a/*: {}}}}`), responses(`{'200': {content: {a/b: {}}}}`), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, changes(openapi.Diff(version(t, c.before), version(t, c.after)))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiffOfSchemes(t *testing.T) {
	t.Parallel()
	text := func(scheme string) *openapi.Document {
		return parse(t, head+"security: [{k: []}]\npaths: {/a: {get: {}}}\ncomponents: {securitySchemes: {k: "+scheme+"}}")
	}
	flow := "{type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a/%s', scopes: {}}}}"
	for _, c := range []struct {
		before, after string
		breaks        bool
	}{
		{"{type: apiKey, in: header, name: X-K}", "{type: apiKey, in: header, name: x-k}", false},
		{"{type: apiKey, in: query, name: K}", "{type: apiKey, in: query, name: k}", true},
		{fmt.Sprintf(flow, "t"), fmt.Sprintf(flow, "t"), false},
		{fmt.Sprintf(flow, "t"), fmt.Sprintf(flow, "u"), true},
	} {
		got := openapi.Diff(text(c.before), text(c.after))
		if breaks := len(got) == 1 && got[0].Breaking; breaks != c.breaks || !c.breaks && got != nil {
			t.Errorf("%s to %s: %v", c.before, c.after, got)
		}
	}
}

// A schema of thousands of parts, in a hundred operations. Put together part by
// part, this took minutes.
func TestDiffOfManyParts(t *testing.T) {
	t.Parallel()
	text := func(limit string) *openapi.Document {
		var paths, parts strings.Builder
		for i := range 50 {
			fmt.Fprintf(&paths, `"/a%d":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/S"}}}}}},`, i)
		}
		for i := range 8000 {
			fmt.Fprintf(&parts, `{"properties":{"p%d":{}},"required":["p%d"]},`, i, i)
		}
		return parse(t, `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{`+paths.String()+`"/":{}},"components":{"schemas":{"S":{"allOf":[`+parts.String()+`{"maxProperties":`+limit+`}]}}}}`)
	}
	before, after := text("9000"), text("8999")
	start := time.Now()
	got := openapi.Diff(before, after)
	if len(got) != 50 || !strings.Contains(got[0].Text, "maxProperties") {
		t.Errorf("%d changes: %.500v", len(got), got)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Error(took)
	}
}
