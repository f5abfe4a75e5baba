package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// TestLimitsBySixes: who has a network of IPv6 has one limit, and not one for each
// of its addresses (G16).
func TestLimitsBySixes(t *testing.T) {
	t.Parallel()
	for _, per := range []string{"client", "identity"} {
		u := behind(t, func(http.ResponseWriter, *http.Request) {})
		c := to(u)
		c.Routes[0].Limits = []gateway.RouteLimit{{Rate: "1/1h", Per: per}}
		g := opened(t, c)
		for _, k := range []struct {
			from string
			want int
		}{
			{"[2001:db8::1]:1", 200},
			{"[2001:db8::2]:1", 429},
			{"[2001:db8::ffff:0:0:1]:1", 429},
			{"[2001:db8:0:1::1]:1", 200},
			{"192.0.2.1:1", 200},
			{"192.0.2.2:1", 200},
			{"192.0.2.1:2", 429},
			{"[::ffff:192.0.2.3]:1", 200},
			{"[::ffff:192.0.2.4]:1", 200},
		} {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.RemoteAddr = k.from
			w := httptest.NewRecorder()
			if g.ServeHTTP(w, r); w.Code != k.want {
				t.Errorf("per %s, from %s: %d, want %d", per, k.from, w.Code, k.want)
			}
		}
	}
}
