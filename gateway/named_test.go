package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/transform"
)

// TestConnectionTakesNothingAway: what a client names in Connection is gone before
// policies look, and takes nothing away that they set (G13).
func TestConnectionTakesNothingAway(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "tenant %q own %q for %q", r.Header["X-Tenant"], r.Header["X-Own"], r.Header["X-Forwarded-For"])
	})
	c := to(u)
	c.Credentials = map[string]gateway.Credential{"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}}}
	set := &transform.Config{}
	set.Request.Headers.Set = map[string]string{"X-Tenant": "{path.tenant}"}
	c.Routes = []gateway.Route{
		{Match: "/{tenant}/", To: "u", Transform: set},
		{Match: "/mode", To: "u"},
		{Match: "/mode", To: "u", Headers: map[string]string{"X-Mode": "open"}, Auth: &gateway.Access{By: []string{"machines"}}},
	}
	address := front(t, opened(t, c))
	for _, k := range []struct{ path, header, want string }{
		{"/a/", "Connection: close", `tenant ["a"] own []`},
		{"/a/", "Connection: close, X-Tenant", `tenant ["a"] own []`},
		{"/a/", "Connection: x-tenant\r\nConnection: close", `tenant ["a"] own []`},
		{"/a/", "X-Tenant: b\r\nX-Own: c\r\nConnection: close, X-Tenant ,X-Own", `tenant ["a"] own []`},
		{"/a/", "X-Own: c\r\nConnection: close", `own ["c"]`},
		{"/a/", "Connection: close, X-Forwarded-For, X-Forwarded-Host", `for ["127.0.0.1"]`},
		{"/mode", "X-Mode: open\r\nConnection: close", " 401 "},
		{"/mode", "X-Mode: open\r\nConnection: close, X-Mode", " 200 "}, // the upstream does not see it either
	} {
		got := say(t, address, "GET "+k.path+" HTTP/1.1\r\nHost: x\r\n"+k.header+"\r\n\r\n")
		if !strings.Contains(got, k.want) {
			t.Errorf("%s %q: %s, want %s", k.path, k.header, got, k.want)
		}
	}
}
