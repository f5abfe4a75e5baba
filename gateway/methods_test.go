package gateway_test

import (
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// TestMethods: over HTTP/2, too, only methods that are known reach a route, so
// that no spelling of one gets past the route that guards it (G7).
func TestMethods(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Method)) })
	c := to(u)
	c.Credentials = map[string]gateway.Credential{"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}}}
	c.Routes = append(c.Routes, gateway.Route{Match: "GET /admin", To: "u", Auth: &gateway.Access{By: []string{"machines"}}})
	address, _ := run(t, opened(t, c), nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	two := &http.Transport{Protocols: protocols}
	one := &http.Transport{}
	t.Cleanup(two.CloseIdleConnections)
	t.Cleanup(one.CloseIdleConnections)
	for method, want := range map[string]int{"GET": 401, "HEAD": 401, "POST": 200, "get": 501, "Get": 501, "GETS": 501, "PROPFIND": 501, "TRACE": 405} {
		for _, transport := range []*http.Transport{one, two} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/admin", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want || want == 405 && resp.Header.Get("Allow") == "" {
				t.Errorf("%s over %s: %d, want %d", method, resp.Proto, resp.StatusCode, want)
			}
		}
	}
}
