package browser_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestOrigins(t *testing.T) {
	t.Parallel()
	list := []string{"https://shop.example", "https://*.shop.example", "http://*.localhost:3000", "HTTPS://Upper.example:443", "http://[::1]:8080", "https://api.example:8443"}
	h := wrap(t, browser.Config{CORS: &browser.CORS{Origins: list, Credentials: true}}, gatetest.Page(200, "page"))
	named := wrap(t, browser.Config{CORS: &browser.CORS{Origins: []string{"null"}}}, gatetest.Page(200, "page"))
	for origin, want := range map[string]bool{
		"https://shop.example": true, "https://a.shop.example": true, "https://a.b-c.shop.example": true, "http://x.localhost:3000": true,
		"https://upper.example": true, "http://[::1]:8080": true, "https://api.example:8443": true,
		"http://shop.example": false, "https://shop.example:8443": false, "https://shop.example.evil.example": false, "https://evilshop.example": false,
		"https://.shop.example": false, "https://a..shop.example": false, "https://evil.example/.shop.example": false, "https://evil.example?.shop.example": false,
		"https://evil.example#.shop.example": false, "https://evil.example:1.shop.example": false, "https://user@a.shop.example": false, "https://evil.example\\.shop.example": false,
		"https://evil.example%2f.shop.example": false, "https://evil.example`.shop.example": false, // browsers have sent such
		"https://a.shop.example:1": false, "https://a.shop.example.": false, "https://A.shop.example": false, "http://a.shop.example": false,
		"null": false, "*": false, "": false, "https://": false, "https://api.example": false, "http://localhost:3000": false, "https://shop.example https://x": false,
	} {
		w := gatetest.Ask(h, http.MethodGet, "/", "Origin: "+origin)
		got := w.Header().Get("Access-Control-Allow-Origin")
		if (got == origin && got != "") != want || !want && got != "" {
			t.Errorf("%q: allowed %q, want %v", origin, got, want)
		}
		if (w.Header().Get("Access-Control-Allow-Credentials") == "true") != want {
			t.Errorf("%q: credentials %q", origin, w.Header().Get("Access-Control-Allow-Credentials"))
		}
		if w.Header().Get("Vary") != "Origin" {
			t.Errorf("%q: Vary %q", origin, w.Header()["Vary"])
		}
	}
	if w := gatetest.Ask(named, http.MethodGet, "/", "Origin: null"); w.Header().Get("Access-Control-Allow-Origin") != "null" {
		t.Errorf("null that is named: %v", w.Header())
	}
	if w := gatetest.Ask(h, http.MethodGet, "/", "Origin: https://shop.example", "Origin: https://evil.example"); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("two origins: %v", w.Header())
	}
}

// An origin is only let in if its host ends where a wildcard says.
func TestWildcard(t *testing.T) {
	t.Parallel()
	p, err := browser.New(&browser.Config{CORS: &browser.CORS{Origins: []string{"https://*.shop.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	h := p.Handler(gatetest.Page(200, "page"))
	rapid.Check(t, func(t *rapid.T) {
		middle := rapid.StringOfN(rapid.RuneFrom([]rune("ab1-_.:/@?#\\% \t\x00é*")), 0, 8, -1).Draw(t, "middle")
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header["Origin"] = []string{"https://" + middle + ".shop.example"}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Header().Get("Access-Control-Allow-Origin") != "" && strings.Trim(middle, "ab1-_.") != "" {
			t.Fatalf("%q is let in", r.Header["Origin"])
		}
	})
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	called := false
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called = true
		w.WriteHeader(http.StatusUnauthorized)
	})
	full := browser.CORS{
		Origins: []string{"https://shop.example"}, Methods: []string{"PUT", "DELETE"}, Headers: []string{"X-Token", "Authorization"}, Credentials: true,
		Expose: []string{"X-Total"}, MaxAge: time.Hour, PrivateNetwork: true,
	}
	for _, c := range []struct {
		name   string
		config browser.CORS
		lines  []string
		want   http.Header
	}{
		{
			"all of it", full,
			[]string{"Origin: https://shop.example", "Access-Control-Request-Headers: x-token, AUTHORIZATION,x-other,b@d", "Access-Control-Request-Private-Network: true"},
			http.Header{
				"Access-Control-Allow-Origin": {"https://shop.example"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Allow-Methods": {"PUT, DELETE"},
				"Access-Control-Allow-Headers": {"x-token, authorization"}, "Access-Control-Max-Age": {"3600"}, "Access-Control-Allow-Private-Network": {"true"},
				"Vary": {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Access-Control-Request-Private-Network"},
			},
		},
		{
			"another origin", full,
			[]string{"Origin: https://evil.example", "Access-Control-Request-Headers: x-token", "Access-Control-Request-Private-Network: true"},
			http.Header{"Vary": {"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers", "Access-Control-Request-Private-Network"}},
		},
		{
			"everybody",
			browser.CORS{Origins: []string{"*"}, Headers: []string{"*"}},
			[]string{"Origin: https://any.example", "Access-Control-Request-Headers: x-any, b@d", "Access-Control-Request-Private-Network: true"},
			http.Header{
				"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Methods": {"GET, HEAD, POST"}, "Access-Control-Allow-Headers": {"x-any"}, "Access-Control-Max-Age": {"600"},
				"Vary": {"Access-Control-Request-Method", "Access-Control-Request-Headers"},
			},
		},
	} {
		w := gatetest.Ask(wrap(t, browser.Config{CORS: &c.config}, next), http.MethodOptions, "/", append(c.lines, "Access-Control-Request-Method: PUT")...)
		if diff := cmp.Diff(c.want, w.Header()); diff != "" || w.Code != http.StatusNoContent || called {
			t.Errorf("%s: %d, the handler was called: %v, header (-want +got):\n%s", c.name, w.Code, called, diff)
		}
	}
	for name, lines := range map[string][]string{"no method": {"Origin: https://shop.example"}, "no origin": {"Access-Control-Request-Method: PUT"}} {
		called = false
		if w := gatetest.Ask(wrap(t, browser.Config{CORS: &full}, next), http.MethodOptions, "/", lines...); !called || w.Code != http.StatusUnauthorized {
			t.Errorf("%s is no preflight: %d, called %v", name, w.Code, called)
		}
	}
}

// The handler's own CORS must not stand beside this one, and Vary is always there.
func TestActualRequests(t *testing.T) {
	t.Parallel()
	own := gatetest.Page(200, "page", "Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true", "Access-Control-Expose-Headers: X-Secret", "Access-Control-Allow-Methods: PUT",
		"Access-Control-Allow-Headers: x", "Access-Control-Max-Age: 1", "Access-Control-Allow-Private-Network: true", "Vary: Accept, origin")
	some := browser.Config{CORS: &browser.CORS{Origins: []string{"https://shop.example"}, Expose: []string{"X-Total", "X-Page"}}}
	all := browser.Config{CORS: &browser.CORS{Origins: []string{"*"}}}
	for _, c := range []struct {
		name   string
		config browser.Config
		origin string
		want   http.Header
	}{
		{"allowed", some, "https://shop.example", http.Header{"Access-Control-Allow-Origin": {"https://shop.example"}, "Access-Control-Expose-Headers": {"X-Total, X-Page"}, "Vary": {"Accept, origin"}}},
		{"another", some, "https://evil.example", http.Header{"Vary": {"Accept, origin"}}},
		{"none", some, "", http.Header{"Vary": {"Accept, origin"}}},
		{"everybody", all, "https://any.example", http.Header{"Access-Control-Allow-Origin": {"*"}, "Vary": {"Accept, origin"}}},
		{"off", browser.Config{}, "https://any.example", http.Header{
			"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"true"}, "Access-Control-Expose-Headers": {"X-Secret"}, "Access-Control-Allow-Methods": {"PUT"},
			"Access-Control-Allow-Headers": {"x"}, "Access-Control-Max-Age": {"1"}, "Access-Control-Allow-Private-Network": {"true"}, "Vary": {"Accept, origin"},
		}},
	} {
		var lines []string
		if c.origin != "" {
			lines = append(lines, "Origin: "+c.origin)
		}
		w := gatetest.Ask(wrap(t, c.config, own), http.MethodGet, "/", lines...)
		if diff := cmp.Diff(c.want, w.Header()); diff != "" {
			t.Errorf("%s: header (-want +got):\n%s", c.name, diff)
		}
	}
	for _, status := range []int{304, 404, 500} {
		if w := gatetest.Ask(wrap(t, some, gatetest.Page(status, "page")), http.MethodGet, "/", "Origin: https://shop.example"); w.Header().Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%d: %v", status, w.Header())
		}
	}
	silent := wrap(t, some, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if w := gatetest.Ask(silent, http.MethodGet, "/"); w.Header().Get("Vary") != "Origin" {
		t.Errorf("a handler that writes nothing: %v", w.Header())
	}
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method string
		refuse       bool
		lines        []string
		want         int
	}{
		{"allowed", "POST", true, []string{"Origin: https://app.example"}, 200},
		{"another", "POST", true, []string{"Origin: https://evil.example"}, 403},
		{"another, not configured", "POST", false, []string{"Origin: https://evil.example"}, 200},
		{"another, safe", "GET", true, []string{"Origin: https://evil.example"}, 200},
		{"null", "DELETE", true, []string{"Origin: null"}, 403},
		{"several", "POST", true, []string{"Origin: https://app.example", "Origin: https://evil.example"}, 403},
		{"the same origin", "POST", true, []string{"Origin: http://shop.example"}, 200},
		{"no browser", "POST", true, nil, 200},
	} {
		h := wrap(t, browser.Config{CORS: &browser.CORS{Origins: []string{"https://app.example"}, Refuse: c.refuse}}, gatetest.Page(200, "page"))
		w := gatetest.Ask(h, c.method, "http://shop.example/", c.lines...)
		if w.Code != c.want || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: %d, Vary %q; want %d", c.name, w.Code, w.Header()["Vary"], c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	cors := func(c browser.CORS) browser.Config { return browser.Config{CORS: &c} }
	from := func(o ...string) browser.Config { return cors(browser.CORS{Origins: o}) }
	for _, c := range []struct {
		config browser.Config
		want   string
	}{
		{cors(browser.CORS{}), "there is none"},
		{cors(browser.CORS{Origins: []string{"*"}, Credentials: true}), "* cannot stand with credentials"},
		{from("*", "https://a.example"), "beside *"},
		{from("shop.example"), "no scheme"},
		{from("https://shop.example/"), "more than scheme"},
		{from("https://u@shop.example"), "more than scheme"},
		{from("https://shop.*"), "whole labels"},
		{from("https://a*.shop.example"), "whole labels"},
		{from("https://*"), "whole labels"},
		{from("https://*.com"), "everybody can have a host"},
		{cors(browser.CORS{Origins: []string{"null"}, Methods: []string{"GET, PUT"}}), "cors.methods"},
		{cors(browser.CORS{Origins: []string{"null"}, Methods: []string{"*"}}), "cors.methods"},
		{cors(browser.CORS{Origins: []string{"null"}, Headers: []string{"x\r\ny"}}), "cors.headers"},
		{cors(browser.CORS{Origins: []string{"null"}, Expose: []string{"*"}}), "cors.expose"},
		{cors(browser.CORS{Origins: []string{"null"}, MaxAge: time.Millisecond}), "whole seconds"},
		{browser.Config{Security: &browser.Security{ContentPolicy: "default-src 'self'\r\nX: y"}}, "Content-Security-Policy has a control character"},
		{browser.Config{Security: &browser.Security{StrictTransport: "yes"}}, "no max-age"},
		{browser.Config{CrossSite: &browser.CrossSite{Trusted: []string{"null"}}}, `"null" is not an origin`},
		{browser.Config{CrossSite: &browser.CrossSite{Trusted: []string{"*"}}}, `"*" is not an origin`},
		{browser.Config{CDN: &browser.CDN{Networks: []string{"10.0.0.1"}}}, "not a network"},
		{browser.Config{CDN: &browser.CDN{CacheControl: "a\nb"}}, "control character"},
		{browser.Config{CDN: &browser.CDN{Keys: []string{"a b"}}}, "not a key"},
		{browser.Config{CDN: &browser.CDN{Replace: true}}, "no cache_control"},
	} {
		gatetest.Invalid(t, c.config.Check(), c.want)
		if _, err := browser.New(&c.config); err == nil {
			t.Errorf("New took %+v", c.config)
		}
	}
}
