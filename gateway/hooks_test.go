package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// The hook hears of every request, and why one got no answer of an upstream. The
// client is told less, and nothing holds the query or the credential.
func TestCause(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	well := behind(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	c := to(well)
	c.Credentials = map[string]gateway.Credential{
		"people": {JWT: &gateway.JWT{Issuer: i.url, Audiences: []string{"shop"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}},
	}
	c.Upstreams["odd"] = gateway.Upstream{Targets: []string{"http://" + raw(t, "nonsense\r\n\r\n")}}
	c.Upstreams["away"] = gateway.Upstream{Targets: []string{"http://127.0.0.1:1"}}
	c.Routes = []gateway.Route{
		{Match: "GET /well", To: "u"},
		{Match: "/odd", To: "odd"},
		{Match: "/asked", To: "u", Query: map[string]string{"a": "1"}},
		{Match: "/away", To: "away"},
		{Match: "/people", To: "u", Auth: &gateway.Access{By: []string{"people"}, When: []string{`identity.subject == "ann"`}}},
	}
	served := make(chan gateway.Served, 1)
	g, err := gateway.New(c, &gateway.Options{Hooks: gateway.Hooks{Served: func(s gateway.Served) { served <- s }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	for _, k := range []struct {
		method, path, header string
		status               int
		route, cause         string
	}{
		{"GET", "/well", "", 418, "GET /well", ""},
		{"GET", "/none", "", 404, "", "nothing is served here"},
		{"POST", "/well", "", 405, "", "this path has no such method"},
		{"GET", "/a%2fb", "", 400, "", "an escaped slash"},
		{"GET", "/asked?a=1&a=2&", "", 400, "", "more than one way"},
		{"GET", "/odd", "", 502, "/odd", "http1: "},
		{"GET", "/away", "", 503, "/away", "refused"},
		{"GET", "/people", "", 401, "/people", "no credential"},
		{"GET", "/people", "Bearer x.y.z", 401, "/people", "malformed"},
		{"GET", "/people", "Bearer " + i.token(t, "bob", ""), 403, "/people", "condition false"},
		{"GET", "/people", "Bearer " + i.token(t, "ann", ""), 418, "/people", ""},
	} {
		var header []string
		if k.header != "" {
			header = []string{"Authorization", k.header}
		}
		got := ask(g, k.method, "http://x"+k.path+"?secret", header...)
		s := <-served
		if got.Code != k.status || s.Status != k.status || s.Route != k.route || s.Cause == "" != (k.cause == "") || !strings.Contains(s.Cause, k.cause) {
			t.Errorf("%s %s: %d; the hook heard %+v", k.method, k.path, got.Code, s)
		}
		if strings.Contains(s.Cause+s.Path, "secret") || strings.Contains(s.Cause, "x.y.z") || strings.Contains(got.Body.String(), "127.0.0.1") {
			t.Errorf("%s %s: something got out: %+v, %s", k.method, k.path, s, got.Body)
		}
	}
}
