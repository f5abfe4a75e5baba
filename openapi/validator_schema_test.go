package openapi_test

import (
	"net/http"
	"strings"
	"testing"
)

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
