package openapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/openapi"
)

func TestSerialisation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ parameter, target, cookie, want string }{
		// Cookies that net/http leaves out.
		{`{name: c, in: cookie, schema: {type: integer}}`, "/", "c=\xff", "cookie c: has to be integer"},
		{`{name: c, in: cookie, schema: {type: integer}}`, "/", strings.Repeat("d=1; ", 4000) + "c=x", "cookie c: has to be integer"},
		{`{name: c, in: cookie, schema: {type: integer}}`, "/", `a=b; c="7" ;d`, ""},
		// One, or a list of them.
		{`{name: q, in: query, schema: {oneOf: [{type: string, maxLength: 3}, {type: array, items: {type: string, maxLength: 3}}]}}`, "/?q=a&q=b", "", ""},
		{`{name: q, in: query, schema: {oneOf: [{type: string, maxLength: 3}, {type: array, items: {type: string, maxLength: 3}}]}}`, "/?q=a&q=long", "", "query q /1: has to have at most 3 characters"},
		{`{name: q, in: query, explode: false, schema: {oneOf: [{type: integer}, {type: array, items: {type: integer}}]}}`, "/?q=1,2", "", ""},
		{`{name: q, in: query, explode: false, schema: {oneOf: [{type: integer}, {type: array, items: {type: integer}}]}}`, "/?q=1", "", ""},
		// Objects in objects.
		{`{name: q, in: query, style: deepObject, schema: {properties: {a: {type: integer}}}}`, "/?q[a][b]=1", "", "query q /a: has to be integer"},
		{`{name: q, in: query, style: deepObject, schema: {properties: {a: {properties: {b: {type: integer}}}}}}`, "/?q[a][b]=1", "", ""},
		{`{name: q, in: query, style: deepObject, schema: {properties: {a: {properties: {b: {type: integer}}}}}}`, "/?q[a][b]=x", "", "query q /a/b: has to be integer"},
		{`{name: q, in: query, style: deepObject, schema: {properties: {a: {type: array, items: {type: integer}}}}}`, "/?q[a][]=1&q[a][]=x", "", "query q /a/1: has to be integer"},
		{`{name: q, in: query, style: deepObject, schema: {properties: {a: {type: string}}}}`, "/?q[a]=1&q[a][b]=x", "", "query q: has a field more than once"},
		// Content that is a text.
		{`{name: q, in: query, content: {text/plain: {schema: {type: string, maxLength: 3}}}}`, "/?q=a,%20", "", ""},
		{`{name: q, in: query, content: {text/plain: {schema: {type: string, maxLength: 3}}}}`, "/?q=long", "", "query q: has to have at most 3 characters"},
		{`{name: q, in: query, content: {text/plain: {schema: {type: string}}}}`, "/?q=a&q=b", "", "query q: occurs more than once"},
		// Fields that have no name in the document.
		{`{name: q, in: query, schema: {type: object, additionalProperties: {type: integer}}}`, "/?x=1&y=z", "", "query q /y: has to be integer"},
		{`{name: q, in: query, schema: {type: object, additionalProperties: {type: integer}}}
      - {name: y, in: query}`, "/?x=1&y=z", "", ""},
	} {
		v := validator(t, head+"paths:\n  /:\n    get:\n      parameters:\n      - "+c.parameter+"\n", nil)
		if got := strings.Join(mistakes(t, ask(t, v, "GET", c.target, "", "Cookie", c.cookie)), "\n"); got != c.want {
			t.Errorf("%s %s %.100s: got %q, want %q", c.parameter, c.target, c.cookie, got, c.want)
		}
	}
}

func TestFormEncoding(t *testing.T) {
	t.Parallel()
	v := validator(t, head+`
paths:
  /:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: {properties: {l: {type: array, items: {type: integer}}, p: {type: array, items: {type: string}, maxItems: 2}, o: {type: object, required: [a]}}}
            encoding: {l: {explode: false}, p: {style: pipeDelimited}}
`, nil)
	for body, want := range map[string]string{
		"l=1,2": "", "l=1,x": "body /l/1: has to be integer", "p=a%7Cb": "", "p=a|b|c": "body /p: has to have at most 2 items",
		`o={"a":1}`: "", `o={}`: `body /o: has no field "a", which is required`, "o=x": "body /o: has to be object",
	} {
		if got := strings.Join(mistakes(t, ask(t, v, "POST", "/", body, "Content-Type", "application/x-www-form-urlencoded")), "\n"); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	_, err := openapi.NewValidator(parse(t, head+`paths: {/: {post: {requestBody: {content: {application/x-www-form-urlencoded: {schema: {}, encoding: {f: {style: deepObject}}}}}}}}`), nil)
	if err == nil || !strings.Contains(err.Error(), "deepObject") {
		t.Errorf("got %v", err)
	}
}

// Of several descriptions of a media type, that with the request's parameters
// counts; it is the same one each time.
func TestMediaTypeParameters(t *testing.T) {
	t.Parallel()
	for range 10 {
		v := validator(t, head+`paths: {/: {post: {requestBody: {content: {
  application/json;v=1: {schema: {type: integer}}, application/json;v=2: {schema: {type: string}}, application/json;charset=utf-8: {schema: {type: boolean}}}}}}}`, nil)
		var got []string
		for _, c := range []string{";v=1 1", `;v=2 "a"`, " true", ";charset=utf-8 true", ";v=1 true", ";v=3 true"} {
			kind, body, _ := strings.Cut(c, " ")
			got = append(got, fmt.Sprint(ask(t, v, "POST", "/", body, "Content-Type", "application/json"+kind).Code))
		}
		if diff := cmp.Diff([]string{"204", "204", "204", "204", "400", "204"}, got); diff != "" {
			t.Fatal(diff)
		}
	}
}
