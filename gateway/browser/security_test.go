package browser_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	own := []string{"X-Frame-Options: DENY", "Strict-Transport-Security: max-age=1", "Content-Security-Policy: own"}
	everything := browser.Security{
		StrictTransport: "max-age=5", ContentTypeOptions: "nosniff", ReferrerPolicy: "no-referrer", FrameOptions: "DENY", ContentPolicy: "default-src 'self'",
		Permissions: "camera=()", OpenerPolicy: "same-origin", ResourcePolicy: "same-site",
	}
	for _, c := range []struct {
		name   string
		config browser.Security
		secure bool
		status int
		lines  []string
		want   http.Header
	}{
		{"defaults", browser.Security{}, true, 200, nil, http.Header{
			"Strict-Transport-Security": {"max-age=31536000"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"strict-origin-when-cross-origin"}, "X-Frame-Options": {"SAMEORIGIN"},
		}},
		{"errors too", browser.Security{}, false, 500, nil, http.Header{
			"X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"strict-origin-when-cross-origin"}, "X-Frame-Options": {"SAMEORIGIN"},
		}},
		{"off", browser.Security{StrictTransport: "off", ContentTypeOptions: "off", ReferrerPolicy: "off", FrameOptions: "off"}, true, 200, nil, http.Header{}},
		{"all", everything, true, 200, nil, http.Header{
			"Strict-Transport-Security": {"max-age=5"}, "X-Content-Type-Options": {"nosniff"}, "Referrer-Policy": {"no-referrer"}, "X-Frame-Options": {"DENY"},
			"Content-Security-Policy": {"default-src 'self'"}, "Permissions-Policy": {"camera=()"}, "Cross-Origin-Opener-Policy": {"same-origin"}, "Cross-Origin-Resource-Policy": {"same-site"},
		}},
		{"the handler's own wins", browser.Security{ContentPolicy: "mine", ReferrerPolicy: "off", ContentTypeOptions: "off"}, true, 200, own, http.Header{
			"X-Frame-Options": {"DENY"}, "Strict-Transport-Security": {"max-age=1"}, "Content-Security-Policy": {"own"},
		}},
		{"or is replaced", browser.Security{ContentPolicy: "mine", ReferrerPolicy: "off", ContentTypeOptions: "off", Replace: true}, true, 200, own, http.Header{
			"X-Frame-Options": {"SAMEORIGIN"}, "Strict-Transport-Security": {"max-age=31536000"}, "Content-Security-Policy": {"mine"},
		}},
		{"RFC 6797 §7.2: not without TLS", browser.Security{ReferrerPolicy: "off", ContentTypeOptions: "off", Replace: true}, false, 200, own, http.Header{
			"X-Frame-Options": {"SAMEORIGIN"}, "Content-Security-Policy": {"own"},
		}},
		{"RFC 9111 §3.2: a 304 would replace what was the handler's own", browser.Security{ContentPolicy: "mine"}, true, 304, nil, http.Header{"Strict-Transport-Security": {"max-age=31536000"}}},
		{"unless that is wanted", browser.Security{ContentPolicy: "mine", ReferrerPolicy: "off", ContentTypeOptions: "off", FrameOptions: "off", Replace: true}, false, 304, nil, http.Header{"Content-Security-Policy": {"mine"}}},
	} {
		h := wrap(t, browser.Config{Security: &c.config}, gatetest.Page(c.status, "page", c.lines...))
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		if c.secure {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if diff := cmp.Diff(c.want, w.Header()); diff != "" || w.Code != c.status {
			t.Errorf("%s: %d, header (-want +got):\n%s", c.name, w.Code, diff)
		}
	}
	told := wrap(t, browser.Config{Security: &browser.Security{}, Secure: func(r *http.Request) bool { return r.Header.Get("X-Secure") == "1" }}, gatetest.Page(200, "page"))
	if gatetest.Ask(told, http.MethodGet, "/", "X-Secure: 1").Header().Get("Strict-Transport-Security") == "" || gatetest.Ask(told, http.MethodGet, "/").Header().Get("Strict-Transport-Security") != "" {
		t.Error("Config.Secure is not asked")
	}
}

// G24, and requests that another site makes a browser send.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	const cookie, evil, same = "Cookie: session=1", "Origin: https://evil.example", "Origin: http://shop.example"
	socket := []string{"Connection: Upgrade", "Upgrade: WebSocket"}
	with := func(list []string, more ...string) []string { return append(append([]string(nil), list...), more...) }
	for _, c := range []struct {
		name, method string
		always       bool
		lines        []string
		want         int
	}{
		{"GET", "GET", false, []string{cookie, evil, "Sec-Fetch-Site: cross-site"}, 200},
		{"same origin", "POST", false, []string{cookie, same, "Sec-Fetch-Site: same-origin"}, 200},
		{"typed in", "POST", false, []string{cookie, "Sec-Fetch-Site: none"}, 200},
		{"cross-site", "POST", false, []string{cookie, evil, "Sec-Fetch-Site: cross-site"}, 403},
		{"cross-site without Origin", "PUT", false, []string{cookie, "Sec-Fetch-Site: cross-site"}, 403},
		{"same site but another origin", "DELETE", false, []string{cookie, "Origin: http://blog.shop.example", "Sec-Fetch-Site: same-site"}, 403},
		{"an old browser", "POST", false, []string{cookie, evil}, 403},
		{"an old browser, same origin", "POST", false, []string{cookie, same}, 200},
		{"null", "POST", false, []string{cookie, "Origin: null"}, 403},
		{"two origins", "POST", false, []string{cookie, "Origin: https://trusted.example", evil}, 403},
		{"two origins, the first its own", "POST", false, []string{cookie, same, evil}, 403},
		{"trusted", "POST", false, []string{cookie, "Origin: https://trusted.example", "Sec-Fetch-Site: cross-site"}, 200},
		{"trusted by wildcard", "POST", false, []string{cookie, "Origin: https://a.trusted.example", "Sec-Fetch-Site: cross-site"}, 200},
		{"trusted by CORS", "POST", false, []string{cookie, "Origin: https://cors.example", "Sec-Fetch-Site: cross-site"}, 200},
		{"no browser", "POST", false, []string{cookie}, 200},
		{"no cookies", "POST", false, []string{evil, "Sec-Fetch-Site: cross-site"}, 200},
		{"no cookies, always", "POST", true, []string{evil, "Sec-Fetch-Site: cross-site"}, 403},
		{"RFC 6455 §10.2: WebSocket, foreign", "GET", false, with(socket, cookie, evil), 403},
		{"WebSocket, no Origin", "GET", false, with(socket, cookie), 403},
		{"WebSocket, null", "GET", false, with(socket, cookie, "Origin: null"), 403},
		{"WebSocket, same", "GET", false, with(socket, cookie, same), 200},
		{"WebSocket, same, port named", "GET", false, with(socket, cookie, "Origin: http://shop.example:80"), 200},
		{"WebSocket, other port", "GET", false, with(socket, cookie, "Origin: http://shop.example:81"), 403},
		{"WebSocket, suffix", "GET", false, with(socket, cookie, "Origin: http://evilshop.example"), 403},
		{"WebSocket, user", "GET", false, with(socket, cookie, "Origin: http://u@shop.example"), 403},
		{"WebSocket, path", "GET", false, with(socket, cookie, "Origin: http://shop.example/x"), 403},
		{"WebSocket, another scheme", "GET", false, with(socket, cookie, "Origin: file://shop.example"), 403},
		{"WebSocket, TLS ended before", "GET", false, with(socket, cookie, "Origin: https://shop.example"), 200},
		{"WebSocket, trusted", "GET", false, with(socket, cookie, "Origin: https://trusted.example"), 200},
		{"WebSocket, no cookies", "GET", false, with(socket, evil), 200},
		{"WebSocket, no cookies, always", "GET", true, with(socket, evil), 403},
		{"RFC 8441: over HTTP/2", "CONNECT", false, []string{cookie, evil}, 403},
		{"over HTTP/2, no Origin", "CONNECT", false, []string{cookie}, 403},
	} {
		config := browser.Config{
			CORS:      &browser.CORS{Origins: []string{"https://cors.example", "null"}, Credentials: true},
			CrossSite: &browser.CrossSite{Trusted: []string{"https://trusted.example", "https://*.trusted.example"}, Always: c.always},
		}
		r := httptest.NewRequest(http.MethodGet, "http://shop.example/", http.NoBody)
		r.Method = c.method
		gatetest.Add(r.Header, c.lines)
		if c.method == http.MethodConnect {
			r.Header[":protocol"] = []string{"websocket"}
		}
		w := httptest.NewRecorder()
		wrap(t, config, gatetest.Page(200, "page")).ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
	secure := browser.Config{CrossSite: &browser.CrossSite{}, Secure: func(*http.Request) bool { return true }}
	if w := gatetest.Ask(wrap(t, secure, gatetest.Page(200, "page")), http.MethodGet, "http://shop.example/", with(socket, cookie, same)...); w.Code != http.StatusForbidden {
		t.Errorf("a page of http opens a WebSocket of https: %d", w.Code)
	}
	if w := gatetest.Ask(wrap(t, secure, gatetest.Page(200, "page")), http.MethodGet, "http://Shop.example:443/", with(socket, cookie, "Origin: https://shop.example")...); w.Code != http.StatusOK {
		t.Errorf("the same host in another spelling: %d", w.Code)
	}
}

func TestRefusalsHaveSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := wrap(t, browser.Config{CrossSite: &browser.CrossSite{}, Security: &browser.Security{}}, gatetest.Page(200, "page"))
	w := gatetest.Ask(h, http.MethodPost, "/", "Cookie: a=b", "Sec-Fetch-Site: cross-site")
	if w.Code != http.StatusForbidden || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestCDN(t *testing.T) {
	t.Parallel()
	rules := browser.CDN{Networks: []string{"192.0.2.0/24"}, CacheControl: "max-age=60", CDNCacheControl: "max-age=3600", Keys: []string{"shop", "v2"}}
	replacing := rules
	replacing.Replace = true
	const cc = "Cache-Control"
	for _, c := range []struct {
		name     string
		config   browser.CDN
		method   string
		status   int
		request  []string
		lines    []string
		want     http.Header
		wantElse http.Header // what a client gets that is not the CDN; nil: the same
	}{
		{
			"a silent answer", rules, "GET", 200, nil, nil,
			http.Header{cc: {"max-age=60"}, "Cdn-Cache-Control": {"max-age=3600"}, "Surrogate-Key": {"shop v2"}},
			http.Header{cc: {"max-age=60"}},
		},
		{
			"the handler's own", rules, "GET", 200, nil,
			[]string{"Cache-Control: max-age=5", "Surrogate-Key: order:1", "Surrogate-Key: a b", "Surrogate-Control: max-age=9", "Cache-Tag: x", "CDN-Cache-Control: max-age=7"},
			http.Header{cc: {"max-age=5"}, "Surrogate-Key": {"order:1 a b shop v2"}, "Surrogate-Control": {"max-age=9"}, "Cache-Tag": {"x"}, "Cdn-Cache-Control": {"max-age=7"}},
			http.Header{cc: {"max-age=5"}},
		},
		{"replaced", replacing, "GET", 200, nil, []string{"Cache-Control: max-age=5", "Expires: 0"}, http.Header{cc: {"max-age=60"}, "Surrogate-Key": {"shop v2"}}, http.Header{cc: {"max-age=60"}}},
		{"Surrogate-Control is enough for the CDN", rules, "GET", 200, nil, []string{"Surrogate-Control: max-age=9"}, http.Header{cc: {"max-age=60"}, "Surrogate-Control": {"max-age=9"}, "Surrogate-Key": {"shop v2"}}, http.Header{cc: {"max-age=60"}}},
		{"private is not replaced", replacing, "GET", 200, nil, []string{"Cache-Control: Private, max-age=5"}, http.Header{cc: {"Private, max-age=5"}}, nil},
		{"no-store is not replaced", replacing, "GET", 200, nil, []string{"Cache-Control: no-store"}, http.Header{cc: {"no-store"}}, nil},
		{"Pragma", replacing, "GET", 200, nil, []string{"Pragma: no-cache"}, http.Header{"Pragma": {"no-cache"}}, nil},
		{"Expires", rules, "GET", 200, nil, []string{"Expires: 0"}, http.Header{"Expires": {"0"}, "Surrogate-Key": {"shop v2"}}, http.Header{"Expires": {"0"}}},
		{"Set-Cookie", replacing, "GET", 200, nil, []string{"Set-Cookie: a=b"}, http.Header{"Set-Cookie": {"a=b"}}, nil},
		{"Authorization, RFC 9111 §3.5", rules, "GET", 200, []string{"Authorization: x"}, nil, http.Header{}, nil},
		{"Cookie", rules, "GET", 200, []string{"Cookie: a=b"}, nil, http.Header{}, nil},
		{"POST", rules, "POST", 200, nil, nil, http.Header{}, nil},
		{"500", rules, "GET", 500, nil, nil, http.Header{}, nil},
		{"302", rules, "GET", 302, nil, nil, http.Header{}, nil},
		{"404", rules, "HEAD", 404, nil, nil, http.Header{cc: {"max-age=60"}, "Cdn-Cache-Control": {"max-age=3600"}, "Surrogate-Key": {"shop v2"}}, http.Header{cc: {"max-age=60"}}},
	} {
		for peer, want := range map[string]http.Header{"192.0.2.7:1": c.want, "[::ffff:192.0.2.7]:1": c.want, "198.51.100.1:1": c.wantElse, "nobody": c.wantElse} {
			if want == nil {
				want = c.want
			}
			r := httptest.NewRequest(c.method, "/", http.NoBody)
			gatetest.Add(r.Header, c.request)
			r.RemoteAddr = peer
			w := httptest.NewRecorder()
			wrap(t, browser.Config{CDN: &c.config}, gatetest.Page(c.status, "page", c.lines...)).ServeHTTP(w, r)
			if diff := cmp.Diff(want, w.Header()); diff != "" {
				t.Errorf("%s, for %s: header (-want +got):\n%s", c.name, peer, diff)
			}
		}
	}
}
