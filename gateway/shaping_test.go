package gateway_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// The policies of messages stand where they have to: a preflight needs no
// credentials, refusals have the headers that let a page read them, what is stored
// is the upstream's, and an identity cannot be set by a rule.
func TestShape(t *testing.T) {
	t.Parallel()
	calls := 0
	app := behind(t, func(w http.ResponseWriter, r *http.Request) {
		calls++ // one request after the other
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"secret":1,"tenant":%q,"user":%q,"fill":%q}`, r.Header.Get("X-Tenant"), r.Header.Get("X-User"), strings.Repeat("x", 2000))
	})
	c, err := gateway.Parse("f", []byte(`
credentials: {partners: {certificates: {names: [partner.example]}}}
compress: {}
browser: {cors: {origins: [https://shop.example]}, security: {}}
upstreams: {app: "`+app+`"}
routes:
- match: GET /t/{tenant}/orders
  to: app
  max_body: 10
  cache: {ttl: 1h, headers: [X-Tenant]}
  transform:
    request: {headers: {set: {X-Tenant: "{path.tenant}"}}}
    response: {json: {remove: [/secret]}, headers: {set: {X-Query: "{query.q}"}}}
- match: /closed
  to: app
  auth: {by: [partners], forward: {X-User: subject}}
- {match: GET /bare, to: app, browser: {}}
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	do := func(method, target string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, http.NoBody)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w
	}

	w := do("GET", "http://x/t/a%26b/orders?q=1", "Accept-Encoding", "gzip", "X-User", "root", "Origin", "https://shop.example")
	plain, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(plain)
	if want := `{"tenant":"a\u0026b","user":"","fill":"`; err != nil || !strings.HasPrefix(strings.ReplaceAll(string(text), "a&b", `a\u0026b`), want) {
		t.Errorf("body %.60s, %v, want %s…", text, err, want)
	}
	for name, want := range map[string]string{"X-Query": "1", "Access-Control-Allow-Origin": "https://shop.example", "X-Content-Type-Options": "nosniff"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if w := do("GET", "http://x/t/a%26b/orders?q=1", "Accept-Encoding", "zstd"); calls != 1 || w.Header().Get("Content-Encoding") != "zstd" {
		t.Errorf("%d calls, coding %q: what is stored is not the upstream's answer", calls, w.Header().Get("Content-Encoding"))
	}
	if do("GET", "http://x/t/other/orders?q=1"); calls != 2 {
		t.Errorf("%d calls: the cache does not see what a rule has set", calls)
	}

	w = do("OPTIONS", "http://x/closed", "Origin", "https://shop.example", "Access-Control-Request-Method", "POST")
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("preflight of a route with credentials: status %d, %v", w.Code, w.Header())
	}
	w = do("GET", "http://x/closed", "Origin", "https://shop.example")
	if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("refusal: status %d, %v: a page cannot read it", w.Code, w.Header())
	}
	if w := do("OPTIONS", "http://x/bare", "Origin", "https://shop.example", "Access-Control-Request-Method", "GET"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("preflight of a route without CORS: status %d", w.Code)
	}
	if w := do("GET", "http://x/bare"); w.Header().Get("X-Content-Type-Options") != "" {
		t.Error("a route's own policy does not replace the one of all")
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
}

// A body that is too long is 413, said at once or found at its end, and the
// target is not to blame.
func TestMaxBody(t *testing.T) {
	t.Parallel()
	app := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	c := to(app)
	c.Routes[0].MaxBody = 10
	g := opened(t, c)
	for body, want := range map[string]int{"0123456789": 200, "0123456789a": 413} {
		for _, known := range []bool{true, false} {
			var from io.Reader = strings.NewReader(body)
			if !known {
				from = io.MultiReader(from)
			}
			r := httptest.NewRequest("POST", "http://x/", from)
			w := httptest.NewRecorder()
			if g.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%d bytes, length known %v: status %d, want %d", len(body), known, w.Code, want)
			}
		}
	}
	if target := g.Status().Upstreams[0].Targets[0]; target.Failures != 0 {
		t.Errorf("%+v", target)
	}
}

func TestShapeMistakes(t *testing.T) {
	t.Parallel()
	_, err := gateway.Parse("f", []byte(strings.TrimLeft(`
credentials: {partners: {certificates: {names: [partner.example]}}}
upstreams: {app: "http://127.0.0.1:3000"}
routes:
- match: /
  to: app
  compress: {level: most}
  browser: {cors: {origins: ["*"], credentials: true}}
  transform: {request: {headers: {set: {x-user: me}}}, response: {json: {remove: [/secret], otherwise: pass}}}
  auth: {by: [partners], forward: {X-User: subject}}
`, "\n")))
	for _, want := range []string{"f:6:", "level", "f:7:", "* cannot stand with credentials", "f:8:", "otherwise", "only auth.forward may set it"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}
