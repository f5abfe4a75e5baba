package gateway_test

import (
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// TestUnclearConditions: no spelling of a query or a header gets a request past
// the route that guards it and is the guarded one to the upstream.
func TestUnclearConditions(t *testing.T) {
	t.Parallel()
	u := to("http://127.0.0.1:1") // nothing listens: 503 is a way past the guard
	u.Credentials = map[string]gateway.Credential{"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}}}
	guard := &gateway.Access{By: []string{"machines"}}
	u.Routes = []gateway.Route{
		{Match: "/", To: "u"},
		{Match: "/query", To: "u", Query: map[string]string{"action": "delete"}, Auth: guard},
		{Match: "/any", To: "u", Query: map[string]string{"debug": "*"}, Auth: guard},
		{Match: "POST /header", To: "u", Headers: map[string]string{"X-Mode": "admin"}, Auth: guard},
	}
	g := opened(t, u)
	for _, k := range []struct {
		method, target string
		modes          []string
		want           int
	}{
		{"GET", "/query?action=delete", nil, 401},
		{"GET", "/query?%61ction=delete", nil, 401},
		{"GET", "/query?action=delete&action=delete", nil, 401},
		{"GET", "/query?action=list", nil, 503},
		{"GET", "/query?a=1&a=2", nil, 503},
		{"GET", "/query?action=list&action=delete", nil, 400},
		{"GET", "/query?action=delete&action=list", nil, 400},
		{"GET", "/query?x;action=delete", nil, 400},
		{"GET", "/query?x=1;action=delete", nil, 400},
		{"GET", "/query?action=delete;", nil, 400},
		{"GET", "/query?action=delete%", nil, 400},
		{"GET", "/any?debug", nil, 401},
		{"GET", "/any?debug=1&debug=2", nil, 401},
		{"GET", "/any?debug=%zz", nil, 400},
		{"GET", "/any?x;debug=1", nil, 400},
		{"GET", "/other?x;debug=%zz", nil, 503}, // no condition looks at it
		{"POST", "/header", []string{"admin"}, 401},
		{"POST", "/header", []string{"user"}, 503},
		{"POST", "/header", []string{"user", "user"}, 503},
		{"POST", "/header", []string{"user", "admin"}, 400},
		{"POST", "/header", []string{"admin", "user"}, 400},
		{"GET", "/header", []string{"user", "admin"}, 503}, // nor at this
	} {
		var header []string
		for _, mode := range k.modes {
			header = append(header, "X-Mode", mode)
		}
		if got := ask(g, k.method, k.target, header...).Code; got != k.want {
			t.Errorf("%s %s %v: %d, want %d", k.method, k.target, k.modes, got, k.want)
		}
	}
}
