package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/transform"
)

// TestIdentityIsNotBelieved: headers that say who somebody is are gone before
// anything of the gateway reads them (G14).
func TestIdentityIsNotBelieved(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "audit %q", r.Header["X-Audit"]) })
	c := to(u)
	c.Credentials = map[string]gateway.Credential{"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}}}
	copied := &transform.Config{}
	copied.Request.Headers.Set = map[string]string{"X-Audit": "{header.X-User}"}
	renamed := &transform.Config{}
	renamed.Request.Headers.Rename = map[string]string{"X_user": "X-Audit"}
	c.Routes = []gateway.Route{
		{Match: "/own", To: "u", Auth: &gateway.Access{By: []string{"machines"}, Forward: map[string]string{"X-User": "subject"}}},
		{Match: "/copied", To: "u", Transform: copied},
		{Match: "/renamed", To: "u", Transform: renamed},
		{Match: "/limited", To: "u", Limits: []gateway.RouteLimit{{Rate: "1/1h", Per: "header X-User"}, {Rate: "100/1h"}}},
		{Match: "/matched", To: "u"},
		{Match: "/matched", To: "u", Name: "no", Headers: map[string]string{"X-User": "admin"}, MaxBody: 1, Transform: &transform.Config{Request: transform.Request{Headers: transform.Fields{Set: map[string]string{"X-Audit": "matched"}}}}},
	}
	g := opened(t, c)
	for _, name := range []string{"X-User", "X_user", "X.user"} {
		for _, path := range []string{"/copied", "/renamed", "/matched"} {
			if got := ask(g, "GET", path, name, "admin").Body.String(); strings.Contains(got, "admin") || strings.Contains(got, "matched") {
				t.Errorf("%s of %s: the upstream was told %s", path, name, got)
			}
		}
	}
	for i, want := range []int{200, 429} { // another name is no new bucket
		if got := ask(g, "GET", "/limited", "X-User", fmt.Sprint(i)).Code; got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
}
