package cache

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// These look inside because a wrong parse shows outside only with luck.

func FuzzControl(f *testing.F) {
	for _, s := range []string{"max-age=60", `private="a, b", max-age="1"`, "no-store", `a="\", no-cache`, ",,=,max-age", "max-age=1, max-age=2", "max-stale, min-fresh=9"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		c := parseControl([]string{a, b})
		for _, d := range []time.Duration{c.maxAge, c.sMaxAge, c.minFresh, c.maxStale, c.staleWhileRevalidate, c.staleIfError} {
			if d < absent || d > maxSeconds*time.Second {
				t.Errorf("%q, %q: time %v", a, b, d)
			}
		}
		// What forbids storing is never hidden by what stands beside it, as long as
		// no quoted string is open.
		if !strings.ContainsAny(a, `"`) {
			with := parseControl([]string{a + ", no-store", b})
			if !with.noStore || with.maxAge != c.maxAge || with.private != c.private {
				t.Errorf("%q, %q: no-store was lost or changes others: %+v, %+v", a, b, c, with)
			}
		}
		if upper := parseControl([]string{strings.ToUpper(a), b}); isASCII(a) && upper != c {
			t.Errorf("%q: case matters", a)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

func FuzzTargeted(f *testing.F) {
	for _, s := range []string{"max-age=60", "max-age=60, no-store", "a;b=1;c, d=?0", `a="x\"y"`, "max-age=60,", "Max-Age=1", "no-store=?0", "a=-", "*=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, ok := parseTargeted([]string{s})
		if _, twice := parseTargeted([]string{s, s}); ok && !twice {
			t.Errorf("%q: valid once and not twice", s)
		}
		if !ok {
			return
		}
		// A valid Dictionary without strings, parameters and booleans is a
		// Cache-Control too, and says the same but for repetitions.
		if !strings.ContainsAny(s, `";?`) && strings.Count(s, "max-age") < 2 && strings.Count(s, "s-maxage") < 2 {
			plain := parseControl([]string{s})
			if plain.noStore != c.noStore || plain.maxAge != c.maxAge || plain.private != c.private {
				t.Errorf("%q: %+v, as Cache-Control %+v", s, c, plain)
			}
		}
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Accept, accept-encoding", "gzip;q=0.5, br", "br,gzip")
	f.Add("*", "", "")
	f.Add("a,,b", "x", "y")
	f.Fuzz(func(t *testing.T, vary, a, b string) {
		names, ok := parseVary([]string{vary})
		if strings.Contains(vary, "*") && slices.Contains(strings.Split(strings.ReplaceAll(vary, " ", ""), ","), "*") && ok {
			t.Errorf("%q: a star is no list", vary)
		}
		if !ok {
			return
		}
		if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
			t.Errorf("%q: %q", vary, names)
		}
		for _, name := range append(names, "Accept-Encoding", "Accept") {
			h, other := http.Header{name: {a}}, http.Header{name: {b}}
			list := selectors([]string{name}, h)
			if !matches(list, h) {
				t.Errorf("%s: %q does not match itself", name, a)
			}
			back := selectors([]string{name}, other)
			if matches(list, other) != matches(back, h) {
				t.Errorf("%s: %q and %q match one way only", name, a, b)
			}
			if matches(list, http.Header{}) {
				t.Errorf("%s: %q matches its absence", name, a)
			}
		}
	})
}

// Two requests have the same key only if all that is keyed is the same.
func FuzzKey(f *testing.F) {
	f.Add("shop.example", "/a", "x=1", "A", "t", "shop.example", "/a", "x=1", "A", "t")
	f.Add("a", "/b", "", "", "", "a/b", "/", "", "", "")
	f.Add("a", "/b", "c", "", "", "a", "/b?c", "", "", "")
	f.Add("a", "/", "", "xy", "z", "a", "/", "", "x", "yz")
	f.Add("a:80", "/", "", "", "", "A", "/", "", "", "")
	h := &handler{rules: Rules{Headers: []string{"X-Tenant"}, Principal: func(r *http.Request) string { return r.Header.Get("Authorization") }}}
	f.Fuzz(func(t *testing.T, host, path, query, who, tenant, host2, path2, query2, who2, tenant2 string) {
		one, ok := keyOf(h, host, path, query, who, tenant)
		two, ok2 := keyOf(h, host2, path2, query2, who2, tenant2)
		if !ok || !ok2 || one != two {
			return
		}
		same := strings.EqualFold(withoutPort("http", host), withoutPort("http", host2)) && path == path2 && query == query2 && who == who2 && tenant == tenant2
		if !same {
			t.Errorf("one key for %q and %q", []string{host, path, query, who, tenant}, []string{host2, path2, query2, who2, tenant2})
		}
	})
}

func keyOf(h *handler, host, path, query, who, tenant string) (string, bool) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host, r.URL = host, &url.URL{Path: path, RawQuery: query}
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	r.Header["X-Tenant"] = []string{tenant}
	var s survey
	s.look(r.Header)
	b, ok := h.appendKey(nil, r, &ask{r: r}, &s)
	return string(b), ok
}
