package openapi_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	get := func(rest string) string {
		return head + "paths:\n  /a:\n    get:\n" + rest
	}
	for name, c := range map[string]struct {
		text string
		line int
		want string
	}{
		"empty":               {"", 0, "empty"},
		"no object":           {"- 1", 1, "not an object"},
		"swagger":             {"swagger: '2.0'\ninfo: {}", 1, "Swagger 2.0"},
		"unknown version":     {"openapi: 3.2.0", 1, "not known"},
		"version as a number": {"openapi: 3.1", 1, "text with three parts"},
		"no info":             {"openapi: 3.1.0\npaths: {}", 1, "no info"},
		"no title":            {"openapi: 3.1.0\ninfo: {version: '1'}", 2, "no title"},
		"YAML syntax":         {head + "paths:\n  /a: [1", 4, ""},
		"JSON syntax":         {"{\"openapi\":\n\"3.1.0\",,}", 2, "name should be here"},
		"JSON name twice":     {"{\"openapi\":\"3.1.0\",\n\"openapi\":\"3.1.0\"}", 2, "occurs twice"},
		"JSON with tabs":      {"{\n\t\"openapi\": \"3.1.0\",\n\t\"info\": {\n\t\t\"title\": \"T\"\n\t}\n}", 3, "no version"},
		"YAML key twice":      {head + "paths:\n  /a: {}\n  /a: {}", 5, "already"},
		"two documents":       {head + "---\na: 1", 4, "second YAML document"},
		"paths as list":       {head + "paths: []", 3, "has to be an object"},
		"operation as text":   {head + "paths:\n  /a:\n    get: x", 5, "operation has to be an object"},
		"path without slash":  {head + "paths:\n  a: {get: {}}", 4, "begin with /"},
		"same paths":          {head + "paths:\n  /a/{x}: {}\n  /a/{y}: {}", 5, "same requests"},
		"touching parameters": {head + "paths:\n  /a/{x}{y}: {}", 4, "touch"},
		"open brace":          {head + "paths:\n  /a/{x: {}", 4, "brace"},
		"parameter twice":     {head + "paths:\n  /a/{x}/{x}: {}", 4, "twice"},
		"id twice":            {get("      operationId: x\n    put:\n      operationId: x"), 7, "also that of"},
		"no such parameter":   {get("      parameters:\n      - {name: x, in: path, required: true}"), 5, "no {x}"},
		"optional in path":    {head + "paths:\n  /a/{x}:\n    get:\n      parameters:\n      - {name: x, in: path}", 7, "required"},
		"parameter nowhere":   {get("      parameters:\n      - {name: x, in: body}"), 7, "one of path, query"},
		"parameter unnamed":   {get("      parameters:\n      - {in: query}"), 7, "no name"},
		"bad style":           {get("      parameters:\n      - {name: x, in: header, style: form}"), 7, "style"},
		"schema and content":  {get("      parameters:\n      - {name: x, in: query, schema: {}, content: {text/plain: {}}}"), 7, "either"},
		"ref to a file":       {get("      parameters:\n      - $ref: 'other.yaml#/x'"), 7, "only references into this document"},
		"ref to the network":  {get("      parameters:\n      - $ref: 'http://169.254.169.254/latest'"), 7, "only references into this document"},
		"ref to nothing":      {get("      parameters:\n      - $ref: '#/components/parameters/x'"), 7, "names nothing"},
		"ref of another kind": {get("      parameters:\n      - $ref: '#/info'"), 7, "names no parameter"},
		"ref to itself":       {head + "components:\n  parameters:\n    a: {$ref: '#/components/parameters/b'}\n    b: {$ref: '#/components/parameters/a'}", 5, "back to itself"},
		"schema ref circle":   {head + "components:\n  schemas:\n    a: {$ref: '#/components/schemas/a'}", 5, "back to itself"},
		"$id":                 {head + "components:\n  schemas:\n    a:\n      $id: http://x", 5, "not supported"},
		"draft 7":             {head + "components:\n  schemas:\n    a:\n      $schema: http://json-schema.org/draft-07/schema#", 5, "2020-12"},
		"scheme type":         {head + "components:\n  securitySchemes:\n    a: {type: magic}", 5, "one of apiKey"},
		"alias before anchor": {head + "paths: *x", 3, ""},
		"infinity":            {head + "x-a: .inf", 3, "JSON has no such"},
		"huge exponent":       {head + "x-a: 1e999999999", 3, "digits"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openapi.Parse("api.yaml", []byte(c.text))
			var wrong *openapi.Error
			if !errors.As(err, &wrong) || !errors.Is(err, banyan.ErrInvalid) {
				t.Fatalf("got error %v, want an *Error of kind ErrInvalid", err)
			}
			if c.line > 0 && wrong.Faults[0].Line != c.line {
				t.Errorf("line %d, want %d: %v", wrong.Faults[0].Line, c.line, err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

// An alias of aliases is a few hundred bytes that mean billions of values.
func TestParseBounds(t *testing.T) {
	t.Parallel()
	laughs := head + "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 12 {
		prev, next := string(rune('a'+i))+"0", string(rune('a'+i+1))+"0"
		laughs += "x-" + next + ": &" + next + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+", ", 10), ", ") + "]\n"
	}
	for name, text := range map[string]string{
		"aliases":       laughs,
		"JSON depth":    `{"openapi":"3.1.0","x-a":` + strings.Repeat("[", 200_000) + "}",
		"YAML brackets": head + "x-a: " + strings.Repeat("[", 200_000),
		"YAML braces":   head + "x-a: " + strings.Repeat("{a: ", 200_000),
		"YAML dashes":   head + "x-a:\n" + strings.Repeat("- ", 200_000),
		"YAML keys":     head + "x-a:\n " + strings.Repeat("? ", 100_000),
		"YAML tags":     head + "x-a: " + strings.Repeat("!!str ", 100_000),
		"YAML anchors":  head + "x-a: " + strings.Repeat("&a ", 100_000) + "b",
		"size":          strings.Repeat(" ", 17<<20),
		"values":        `{"openapi":"3.1.0","x-a":[` + strings.Repeat("1,", 1_100_000) + "1]}",
		"self alias":    head + "x-a: &a [*a]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := openapi.Parse("api.yaml", []byte(text)); !errors.Is(err, banyan.ErrInvalid) {
				t.Errorf("got error %v, want one of kind ErrInvalid", err)
			} else if len(err.Error()) > 5000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// YAML and JSON of the same document are the same document, and what is written
// can be read and written again.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	d, err := openapi.Load(filepath.Join("testdata", "shop.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	first, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openapi.Parse("again.json", first)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := json.Marshal(again)
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(d.Operations(), again.Operations()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(string(first), "9007199254740993") || !strings.Contains(string(first), `"version":"1.10"`) {
		t.Errorf("numbers are not those of the source: %s", first)
	}
}

func TestYAMLValues(t *testing.T) {
	t.Parallel()
	d := parse(t, head+`
x-base: &base {a: 1, b: 2}
x-values:
  merged: {<<: *base, b: 3}
  alias: *base
  hex: 0x1F
  octal: 0o17
  float: 1.50
  exponent: 1e3
  text: !!str 12
  quoted: "12"
  yes: yes
  "null": ~
  true: true
  block: |
    two
    lines
  200: status
`)
	var got map[string]any
	text, _ := json.Marshal(d)
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	one, two, three := json.Number("1"), json.Number("2"), json.Number("3")
	want := map[string]any{
		"merged": map[string]any{"a": one, "b": three}, "alias": map[string]any{"a": one, "b": two},
		"hex": json.Number("31"), "octal": json.Number("15"), "float": json.Number("1.50"), "exponent": json.Number("1e3"),
		"text": "12", "quoted": "12", "yes": "yes", "null": nil, "true": true, "block": "two\nlines\n", "200": "status",
	}
	if diff := cmp.Diff(want, got["x-values"]); diff != "" {
		t.Error(diff)
	}
}

func TestLoadMissing(t *testing.T) {
	t.Parallel()
	if _, err := openapi.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	d := parse(t, head+`
paths:
  /: {get: {operationId: root}}
  /orders: {get: {operationId: list}, post: {operationId: place}}
  /orders/new: {get: {operationId: form}}
  /orders/{id}: {get: {operationId: one, parameters: [{name: id, in: path, required: true}]}}
  /orders/{id}/lines/{line}: {get: {operationId: line}}
  /orders/new/lines: {get: {operationId: newlines}}
  /orders/{id}/notes: {get: {operationId: notes}}
  /files/{name}.{ext}: {get: {operationId: file}}
  /files/{name}: {get: {operationId: plain}}
  /files/v{n}: {get: {operationId: version}}
  /a b: {get: {operationId: space}}
`)
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/", "root"},
		{"GET", "/orders", "list"},
		{"POST", "/orders", "place"},
		{"HEAD", "/orders", "list"},
		{"PUT", "/orders", ""},
		{"GET", "/orders/new", "form"},
		{"GET", "/orders/7", "one"},
		{"GET", "/orders/a%2Fb", "one"},
		{"GET", "/orders/%6eew", "form"},
		{"GET", "/orders/", ""},
		{"GET", "/orders//lines/1", ""},
		{"GET", "/orders/7/lines/1", "line"},
		{"GET", "/orders/new/lines", "newlines"},
		{"GET", "/orders/new/lines/1", "line"},
		{"GET", "/orders/new/notes", "notes"},
		{"GET", "/files/a.txt", "file"},
		{"GET", "/files/a", "plain"},
		{"GET", "/files/v1", "version"},
		{"GET", "/files/.txt", "plain"},
		{"GET", "/a%20b", "space"},
		{"GET", "orders", ""},
		{"GET", "/none", ""},
		{"get", "/orders", ""},
		{"GET", strings.Repeat("/orders", 1000), ""},
	} {
		op, ok := d.Find(c.method, c.path)
		if op.ID != c.want || ok != (c.want != "") {
			t.Errorf("%s %s is %q, %v; want %q", c.method, c.path, op.ID, ok, c.want)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	d := parse(t, head+`
paths:
  /b:
    x-audience: partner
    get: {operationId: b, tags: [t], deprecated: true, summary: S}
    delete: {x-audience: [internal, ops]}
  /a: {post: {}}
  x-note: {get: {}}
`)
	want := []openapi.Operation{
		{Method: "POST", Path: "/a"},
		{Method: "GET", Path: "/b", ID: "b", Tags: []string{"t"}, Deprecated: true, Summary: "S", Audience: []string{"partner"}},
		{Method: "DELETE", Path: "/b", Audience: []string{"internal", "ops"}},
	}
	if diff := cmp.Diff(want, d.Operations()); diff != "" {
		t.Error(diff)
	}
	d.Operations()[1].Tags[0] = "changed"
	if d.Operations()[1].Tags[0] != "t" {
		t.Error("who changes what Operations returned changes the document")
	}
}
