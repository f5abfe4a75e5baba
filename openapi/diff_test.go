package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/openapi"
)

// change is how a test writes a Change: "! where: text" for a breaking one,
// "- where: text" for another.
func changes(all []openapi.Change) []string {
	var out []string
	for _, c := range all {
		mark := "- "
		if c.Breaking {
			mark = "! "
		}
		out = append(out, mark+c.Where+": "+c.Text)
	}
	return out
}

// in and out make documents with a schema in a request and in an answer.
func in(schema string) string {
	return `/a: {post: {requestBody: {content: {application/json: {schema: ` + schema + `}}}}}`
}

func out(schema string) string {
	return `/a: {post: {responses: {'200': {content: {application/json: {schema: ` + schema + `}}}}}}`
}

func TestDiffSchemas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, before, after string
		where               string // after the media type
		sent, got           string // what it is for requests and for answers, "" for nothing
	}{
		{"same", `{type: string}`, `{type: string}`, "", "", ""},
		{"texts do not count", `{type: string, description: a, title: b}`, `{type: string, description: c, examples: [d]}`, "", "", ""},
		{"type narrowed", `{type: [string, 'null']}`, `{type: string}`, "", "! its type was null or string and is string", "- its type was null or string and is string"},
		{"type widened", `{type: string}`, `{type: [string, 'null']}`, "", "- its type was string and may be null or string", "! its type was string and may be null or string"},
		{"integer to number", `{type: integer}`, `{type: number}`, "", "- its type was integer and may be number", "! its type was integer and may be number"},
		{"number to integer", `{type: number}`, `{type: integer}`, "", "! its type was number and is integer", "- its type was number and is integer"},
		{"type set", `{}`, `{type: string}`, "", "! its type was anything and is string", "- its type was anything and is string"},
		{"null by anyOf", `{type: string}`, `{anyOf: [{type: string}, {type: 'null'}]}`, "", "- its type was string and may be null or string", "! its type was string and may be null or string"},
		{"null by anyOf is null by type", `{type: [string, 'null']}`, `{anyOf: [{type: string}, {type: 'null'}]}`, "", "", ""},
		{"enum value gone", `{enum: [a, b]}`, `{enum: [a]}`, "", `! no longer allows "b"`, `- no longer allows "b"`},
		{"enum value new", `{enum: [a]}`, `{enum: [a, b]}`, "", `- allows "b" too`, `! allows "b" too`},
		{"enum set", `{type: string}`, `{type: string, enum: [a]}`, "", `! allows "a" only`, `- allows "a" only`},
		{"enum dropped", `{type: string, enum: [a]}`, `{type: string}`, "", `- allows more than "a"`, `! allows more than "a"`},
		{"const is an enum of one", `{const: a}`, `{enum: [a]}`, "", "", ""},
		{"maximum lowered", `{maximum: 10}`, `{maximum: 9}`, "", "! maximum was 10 and is 9", "- maximum was 10 and is 9"},
		{"maximum raised exactly", `{maximum: 9007199254740992}`, `{maximum: 9007199254740993}`, "", "- maximum was 9007199254740992 and is 9007199254740993", "! maximum was 9007199254740992 and is 9007199254740993"},
		{"maximum rewritten", `{maximum: 10}`, `{maximum: 10.0}`, "", "", ""},
		{"maximum set", `{}`, `{maximum: 9}`, "", "! maximum was none and is 9", "- maximum was none and is 9"},
		{"maximum dropped", `{maximum: 9}`, `{}`, "", "- maximum was 9 and is none", "! maximum was 9 and is none"},
		{"minimum raised", `{minimum: 1}`, `{minimum: 2}`, "", "! minimum was 1 and is 2", "- minimum was 1 and is 2"},
		{"minimum lowered", `{minimum: 2}`, `{minimum: 1}`, "", "- minimum was 2 and is 1", "! minimum was 2 and is 1"},
		{"maxLength lowered", `{maxLength: 5}`, `{maxLength: 4}`, "", "! maxLength was 5 and is 4", "- maxLength was 5 and is 4"},
		{"minItems raised", `{minItems: 0}`, `{minItems: 1}`, "", "! minItems was 0 and is 1", "- minItems was 0 and is 1"},
		{"multipleOf finer", `{multipleOf: 0.1}`, `{multipleOf: 0.01}`, "", "- multipleOf was 0.1 and may be 0.01", "! multipleOf was 0.1 and may be 0.01"},
		{"multipleOf coarser", `{multipleOf: 2}`, `{multipleOf: 4}`, "", "! multipleOf was 2 and is 4", "- multipleOf was 2 and is 4"},
		{"multipleOf set", `{}`, `{multipleOf: 4}`, "", "! has to be a multiple of 4", "- has to be a multiple of 4"},
		{"pattern set", `{}`, `{pattern: a}`, "", "! pattern is a", "- pattern is a"},
		{"pattern dropped", `{pattern: a}`, `{}`, "", "- pattern is no longer a", "! pattern is no longer a"},
		{"pattern changed", `{pattern: a}`, `{pattern: b}`, "", "! pattern was a and is b", "! pattern was a and is b"},
		{"format wider", `{format: int32}`, `{format: int64}`, "", "- format is no longer int32", "! format is no longer int32"},
		{"format tighter", `{format: int64}`, `{format: int32}`, "", "! format is int32", "- format is int32"},
		{"format set", `{}`, `{format: uuid}`, "", "! format is uuid", "- format is uuid"},
		{"format changed", `{format: date}`, `{format: date-time}`, "", "! format was date and is date-time", "! format was date and is date-time"},
		{"uniqueItems set", `{}`, `{uniqueItems: true}`, "", "! has to have no two equal items", "- has to have no two equal items"},
		{"uniqueItems dropped", `{uniqueItems: true}`, `{}`, "", "- may have equal items", "! may have equal items"},
		{"field new", `{type: object}`, `{type: object, properties: {a: {}}}`, " /a", "- is new", "- is new"},
		{"field new and required", `{type: object}`, `{type: object, required: [a], properties: {a: {}}}`, " /a", "! is new and required", "- is new"},
		{"field gone", `{properties: {a: {}}}`, `{properties: {}}`, " /a", "! is gone: what clients send has no effect, or is refused", "! is gone"},
		{"field required now", `{properties: {a: {}}}`, `{required: [a], properties: {a: {}}}`, " /a", "! is required now", "- is required now"},
		{"field no longer required", `{required: [a], properties: {a: {}}}`, `{properties: {a: {}}}`, " /a", "- is no longer required", "! is no longer required"},
		{"field's type", `{properties: {a: {type: string}}}`, `{properties: {a: {type: integer}}}`, " /a", "! its type was string and is integer", "! its type was string and is integer"},
		{"field deep", `{properties: {a: {items: {properties: {b: {maximum: 2}}}}}}`, `{properties: {a: {items: {properties: {b: {maximum: 1}}}}}}`, " /a/*/b", "! maximum was 2 and is 1", "- maximum was 2 and is 1"},
		{"readOnly fields are for answers", `{required: [a], properties: {a: {readOnly: true}}}`, `{required: [a], properties: {a: {readOnly: true, type: string}}}`, " /a", "", "- its type was anything and is string"},
		{"writeOnly fields are for requests", `{properties: {a: {writeOnly: true, type: string}}}`, `{}`, " /a", "! is gone: what clients send has no effect, or is refused", ""},
		{"field deprecated", `{properties: {a: {}}}`, `{properties: {a: {deprecated: true}}}`, " /a", "- is deprecated", "- is deprecated"},
		{"closed", `{}`, `{additionalProperties: false}`, "", "! allows no other fields", "- allows no other fields"},
		{"opened", `{additionalProperties: false}`, `{}`, "", "- allows other fields", "- allows other fields"},
		{"other fields", `{additionalProperties: {type: string}}`, `{additionalProperties: {type: [string, 'null']}}`, " /*", "- its type was string and may be null or string", "! its type was string and may be null or string"},
		{"items", `{items: {minimum: 1}}`, `{items: {minimum: 2}}`, " /*", "! minimum was 1 and is 2", "- minimum was 1 and is 2"},
		{"prefixItems", `{prefixItems: [{minimum: 1}]}`, `{prefixItems: [{minimum: 2}]}`, " /0", "! minimum was 1 and is 2", "- minimum was 1 and is 2"},
		{"alternative new", `{oneOf: [{title: A}, {title: B}]}`, `{oneOf: [{title: A}, {title: B}, {title: C}]}`, "", "- has 1 new alternatives", "! has 1 new alternatives"},
		{"alternative gone", `{anyOf: [{title: A}, {title: B}]}`, `{anyOf: [{title: B}]}`, "", "! lost 1 alternatives", "- lost 1 alternatives"},
		{"alternatives in another order", `{anyOf: [{title: A}, {title: B}]}`, `{anyOf: [{title: B}, {title: A}]}`, "", "", ""},
		{"alternative narrowed", `{anyOf: [{title: A, maximum: 2}, {title: B}]}`, `{anyOf: [{title: B}, {title: A, maximum: 1}]}`, "", "! maximum was 2 and is 1", "- maximum was 2 and is 1"},
		{"allOf is put together", `{properties: {a: {}}, required: [a]}`, `{allOf: [{properties: {a: {}}}, {required: [a]}]}`, "", "", ""},
		{"reference is followed", `{$ref: '#/components/schemas/S'}`, `{type: string, maxLength: 5}`, "", "", ""},
		{"recursion ends", `{$ref: '#/components/schemas/Tree'}`, `{$ref: '#/components/schemas/Tree'}`, "", "", ""},
		{"false", `{}`, `false`, "", "! allows nothing any more", "- allows nothing any more"},
		{"true", `false`, `{}`, "", "- allows something now", "! allows something now"},
		{"not", `{}`, `{not: {type: string}}`, "", "! not is new", "- not is new"},
		{"if changed", `{if: {maximum: 1}}`, `{if: {maximum: 2}}`, "", "! if changed in a way that cannot be judged", "! if changed in a way that cannot be judged"},
		{"default", `{default: 1}`, `{default: 2}`, "", "- has another default", "- has another default"},
	} {
		for _, d := range []struct {
			name, where, want string
			make              func(string) string
		}{{"request", "body application/json", c.sent, in}, {"answer", "answer 200 application/json", c.got, out}} {
			t.Run(c.name+" "+d.name, func(t *testing.T) {
				t.Parallel()
				var want []string
				if d.want != "" {
					want = []string{d.want[:2] + d.where + c.where + ": " + d.want[2:]}
				}
				got := changes(openapi.Diff(version(t, d.make(c.before)), version(t, d.make(c.after))))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func version(t testing.TB, paths string) *openapi.Document {
	return parse(t, head+`
security: [{key: []}]
paths:
  `+paths+`
components:
  schemas:
    S: {type: string, maxLength: 5}
    Tree: {properties: {next: {$ref: '#/components/schemas/Tree'}}}
  securitySchemes:
    key: {type: apiKey, in: header, name: K}
    oauth: {type: oauth2, flows: {}}
`)
}

func TestDiffOperations(t *testing.T) {
	t.Parallel()
	get := func(rest string) string { return `/a: {get: {` + rest + `}}` }
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"operation gone", `/a: {get: {}, post: {}}`, `/a: {get: {}}`, []string{"! operation: is gone"}},
		{"operation new", `/a: {get: {}}`, `/a: {get: {}, post: {}}`, []string{"- operation: is new"}},
		{"path gone", `/a: {get: {}}`, `/b: {get: {}}`, []string{"! operation: is gone", "- operation: is new"}},
		{"path parameter renamed", `/a/{x}: {get: {parameters: [{name: x, in: path, required: true}]}}`, `/a/{y}: {get: {parameters: [{name: y, in: path, required: true}]}}`, nil},
		{"path parameter narrowed", `/a/{x}: {get: {parameters: [{name: x, in: path, required: true}]}}`, `/a/{y}: {get: {parameters: [{name: y, in: path, required: true, schema: {type: integer}}]}}`, []string{"! path parameter 1: its type was anything and is integer"}},
		{"deprecated", get(``), get(`deprecated: true`), []string{"- operation: is deprecated"}},
		{"id", get(`operationId: a`), get(`operationId: b`), []string{`- operation: its id was "a" and is "b"`}},
		{"parameter new", get(``), get(`parameters: [{name: q, in: query}]`), []string{"- query q: is new"}},
		{"parameter new and required", get(``), get(`parameters: [{name: q, in: query, required: true}]`), []string{"! query q: is new and required"}},
		{"parameter required now", get(`parameters: [{name: q, in: query}]`), get(`parameters: [{name: q, in: query, required: true}]`), []string{"! query q: is required now"}},
		{"parameter no longer required", get(`parameters: [{name: q, in: header, required: true}]`), get(`parameters: [{name: Q, in: header}]`), []string{"- header Q: is no longer required"}},
		{"parameter that means nothing", get(``), get(`parameters: [{name: authorization, in: header, required: true}]`), nil},
		{"parameter gone", get(`parameters: [{name: q, in: query}]`), get(``), []string{"! query q: is gone: what clients send has no effect, or is refused"}},
		{"parameter elsewhere", get(`parameters: [{name: q, in: query}]`), get(`parameters: [{name: q, in: header}]`), []string{"- header Q: is new", "! query q: is gone: what clients send has no effect, or is refused"}},
		{"parameter narrowed", get(`parameters: [{name: q, in: query, schema: {maximum: 2}}]`), get(`parameters: [{name: q, in: query, schema: {maximum: 1}}]`), []string{"! query q: maximum was 2 and is 1"}},
		{"parameter's style", get(`parameters: [{name: q, in: query}]`), get(`parameters: [{name: q, in: query, explode: false}]`), []string{"! query q: is written in another way: it was style form exploded and is style form"}},
		{"parameter deprecated", get(`parameters: [{name: q, in: query}]`), get(`parameters: [{name: q, in: query, deprecated: true}]`), []string{"- query q: is deprecated"}},
		{"body new", get(``), get(`requestBody: {content: {}}`), []string{"- body: is new"}},
		{"body new and required", get(``), get(`requestBody: {required: true, content: {}}`), []string{"! body: is new and required"}},
		{"body required now", get(`requestBody: {content: {}}`), get(`requestBody: {required: true, content: {}}`), []string{"! body: is required now"}},
		{"body gone", get(`requestBody: {content: {}}`), get(``), []string{"! body: is gone: what clients send has no effect, or is refused"}},
		{"media type gone", get(`requestBody: {content: {a/b: {}, a/c: {}}}`), get(`requestBody: {content: {a/b: {}}}`), []string{"! body a/c: is gone"}},
		{"media type new", get(`requestBody: {content: {a/b: {}}}`), get(`requestBody: {content: {a/b: {}, a/c: {}}}`), []string{"- body a/c: is new"}},
		{"status gone", get(`responses: {'200': {}, '404': {}}`), get(`responses: {'200': {}}`), []string{"- answer 404: is gone"}},
		{"status new", get(`responses: {'200': {}}`), get(`responses: {'200': {}, '404': {}}`), []string{"- answer 404: is new"}},
		{"answer's media type gone", get(`responses: {'200': {content: {a/b: {}}}}`), get(`responses: {'200': {content: {}}}`), []string{"! answer 200 a/b: is gone"}},
		{"header gone", get(`responses: {'200': {headers: {x-a: {}}}}`), get(`responses: {'200': {}}`), []string{"! answer 200 header X-A: is gone"}},
		{"header unsure", get(`responses: {'200': {headers: {x-a: {required: true}}}}`), get(`responses: {'200': {headers: {X-A: {}}}}`), []string{"! answer 200 header X-A: is no longer sure to be there"}},
		{"header widened", get(`responses: {'200': {headers: {x-a: {schema: {enum: [a]}}}}}`), get(`responses: {'200': {headers: {X-A: {schema: {enum: [a, b]}}}}}`), []string{`! answer 200 header X-A: allows "b" too`}},
		{"security added", get(`security: []`), get(``), []string{"! security: nothing is no longer enough"}},
		{"security dropped", get(``), get(`security: []`), []string{"- security: nothing is enough now"}},
		{"security changed", get(``), get(`security: [{oauth: []}]`), []string{"! security: key is no longer enough", "- security: oauth is enough now"}},
		{"security alternative", get(``), get(`security: [{key: []}, {oauth: []}]`), []string{"- security: oauth is enough now"}},
		{"scope added", get(`security: [{oauth: [a]}]`), get(`security: [{oauth: [a, b]}]`), []string{"! security: oauth (a) is no longer enough"}},
		{"scope dropped", get(`security: [{oauth: [a, b]}]`), get(`security: [{oauth: [a]}]`), []string{"- security: oauth (a) is enough now"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := changes(openapi.Diff(version(t, c.before), version(t, c.after)))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Versions of OpenAPI differ in how they say the same thing.
func TestDiffAcrossVersions(t *testing.T) {
	t.Parallel()
	text := func(version, schema string) *openapi.Document {
		return parse(t, strings.Replace(head, "3.1.0", version, 1)+"paths:\n  "+in(schema))
	}
	if got := openapi.Diff(text("3.0.3", `{type: integer, nullable: true, minimum: 0, exclusiveMinimum: true}`), text("3.1.0", `{type: [integer, 'null'], exclusiveMinimum: 0}`)); got != nil {
		t.Errorf("got %v, want no change", got)
	}
}

func TestDiffSchemeChanged(t *testing.T) {
	t.Parallel()
	text := func(scheme string) *openapi.Document {
		return parse(t, head+"security: [{k: []}]\npaths: {/a: {get: {}}}\ncomponents: {securitySchemes: {k: "+scheme+"}}")
	}
	got := changes(openapi.Diff(text("{type: apiKey, in: header, name: K}"), text("{type: http, scheme: bearer}")))
	if diff := cmp.Diff([]string{"! security: k is another scheme: it was apikey header k and is http bearer"}, got); diff != "" {
		t.Error(diff)
	}
}

// The same two documents give the same list each time, and nothing to themselves.
func TestDiffIsDeterministic(t *testing.T) {
	t.Parallel()
	shop, err := openapi.Load("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := openapi.Diff(shop, shop); len(got) != 0 {
		t.Errorf("a document differs from itself: %v", got)
	}
	text, _ := json.Marshal(shop)
	changed := strings.NewReplacer(`"maxLength":20`, `"maxLength":10`, `"enum":["accepted","rejected"]`, `"enum":["accepted","late"]`, `"sku"`, `"article"`).Replace(string(text))
	other, err := openapi.Parse("other.json", []byte(changed))
	if err != nil {
		t.Fatal(err)
	}
	first := openapi.Diff(shop, other)
	if len(first) < 6 {
		t.Errorf("%d changes only: %v", len(first), first)
	}
	for range 20 {
		if diff := cmp.Diff(first, openapi.Diff(shop, other)); diff != "" {
			t.Fatal(diff)
		}
	}
}
