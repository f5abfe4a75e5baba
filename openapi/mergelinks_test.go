package openapi_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

const pets = head + `
paths:
  /pets:
    servers: [{url: 'http://10.0.0.1/path'}]
    x-path: internal
    get:
      operationId: list
      servers: [{url: 'http://10.0.0.1/operation'}]
      x-backend: 10.0.0.1
      responses:
        '200':
          x-answer: internal
          content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}
          links:
            shown: {operationRef: '#/paths/~1pets~1{id}/get', server: {url: 'http://10.0.0.1/link'}}
            byID: {operationId: secret}
            byRef: {operationRef: '#/paths/~1secret~1%7Bid%7D/get'}
            byComponent: {$ref: '#/components/links/Secret'}
        x-codes: internal
  /pets/{id}: {get: {operationId: one}}
  /secret/{id}: {get: {operationId: secret}}
components:
  responses: {x-answer-kept: {description: x-kept}}
  links: {Secret: {operationId: secret}}
  schemas:
    Pet:
      oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}, {type: string}]
      discriminator: {propertyName: kind, mapping: {hound: Dog}, x-kinds: internal}
    Cat: {type: object, x-table: cats, properties: {x-kept: {type: string}}}
    Dog: {type: object}
`

func textOf(t *testing.T, d *openapi.Document, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a document says of its own service is no longer so in a catalogue.
func TestMergeMovesLinksAndKinds(t *testing.T) {
	t.Parallel()
	d, err := openapi.Merge("All", "1", []openapi.Named{{Name: "pets", Doc: parse(t, pets), Prefix: "/api"}})
	text := textOf(t, d, err)
	if strings.Contains(text, "http://10.0.0.1") {
		t.Errorf("it has servers: %s", text)
	}
	if !strings.Contains(text, `"operationRef":"#/paths/~1api~1pets~1{id}/get"`) {
		t.Errorf("a link leads nowhere: %s", text)
	}
	var root struct {
		Components struct {
			Schemas map[string]struct {
				Discriminator struct{ Mapping map[string]string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"hound": "pets.Dog", "Cat": "#/components/schemas/pets.Cat"}
	if diff := cmp.Diff(want, root.Components.Schemas["pets.Pet"].Discriminator.Mapping); diff != "" {
		t.Errorf("the names that clients send changed: %s", diff)
	}
}

// Two names may be one with the service's before them.
func TestMergeNamesThatMeet(t *testing.T) {
	t.Parallel()
	for _, c := range []string{"components: {schemas: {NAME: {}}}", "webhooks: {NAME: {}}"} {
		doc := func(name string) *openapi.Document {
			return parse(t, head+"paths: {}\n"+strings.Replace(c, "NAME", name, 1))
		}
		_, err := openapi.Merge("All", "1", []openapi.Named{{Name: "orders", Doc: doc("v2.Order")}, {Name: "orders.v2", Doc: doc("Order")}})
		if !errors.Is(err, banyan.ErrConflict) {
			t.Errorf("%s: got %v", c, err)
		}
	}
}

// Who may not see an operation does not learn of it by links.
func TestFilterUnlinks(t *testing.T) {
	t.Parallel()
	d, err := parse(t, pets).Filter(func(op openapi.Operation) bool { return op.ID != "secret" })
	text := textOf(t, d, err)
	if strings.Contains(text, "ecret") || !strings.Contains(text, `"shown"`) {
		t.Errorf("got %s", text)
	}
}

func TestWithoutExtensions(t *testing.T) {
	t.Parallel()
	d, err := parse(t, pets).WithoutExtensions()
	text := textOf(t, d, err)
	if strings.Contains(text, "internal") || strings.Contains(text, "x-backend") || strings.Contains(text, "x-table") {
		t.Errorf("it has extensions: %s", text)
	}
	if !strings.Contains(text, `"x-kept":{`) || !strings.Contains(text, `"x-answer-kept"`) {
		t.Errorf("a field is gone: %s", text)
	}
}
