package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// TestVaryByClient: an upstream that says that its answer depends on where the
// client is gets believed, although X-Forwarded-For is set behind the cache.
func TestVaryByClient(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Language, x-forwarded-for")
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For"))
	})
	c := to(u)
	c.Routes[0].Cache = &gateway.RouteCache{TTL: time.Minute}
	g := opened(t, c)
	for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.1"} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.RemoteAddr = address + ":1234"
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Body.String() != address {
			t.Errorf("%s got the answer to %s", address, w.Body)
		}
	}
}
