package gateway_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// named returns a gateway whose every route has an upstream that answers with
// the name of the route.
func named(t *testing.T, routes []gateway.Route) *gateway.Gateway {
	t.Helper()
	c := &gateway.Config{Upstreams: map[string]gateway.Upstream{}, Routes: routes}
	url := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) })
	c.Upstreams["u"] = gateway.Upstream{Targets: []string{url}}
	for i := range c.Routes {
		c.Routes[i].To, c.Routes[i].Host = "u", fmt.Sprint("route", i)
	}
	return opened(t, c)
}

func opened(t *testing.T, c *gateway.Config) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// ask sends a request to a handler.
func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	routes := []gateway.Route{
		{Match: "/"},
		{Match: "/orders/"},
		{Match: "/orders"},
		{Match: "GET /orders/{id}"},
		{Match: "/orders/{id}"},
		{Match: "HEAD /orders/{id}"},
		{Match: "/orders/new"},
		{Match: "/orders/{id}/lines/{line...}"},
		{Match: "/exact/{$}"},
		{Match: "shop.example/"},
		{Match: "*.example/"},
		{Match: "*.shop.example/"},
		{Match: "/beta", Headers: map[string]string{"X-Beta": "1"}},
		{Match: "/beta", Headers: map[string]string{"x-beta": "2"}},
		{Match: "/beta", Headers: map[string]string{"X-Beta": "1"}, Query: map[string]string{"v": "*"}},
		{Match: "/beta"},
		{Match: "/caf%C3%A9 x/b"},
	}
	routes[16].Match = "/café/a+b"
	g := named(t, routes)
	for _, c := range []struct {
		method, target, header string
		want                   int
	}{
		{"GET", "http://x/", "", 0},
		{"GET", "http://x/other/thing", "", 0},
		{"GET", "http://x/orders", "", 2},
		{"GET", "http://x/orders/", "", 2},
		{"GET", "http://x/orders/7", "", 3},
		{"GET", "http://x/orders/7/", "", 3},
		{"POST", "http://x/orders/7", "", 4},
		{"HEAD", "http://x/orders/7", "", 5},
		{"GET", "http://x/orders/new", "", 6},
		{"GET", "http://x/orders/7/lines", "", 7},
		{"GET", "http://x/orders/7/lines/1/2", "", 7},
		{"GET", "http://x/orders/7/other", "", 1},
		{"GET", "http://x/exact/", "", 8},
		{"GET", "http://x/exact", "", 0},
		{"GET", "http://shop.example/orders", "", 9},
		{"GET", "http://SHOP.example.:8080/", "", 9},
		{"GET", "http://a.example/", "", 10},
		{"GET", "http://a.b.example/", "", 10},
		{"GET", "http://a.shop.example/", "", 11},
		{"GET", "http://example/", "", 0},
		{"GET", "http://x/beta", "1", 12},
		{"GET", "http://x/beta", "2", 13},
		{"GET", "http://x/beta?v=", "1", 14},
		{"GET", "http://x/beta?v=", "2", 13},
		{"GET", "http://x/beta", "3", 15},
		{"GET", "http://x/caf%c3%a9/a%2bb", "", 16},
	} {
		w := ask(g, c.method, c.target, "X-Beta", c.header)
		if got, want := w.Body.String(), fmt.Sprint("route", c.want); got != want && c.method != "HEAD" {
			t.Errorf("%s %s went to %s (%d), want %s", c.method, c.target, got, w.Code, want)
		}
	}
}

func TestNoRoute(t *testing.T) {
	t.Parallel()
	g := named(t, []gateway.Route{{Match: "GET /a"}, {Match: "POST /a"}})
	if w := ask(g, "GET", "http://x/b"); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d %v", w.Code, w.Header())
	}
	if w := ask(g, "DELETE", "http://x/a"); w.Code != 405 || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("status %d, allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := ask(g, "GET", "http://x/a/%2e%2e/a"); w.Code != 400 {
		t.Errorf("status %d", w.Code)
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b     gateway.Route
		conflict bool
	}{
		{gateway.Route{Match: "/a"}, gateway.Route{Match: "/a"}, true},
		{gateway.Route{Match: "/{x}"}, gateway.Route{Match: "/{y}"}, true},
		{gateway.Route{Match: "/{x}/b"}, gateway.Route{Match: "/a/{y}"}, true},
		{gateway.Route{Match: "/{x}/b/"}, gateway.Route{Match: "/a/{y}"}, false},
		{gateway.Route{Match: "/a/{x...}"}, gateway.Route{Match: "/a/"}, true},
		{gateway.Route{Match: "GET /{x}/b"}, gateway.Route{Match: "POST /a/{y}"}, false},
		{gateway.Route{Match: "GET /{x}/b"}, gateway.Route{Match: "HEAD /a/{y}"}, true},
		{gateway.Route{Match: "/a"}, gateway.Route{Match: "/a/"}, false},
		{gateway.Route{Match: "/a"}, gateway.Route{Match: "/a/{$}"}, false},
		{gateway.Route{Match: "h/a"}, gateway.Route{Match: "/a"}, false},
		{gateway.Route{Match: "GET /a"}, gateway.Route{Match: "HEAD /a"}, false},
		{gateway.Route{Match: "GET /a"}, gateway.Route{Match: "/a"}, false},
		{gateway.Route{Match: "/a", Headers: map[string]string{"X": "1"}}, gateway.Route{Match: "/a", Headers: map[string]string{"x": "2"}}, false},
		{gateway.Route{Match: "/a", Headers: map[string]string{"X": "1"}}, gateway.Route{Match: "/a", Query: map[string]string{"x": "2"}}, true},
		{gateway.Route{Match: "/a", Headers: map[string]string{"X": "*"}}, gateway.Route{Match: "/a", Headers: map[string]string{"X": "2"}}, true},
	} {
		for _, routes := range [][]gateway.Route{{c.a, c.b}, {c.b, c.a}} {
			routes[0].Name, routes[1].Name = "first", "second"
			routes[0].To, routes[1].To = "u", "u"
			config := gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://127.0.0.1:1"}}}, Routes: routes}
			found := config.Check()
			if (len(found) == 1 && strings.Contains(found[0].Text, "conflict")) != c.conflict {
				t.Errorf("%s and %s: %v, want a conflict: %v", routes[0].Match, routes[1].Match, found, c.conflict)
			}
		}
	}
}

// TestLikeServeMux compares the table with net/http.ServeMux on random sets of
// patterns: both accept the same sets, and choose the same pattern. ServeMux is
// given what the gateway adds: /a matches /a/, and /a/ matches /a.
func TestLikeServeMux(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for range 3000 {
		patterns := randomPatterns(rng)
		mux, accepted, whole := muxOf(patterns)
		routes := make([]gateway.Route, len(patterns))
		for i, p := range patterns {
			routes[i] = gateway.Route{Name: fmt.Sprint(i), Match: p, To: "u"}
		}
		config := gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://127.0.0.1:1"}}}, Routes: routes}
		if found := config.Check(); (len(found) == 0) != accepted {
			t.Fatalf("patterns %q: ServeMux accepts: %v, the gateway finds %v", patterns, accepted, found)
		}
		if !accepted || !whole {
			continue
		}
		g, err := gateway.New(&config, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			r := httptest.NewRequest(http.MethodGet, "http://x"+randomPath(rng), http.NoBody)
			h, want := mux.Handler(r)
			if w := httptest.NewRecorder(); want != "" {
				if h.ServeHTTP(w, r); w.Code != http.StatusNotFound {
					continue // a redirect to the path with a slash, which the gateway leaves to the server behind
				}
			}
			got := g.Match(r)
			name := ""
			if got != nil {
				name = got.Match
			}
			if canonicalMatch(want, patterns) != name {
				t.Fatalf("patterns %q, path %s: ServeMux chooses %q, the gateway %q", patterns, r.URL.Path, want, name)
			}
			compared++
		}
		_ = g.Close()
	}
	if compared < 1000 {
		t.Errorf("only %d paths compared", compared)
	}
}

// canonicalMatch returns which of the patterns a pattern of the mux stands for.
func canonicalMatch(chosen string, patterns []string) string {
	for _, p := range patterns {
		for _, form := range forms(p) {
			if form == chosen {
				return p
			}
		}
	}
	return ""
}

// forms are what ServeMux is given for a pattern: it, and with or without its
// slash.
func forms(p string) []string {
	switch {
	case p == "/" || strings.HasSuffix(p, "{$}"):
		return []string{p}
	case strings.HasSuffix(p, "/"):
		return []string{p, strings.TrimSuffix(p, "/")}
	}
	return []string{p, p + "/{$}"}
}

// muxOf reports whether a mux accepts the patterns, and whether it has all their
// forms: it refuses some that the order of segments decides.
func muxOf(patterns []string) (mux *http.ServeMux, accepted, whole bool) {
	mux = http.NewServeMux()
	accepted, whole = true, true
	add := func(p string) (ok bool) {
		defer func() { ok = recover() == nil }()
		mux.Handle(p, http.NotFoundHandler())
		return true
	}
	for _, p := range patterns {
		accepted = accepted && add(p)
	}
	for _, p := range patterns {
		for _, form := range forms(p)[1:] {
			whole = add(form) && whole
		}
	}
	return mux, accepted, whole
}

func randomPatterns(rng *rand.Rand) []string {
	var patterns []string
	for range 1 + rng.IntN(4) {
		var p strings.Builder
		for i := range rng.IntN(4) {
			p.WriteByte('/')
			if rng.IntN(3) == 0 {
				fmt.Fprintf(&p, "{x%d}", i)
			} else {
				p.WriteByte("ab"[rng.IntN(2)])
			}
		}
		switch rng.IntN(3) {
		case 0:
			p.WriteByte('/')
		case 1:
			if p.Len() > 0 && rng.IntN(4) == 0 {
				p.WriteString("/{$}")
			}
		}
		if p.Len() == 0 {
			p.WriteByte('/')
		}
		patterns = append(patterns, p.String())
	}
	return patterns
}

func randomPath(rng *rand.Rand) string {
	var p strings.Builder
	for range 1 + rng.IntN(4) {
		p.WriteByte('/')
		p.WriteByte("abc"[rng.IntN(3)])
	}
	if rng.IntN(3) == 0 {
		p.WriteByte('/')
	}
	return p.String()
}
