package openapi_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/banyanhq/banyan/openapi"
)

const orders = `
openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    post:
      operationId: place-order
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [sku, quantity]
              properties:
                sku: {type: string}
                quantity: {type: integer, minimum: 1}
`

func ExampleNewValidator() {
	doc, err := openapi.Parse("orders.yaml", []byte(orders))
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := openapi.NewValidator(doc, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	service := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })

	r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(`{"sku": "85123A", "quantity": 0}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	v.Handler(service).ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output:
	// 400 {"type":"about:blank","title":"Bad Request","status":400,"detail":"The request is not what POST /orders takes.","kind":"invalid","errors":[{"in":"body","pointer":"/quantity","text":"has to be at least 1"}]}
}

func ExampleDiff() {
	before, err := openapi.Parse("before.yaml", []byte(orders))
	if err != nil {
		fmt.Println(err)
		return
	}
	after, err := openapi.Parse("after.yaml", []byte(strings.Replace(orders, "minimum: 1", "minimum: 1, maximum: 100", 1)))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range openapi.Diff(before, after) {
		fmt.Println(change)
	}
	// Output:
	// breaking: POST /orders: body application/json /quantity: maximum was none and is 100
}

func ExampleMerge() {
	doc, err := openapi.Parse("orders.yaml", []byte(orders))
	if err != nil {
		fmt.Println(err)
		return
	}
	all, err := openapi.Merge("The shop", "2026-11", []openapi.Named{
		{Name: "retail", Doc: doc, Prefix: "/shop"},
		{Name: "wholesale", Doc: doc, Prefix: "/b2b"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, op := range all.Operations() {
		fmt.Println(op.Method, op.Path, op.ID, op.Tags)
	}
	// Output:
	// POST /b2b/orders wholesale.place-order [wholesale]
	// POST /shop/orders retail.place-order [retail]
}

func ExampleParse() {
	_, err := openapi.Parse("orders.yaml", []byte(`openapi: 3.1.0
info: {title: Orders, version: "1"}
paths:
  /orders:
    get:
      parameters:
        - $ref: https://example.com/limit.yaml
`))
	fmt.Println(err)
	// Output:
	// openapi: orders.yaml:7: /paths/~1orders/get/parameters/0: $ref "https://example.com/limit.yaml": only references into this document are followed, as #/components/…; bundle it first
}
