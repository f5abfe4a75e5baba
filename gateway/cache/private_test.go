package cache_test

import (
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// whoAmI answers with what the request says of its sender.
func whoAmI(lines ...string) *origin {
	return &origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
		gatetest.Add(w.Header(), lines)
		_, _ = w.Write([]byte("for " + r.Header.Get("Authorization") + r.Header.Get("Cookie")))
	}}
}

// G21: nobody gets an answer that was made for another (RFC 9111 §3.5, OWASP
// API1). Each case sends A's request twice, then each other one.
func TestNobodySeesAnother(t *testing.T) {
	t.Parallel()
	a, b := "Authorization: Bearer A", "Authorization: Bearer B"
	byToken := func(r *http.Request) string { return r.Header.Get("Authorization") }
	tests := []struct {
		name   string
		rules  *cache.Rules
		says   []string
		others []string
		shared bool // the answer to A's second request is A's first
	}{
		{"§3.5 plain max-age", nil, []string{"Cache-Control: max-age=60"}, []string{b, ""}, false},
		{"§3.5 no-store", nil, []string{"Cache-Control: no-store"}, []string{b, ""}, false},
		{"§3.5 private", nil, []string{"Cache-Control: private, max-age=60"}, []string{b, ""}, false},
		{"default TTL is no permission", &cache.Rules{TTL: 1 << 40}, nil, []string{b, ""}, false},
		{"a class of its own", &cache.Rules{Principal: byToken}, []string{"Cache-Control: max-age=60"}, []string{b, ""}, true},
		{"a class, public", &cache.Rules{Principal: byToken}, []string{"Cache-Control: public, max-age=60"}, []string{b, ""}, true},
		{"a class, private", &cache.Rules{Principal: byToken}, []string{"Cache-Control: private, max-age=60"}, []string{b, ""}, false},
		{"Vary: Authorization", nil, []string{"Cache-Control: public, max-age=60", "Vary: Authorization"}, []string{b, ""}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := whoAmI(test.says...)
			bed := setup(t, nil, test.rules, o)
			bed.get(page, a)
			bed.get(page, a)
			if shared := o.count() == 1; shared != test.shared {
				t.Errorf("A's answer was stored: %v, want %v", shared, test.shared)
			}
			for _, who := range test.others {
				want := "for "
				if who != "" {
					want += "Bearer B"
				}
				if got := bed.get(page, who).Body.String(); got != want {
					t.Errorf("%q got %q", who, got)
				}
			}
		})
	}
}

// RFC 9111 §3.5: the three directives that let people share, and only among those
// who show credentials.
func TestSharingAmongTheAuthorized(t *testing.T) {
	t.Parallel()
	for _, allows := range []string{"public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"} {
		o := whoAmI("Cache-Control: " + allows)
		bed := setup(t, nil, nil, o)
		bed.get(page, "Authorization: Bearer A")
		if got := bed.get(page, "Authorization: Bearer B").Body.String(); got != "for Bearer A" {
			t.Errorf("%s: B got %q, want the shared answer", allows, got)
		}
		if got := bed.get(page).Body.String(); got != "for " {
			t.Errorf("%s: anonymous got %q", allows, got)
		}
	}
}

// An anonymous answer is not for those who show credentials either: they would
// see the page of somebody who is logged out.
func TestAnonymousAnswersAreNotForTheAuthorized(t *testing.T) {
	t.Parallel()
	bed := setup(t, nil, nil, whoAmI("Cache-Control: public, max-age=60"))
	bed.get(page)
	bed.want(bed.get(page, "Authorization: Bearer B"), "for Bearer B", cache.Miss)
	bed.want(bed.get(page), "for ", cache.Hit)
}

func TestUnstorableForOneDoesNotSpoilForAll(t *testing.T) {
	t.Parallel()
	bed := setup(t, nil, nil, whoAmI("Cache-Control: max-age=60"))
	bed.get(page, "Authorization: Bearer A") // refused by §3.5, and remembered
	bed.want(bed.get(page), "for ", cache.Miss)
	bed.want(bed.get(page), "for ", cache.Hit)
}

func TestCookies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		cookies       []string
		first, second string
		want          string // of the second
		status        cache.Status
	}{
		{"pass by default", nil, "sid=A", "sid=A", "for sid=A", cache.Pass},
		{"pass by default although public", nil, "sid=A", "", "for ", cache.Miss},
		{"keyed", []string{"lang"}, "lang=de; sid=A", "sid=B; lang=de", "for lang=de", cache.Hit},
		{"keyed apart", []string{"lang"}, "lang=de", "lang=en", "for lang=en", cache.Miss},
		{"none matters, none is sent", []string{}, "sid=A", "sid=B", "for ", cache.Hit},
		{"none matters, anonymous", []string{}, "sid=A", "", "for ", cache.Hit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bed := setup(t, nil, &cache.Rules{Cookies: test.cookies}, whoAmI("Cache-Control: public, max-age=60"))
			ask := func(cookie string) string {
				r := request("GET", page)
				if cookie != "" {
					r.Header.Set("Cookie", cookie)
				}
				return bed.do(r).Body.String()
			}
			ask(test.first)
			if got := ask(test.second); got != test.want || bed.status() != test.status {
				t.Errorf("got %q %v, want %q %v", got, bed.status(), test.want, test.status)
			}
		})
	}
}

func TestSetCookieIsStrippedWhereAsked(t *testing.T) {
	t.Parallel()
	o := answering(200, "Cache-Control: max-age=60", "Set-Cookie: sid=A")
	bed := setup(t, nil, &cache.Rules{StripSetCookie: true}, o)
	for _, want := range []cache.Status{cache.Miss, cache.Hit} {
		w := bed.get(page)
		bed.want(w, "001", want)
		if w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%v has Set-Cookie", want)
		}
	}
}

// G22: what is not in the key cannot change what others get (cache poisoning
// as in CVE-2018-14774; cache deception).
func TestUnkeyedInputs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		rules  *cache.Rules
		poison func(*http.Request)
	}{
		{"X-Forwarded-Host (CVE-2018-14774)", nil, header("X-Forwarded-Host", "evil.example")},
		{"X-Forwarded-Scheme", nil, header("X-Forwarded-Scheme", "nothttps")},
		{"X-Forwarded-Proto", nil, header("X-Forwarded-Proto", "http")},
		{"X-Forwarded-Port", nil, header("X-Forwarded-Port", "1")},
		{"X_Forwarded_Host", nil, header("X_forwarded_host", "evil.example")},
		{"X-Forwarded-For", nil, header("X-Forwarded-For", "<script>")},
		{"Forwarded", nil, header("Forwarded", "host=evil.example")},
		{"X-Real-Ip", nil, header("X-Real-Ip", "<script>")},
		{"X-Original-Url (CVE-2018-14773)", nil, header("X-Original-Url", "/admin")},
		{"X-Rewrite-Url", nil, header("X-Rewrite-Url", "/admin")},
		{"X-Host", nil, header("X-Host", "evil.example")},
		{"X-Http-Method-Override", nil, header("X-Http-Method-Override", "DELETE")},
		{"X-Method-Override", nil, header("X-Method-Override", "DELETE")},
		{"Connection names a header", nil, header("Connection", "close, X-Api-Version")},
		{"Range", nil, header("Range", "bytes=0-1")},
		{"fat GET", nil, func(r *http.Request) { r.ContentLength = 5 }},
		{"chunked fat GET", nil, func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }},
		{"query left out of the key", &cache.Rules{IgnoreQuery: []string{"utm_content"}}, query("utm_content=evil")},
		{"query not in the key", &cache.Rules{Query: []string{"q"}}, query("x=evil")},
		{"query with ; (CVE-2021-23336)", &cache.Rules{IgnoreQuery: []string{"utm_content"}}, query("utm_content=1;q=evil")},
		{"cookie left out of the key", &cache.Rules{Cookies: []string{}}, header("Cookie", "evil=1")},
		{"%0a in the path", nil, path("/a%0a")},
		{"; in the path", nil, path("/a;x=.css")},
		{"extension behind a path", nil, path("/a/x.css")},
		{"%2f in the path", nil, path("/%61")},
		{"Host", nil, func(r *http.Request) { r.Host = "shop.example@evil.example" }},
		{"Host with a path", nil, func(r *http.Request) { r.Host = "shop.example/a?"; r.URL.Path = "/" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := &origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				body := r.Method + r.Host + r.URL.RequestURI()
				for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "X_forwarded_host", "X-Forwarded-For", "Forwarded", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Host", "X-Http-Method-Override", "X-Method-Override", "Connection", "Range", "Cookie"} {
					body += r.Header.Get(name)
				}
				if r.ContentLength != 0 {
					body += "body"
				}
				_, _ = w.Write([]byte(body))
			}}
			b := setup(t, nil, test.rules, o)
			evil := request("GET", page)
			test.poison(evil)
			b.do(evil)
			if got := b.get(page).Body.String(); got != "GETshop.example/a" {
				t.Errorf("the next client got %q", got)
			}
			b.do(evil) // and the poisoner nothing of theirs that is not for the same request
			if got := b.get(page).Body.String(); got != "GETshop.example/a" || b.status() != cache.Hit {
				t.Errorf("then %q %v", got, b.status())
			}
		})
	}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header[name] = []string{value} }
}

func query(q string) func(*http.Request) { return func(r *http.Request) { r.URL.RawQuery = q } }

func path(p string) func(*http.Request) {
	return func(r *http.Request) {
		r.URL.RawPath = p
		r.URL.Path = map[string]string{"/a%0a": "/a\n", "/%61": "/a"}[p]
		if r.URL.Path == "" {
			r.URL.Path = p
		}
	}
}

// What the key is made of: requests with the same key and with different ones.
func TestKey(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, other string
		same        bool
	}{
		{"host in capitals (RFC 9110 §4.2.3)", "http://SHOP.example/a?b=1&c=2", true},
		{"the scheme's own port", "http://shop.example:80/a?b=1&c=2", true},
		{"another port", "http://shop.example:8080/a?b=1&c=2", false},
		{"another scheme", "https://shop.example/a?b=1&c=2", false},
		{"path in capitals", "http://shop.example/A?b=1&c=2", false},
		{"order of the query", "http://shop.example/a?c=2&b=1", false},
		{"question mark in the path", "http://shop.example/a%3Fb=1&c=2", false},
	}
	for _, test := range tests {
		b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60"))
		b.get("http://shop.example/a?b=1&c=2")
		if b.get(test.other); (b.status() == cache.Hit) != test.same {
			t.Errorf("%s: %v, want the same key: %v", test.name, b.status(), test.same)
		}
	}
}

func TestHeadersInTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, &cache.Rules{Headers: []string{"x-tenant"}}, answering(200, "Cache-Control: max-age=60"))
	b.get(page, "X-Tenant: a")
	b.want(b.get(page, "X-Tenant: b"), "002", cache.Miss)
	b.want(b.get(page), "003", cache.Miss)
	b.want(b.get(page, "X-Tenant: a"), "001", cache.Hit)
	if n, err := b.Purge(cache.Purge{URLs: []string{page}}); n != 3 || err != nil {
		t.Errorf("purged %d, %v; want all 3", n, err)
	}
	b.want(b.get(page, "X-Tenant: a"), "004", cache.Miss)
}

// Hop-by-hop fields and those for the cache do not reach clients again.
func TestStoredHeader(t *testing.T) {
	t.Parallel()
	b := setup(t, nil, nil, answering(200, "Cache-Control: max-age=60", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5",
		"Surrogate-Key: a b", "Cache-Tag: c", "Proxy-Authenticate: Basic", "X-Kept: 1", "X-Kept: 2"))
	for range 2 {
		h := b.get(page).Header()
		for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Surrogate-Key", "Cache-Tag", "Proxy-Authenticate"} {
			if h.Get(name) != "" {
				t.Errorf("%v has %s: %s", b.status(), name, h.Get(name))
			}
		}
		if got := h["X-Kept"]; len(got) != 2 || h.Get("Date") == "" {
			t.Errorf("%v has X-Kept %q, Date %q", b.status(), got, h.Get("Date"))
		}
	}
}
