package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// The head of an answer is bounded, whichever protocol the upstream speaks, and
// whatever of it is long: one field, many fields, early hints.
func TestLongAnswerHead(t *testing.T) {
	t.Parallel()
	h := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		switch r.URL.Path {
		case "/fits":
			h.Set("X-Long", strings.Repeat("a", 50<<10))
		case "/long":
			h.Set("X-Long", strings.Repeat("a", 70<<10))
		case "/many":
			for range 70 {
				h.Add("X-Many", strings.Repeat("a", 1<<10))
			}
		case "/hints":
			h.Set("Link", strings.Repeat("a", 70<<10))
			w.WriteHeader(http.StatusEarlyHints)
			h.Del("Link")
		}
		_, _ = io.WriteString(w, "ok")
	}
	for _, protocol := range []string{"http1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := to()
			u := gateway.Upstream{Targets: []string{twoBehind(t, h)}, Protocol: protocol}
			if protocol == "http1" {
				u.Targets[0] = behind(t, h)
			}
			c.Upstreams["u"] = u
			g := opened(t, c)
			for path, want := range map[string]int{"/": 200, "/fits": 200, "/long": 502, "/many": 502, "/hints": 502} {
				if got := ask(g, "GET", "http://x"+path); got.Code != want || want == 502 && len(got.Header().Get("X-Long")) > 0 {
					t.Errorf("%s: %d, want %d", path, got.Code, want)
				}
			}
		})
	}
}
