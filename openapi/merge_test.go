package openapi_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

const users = `
openapi: 3.0.3
info: {title: Users, version: '2'}
tags: [{name: people}]
paths:
  /api/users/{number}:
    parameters: [{$ref: '#/components/parameters/Number'}]
    get:
      operationId: get-order
      tags: [people]
      security: []
      responses: {'200': {description: OK, content: {application/json: {schema: {$ref: '#/components/schemas/Problem'}}}}}
  /api: {get: {responses: {default: {$ref: '#/paths/~1api~1users~1{number}/get/responses/200'}}}}
components:
  parameters:
    Number: {name: number, in: path, required: true, schema: {type: integer, nullable: true}}
  schemas:
    Problem:
      oneOf: [{$ref: '#/components/schemas/Cat'}]
      discriminator: {propertyName: kind, mapping: {cat: Cat, dog: '#/components/schemas/Dog', eel: Eel}}
    Cat: {type: object}
    Dog: {type: object}
    Eel: {type: object}
`

func catalogue(t testing.TB, order ...string) *openapi.Document {
	t.Helper()
	shop, err := openapi.Load("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]openapi.Named{
		"orders": {Name: "orders", Doc: shop, Prefix: "/shop/"},
		"users":  {Name: "users", Doc: parse(t, users), Strip: "/api", Prefix: "/people"},
	}
	var list []openapi.Named
	for _, name := range order {
		list = append(list, docs[name])
	}
	all, err := openapi.Merge("Everything", "3", list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func tree(t testing.TB, d *openapi.Document) map[string]any {
	t.Helper()
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func names(t testing.TB, d *openapi.Document, group string) []string {
	t.Helper()
	components, _ := tree(t, d)["components"].(map[string]any)
	members, _ := components[group].(map[string]any)
	var all []string
	for name := range members {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func TestMerge(t *testing.T) {
	t.Parallel()
	d := catalogue(t, "orders", "users")
	want := []openapi.Operation{
		{Method: "GET", Path: "/people", Tags: []string{"users"}},
		{Method: "GET", Path: "/people/users/{number}", ID: "users.get-order", Tags: []string{"users", "users.people"}},
		{Method: "POST", Path: "/shop/orders", ID: "place-order", Summary: "Place an order", Tags: []string{"orders"}},
		{Method: "GET", Path: "/shop/orders/{number}", ID: "orders.get-order", Tags: []string{"orders"}, Audience: []string{"partner", "mobile"}},
	}
	if diff := cmp.Diff(want, d.Operations()); diff != "" {
		t.Error(diff)
	}
	if d.Title() != "Everything" || d.Version() != "3" {
		t.Errorf("%s %s", d.Title(), d.Version())
	}
	schemas := []string{"orders.Invoice", "orders.Line", "orders.Problem", "orders.Receipt", "orders.Refused", "orders.Unused", "users.Cat", "users.Dog", "users.Eel", "users.Problem"}
	if diff := cmp.Diff(schemas, names(t, d, "schemas")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"orders.key", "orders.unused"}, names(t, d, "securitySchemes")); diff != "" {
		t.Error(diff)
	}
	text, _ := json.Marshal(d)
	for _, part := range []string{
		`"mapping":{"cat":"users.Cat","dog":"#/components/schemas/users.Dog","eel":"users.Eel"}`,
		`"security":[{"orders.key":[]}]`, `"security":[]`, `"type":["integer","null"]`,
		`"$ref":"#/paths/~1people~1users~1{number}/get/responses/200"`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the catalogue lacks %s: %s", part, text)
		}
	}
	again, err := openapi.Parse("again", text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openapi.NewValidator(again, nil); err != nil {
		t.Error(err)
	}
	if other, _ := json.Marshal(catalogue(t, "users", "orders")); string(other) != string(text) {
		t.Error("another order of services gives another catalogue")
	}
}

// What the catalogue says of a service's operations is what its document says.
func TestMergeChangesNothing(t *testing.T) {
	t.Parallel()
	shop, err := openapi.Load("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	merged, err := openapi.Merge("x", "1", []openapi.Named{{Name: "orders", Doc: shop}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range openapi.Diff(shop, merged) {
		if !strings.Contains(c.Text, "orders.key") && !strings.Contains(c.Text, "key is no longer enough") {
			t.Error(c)
		}
	}
	v, err := openapi.NewValidator(merged, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := mistakes(t, ask(t, v, "POST", "/orders", `{"number":"x"}`))
	if len(got) != 3 {
		t.Errorf("got %q, want three mistakes", got)
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	a := parse(t, head+"paths: {/a: {get: {}}, /b: {summary: S, get: {}}}")
	post := parse(t, head+"paths: {/a: {post: {}}}")
	put := parse(t, head+"paths: {/b: {put: {}}}")
	for name, c := range map[string]struct {
		docs []openapi.Named
		kind error
		want string
	}{
		"same operation":   {[]openapi.Named{{Name: "x", Doc: a}, {Name: "y", Doc: a}}, banyan.ErrConflict, "x and y both describe"},
		"shared statement": {[]openapi.Named{{Name: "x", Doc: a}, {Name: "y", Doc: put}}, banyan.ErrConflict, "summary"},
		"same name":        {[]openapi.Named{{Name: "x", Doc: a}, {Name: "x", Doc: post}}, banyan.ErrConflict, `two services are called "x"`},
		"no document":      {[]openapi.Named{{Name: "x"}}, banyan.ErrInvalid, "no document"},
		"name":             {[]openapi.Named{{Name: "x/y", Doc: a}}, banyan.ErrInvalid, "letters"},
		"strip":            {[]openapi.Named{{Name: "x", Doc: a, Strip: "/other"}}, banyan.ErrInvalid, "does not begin with"},
		"strip in a word":  {[]openapi.Named{{Name: "x", Doc: parse(t, head+"paths: {/abc: {}}"), Strip: "/a"}}, banyan.ErrInvalid, "does not begin with"},
		"prefix":           {[]openapi.Named{{Name: "x", Doc: a, Prefix: "v1"}}, banyan.ErrInvalid, "begin with /"},
		"same shape":       {[]openapi.Named{{Name: "x", Doc: parse(t, head+"paths: {'/{a}': {}}")}, {Name: "y", Doc: parse(t, head+"paths: {'/{b}': {}}")}}, banyan.ErrInvalid, "same requests"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := openapi.Merge("t", "1", c.docs)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, c.kind, c.want)
			}
		})
	}
	if _, err := openapi.Merge("t", "1", []openapi.Named{{Name: "x", Doc: post}, {Name: "y", Doc: parse(t, head+"paths: {/a: {get: {}}}")}}); err != nil {
		t.Errorf("two services with other operations of a path: %v", err)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	shop, err := openapi.Load("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(shop)
	partner, err := shop.Filter(func(op openapi.Operation) bool { return slices.Contains(op.Audience, "partner") })
	if err != nil {
		t.Fatal(err)
	}
	if got := partner.Operations(); len(got) != 1 || got[0].ID != "get-order" {
		t.Errorf("operations: %v", got)
	}
	for group, want := range map[string][]string{
		"schemas": {"Receipt", "Refused"}, "parameters": {"Number"}, "responses": nil, "securitySchemes": {"key"},
	} {
		if diff := cmp.Diff(want, names(t, partner, group)); diff != "" {
			t.Errorf("%s: %s", group, diff)
		}
	}
	if after, _ := json.Marshal(shop); string(after) != string(before) {
		t.Error("the document itself changed")
	}
	none, err := shop.Filter(func(openapi.Operation) bool { return false })
	if err != nil || len(none.Operations()) != 0 || tree(t, none)["components"].(map[string]any)["schemas"] != nil {
		t.Errorf("%v, %v", none, err)
	}
	if tags := tree(t, none)["tags"].([]any); len(tags) != 0 {
		t.Errorf("tags: %v", tags)
	}
	everything := catalogue(t, "orders", "users")
	people, err := everything.Filter(func(op openapi.Operation) bool { return slices.Contains(op.Tags, "users") })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"users.Cat", "users.Dog", "users.Eel", "users.Problem"}, names(t, people, "schemas")); diff != "" {
		t.Error(diff)
	}
	if _, err := everything.Filter(func(op openapi.Operation) bool { return op.Path == "/people" }); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("got %v: what is left refers to an operation that is gone", err)
	}
}

// Operations without an id share none, in however many services.
func TestMergeWithoutIDs(t *testing.T) {
	t.Parallel()
	service := func(path string) *openapi.Document {
		doc, err := openapi.Parse("f", []byte(`{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"`+path+`":{"get":{"responses":{"200":{"description":"ok"}}}},"`+path+`/{id}":{"get":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],"responses":{"200":{"description":"ok"}}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	merged, err := openapi.Merge("all", "1", []openapi.Named{{Name: "a", Doc: service("/a")}, {Name: "b", Doc: service("/b")}})
	if err != nil {
		t.Fatal(err)
	}
	if ops := merged.Operations(); len(ops) != 4 || ops[0].ID != "" {
		t.Errorf("%+v", ops)
	}
}
