package gateway_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/openapi"
)

// The admin API is what its document says: each operation is there, and the status
// fits its schema.
func TestAdminDocument(t *testing.T) {
	t.Parallel()
	c := to(behind(t, func(http.ResponseWriter, *http.Request) {}))
	c.Catalogue = &gateway.Catalogue{}
	g := opened(t, c)
	admin := g.Admin(nil)
	doc, err := openapi.Parse("admin.openapi.yaml", ask(admin, "GET", "http://localhost/openapi.yaml").Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ops := doc.Operations()
	if len(ops) < 7 {
		t.Errorf("%d operations", len(ops))
	}
	for _, op := range ops {
		r := httptest.NewRequest(op.Method, "http://localhost"+op.Path, strings.NewReader(`{"all":true}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if admin.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("%s %s: status %d", op.Method, op.Path, w.Code)
		}
	}
	text, err := doc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var whole any
	if whole, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("admin.json", whole); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("admin.json#/components/schemas/Status")
	if err != nil {
		t.Fatal(err)
	}
	ask(g, "GET", "http://x/")
	var status any
	if err := json.Unmarshal(ask(admin, "GET", "http://localhost/v1/status").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(status); err != nil {
		t.Error(err)
	}
}
