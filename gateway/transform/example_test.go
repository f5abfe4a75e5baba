package transform_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/banyanhq/banyan/gateway/transform"
)

// An old service says more than a client should see. Amounts stay exact.
func Example() {
	p, err := transform.New(&transform.Config{Response: transform.Response{JSON: &transform.JSON{
		Remove: []string{"/**/password"},
		Rename: map[string]string{"/cust": "customer"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"total": 19.90, "cust": {"id": 7, "password": "hunter2"}}`)
	}))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders/17", http.NoBody))
	fmt.Println(w.Body)
	// Output: {"total":19.90,"customer":{"id":7}}
}

// A value can be made of parts of the request. What the client sends under that
// name never gets through.
func ExampleFields() {
	p, err := transform.New(&transform.Config{Request: transform.Request{Headers: transform.Fields{
		Set: map[string]string{"X-Tenant": "{path.tenant}"},
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/t/{tenant}/orders", p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println(r.Header["X-Tenant"])
	})))
	r := httptest.NewRequest(http.MethodGet, "/t/acme/orders", http.NoBody)
	r.Header.Set("X-Tenant", "forged")
	mux.ServeHTTP(httptest.NewRecorder(), r)
	// Output: [acme]
}
