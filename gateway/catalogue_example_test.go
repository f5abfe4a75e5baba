package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/banyanhq/banyan/gateway"
)

// What is described and never called, and what is called and described nowhere.
func ExampleGateway_APIUsage() {
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer app.Close()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	document := filepath.Join(dir, "orders.yaml")
	if err := os.WriteFile(document, []byte(`
openapi: 3.1.0
info: {title: Orders, version: 1.0.0}
paths:
  /orders: {get: {responses: {"200": {description: all orders}}}}
  /orders/summary: {get: {responses: {"200": {description: the totals}}}}
`), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	g, err := gateway.New(&gateway.Config{
		Catalogue: &gateway.Catalogue{},
		Upstreams: map[string]gateway.Upstream{"app": {Targets: []string{app.URL}, OpenAPI: "file:" + document}},
		Routes:    []gateway.Route{{Match: "/shop/", To: "app", StripPrefix: "/shop"}},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()
	for _, path := range []string{"/shop/orders", "/shop/orders/17/invoice"} {
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, http.NoBody))
	}
	usage := g.APIUsage()
	for _, op := range usage.Operations {
		fmt.Println(op.Method, op.Public, op.Requests)
	}
	for _, other := range usage.Undocumented {
		fmt.Println("described nowhere:", other.Method, other.Path, other.Requests)
	}
	// Output:
	// GET [/shop/orders] 1
	// GET [/shop/orders/summary] 0
	// described nowhere: GET /shop/orders/{}/invoice 1
}
