package condition_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/auth/condition"
)

// Only the finance department may write.
func Example() {
	finance, err := condition.New(`request.method == "GET" || identity.claims.department == "finance"`, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	claims, err := auth.NewClaims(map[string]any{"department": "sales"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		allowed, err := finance.Allow(httptest.NewRequest(method, "/invoices", nil), auth.Identity{Subject: "ann", Claims: claims})
		fmt.Println(method, allowed, err)
	}
	// Output:
	// GET true <nil>
	// POST false <nil>
}

// A mistake is found when the condition is made.
func ExampleNew_mistake() {
	_, err := condition.New("identity.tenant == \"acme\" &&\nidentity.departement == \"finance\"", nil)
	fmt.Println(err)
	// Output:
	// condition: line 2, column 1: undeclared reference to 'identity' (in container '')
}
