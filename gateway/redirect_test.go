package gateway_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// parsed returns a gateway of a file.
func parsed(t *testing.T, text string) *gateway.Gateway {
	t.Helper()
	c, err := gateway.Parse("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return opened(t, c)
}

// Values of a request come into their places, and nothing else does.
func TestRedirect(t *testing.T) {
	t.Parallel()
	g := parsed(t, `
paths: {encoded_slash: true, any_bytes: true}
routes:
  - {match: apex.test/, redirect: "https://www.apex.test{path}"}
  - {match: "*.tenant.test/", redirect: "https://{host}:8443{path}"}
  - {match: bare.test/, redirect: "https://www.{host}{path}"}
  - {match: host.test/, redirect: http://other.test}
  - {match: "/old/{id}", redirect: {to: "/new/{id}", status: 301}}
  - {match: "/shop/{id}/{rest...}", redirect: {to: "/v2/{rest}/of/{id}", status: 302}}
  - {match: "/item/{id}/as/{kind}", redirect: "/items?id={id}&kind={kind}"}
  - {match: /login/, redirect: {to: "https://id.test/?from={path}", status: 303, drop_query: true}}
  - {match: /help, redirect: {to: "/docs#help", status: 307}}
  - {match: "POST /form", redirect: {to: /form, status: 303}}
  - {match: "GET /form", redirect: /elsewhere}
  - {match: "/pre/{x}", redirect: "/p-{x}-p"}
`)
	for _, tt := range []struct {
		method, url string
		status      int
		want        string
	}{
		{"GET", "http://apex.test/a/b?c=d&e", 308, "https://www.apex.test/a/b?c=d&e"},
		{"HEAD", "http://apex.test/a", 308, "https://www.apex.test/a"},
		{"POST", "http://apex.test:8080/", 308, "https://www.apex.test/"},
		{"GET", "http://apex.test/?", 308, "https://www.apex.test/"},
		{"GET", "http://apex.test//a//b%2Fc", 308, "https://www.apex.test/a/b%2Fc"},
		{"GET", "http://A.Tenant.test:80/x", 308, "https://a.tenant.test:8443/x"},
		{"GET", "http://bare.test./x", 308, "https://www.bare.test/x"},
		{"GET", "http://host.test/x?y", 308, "http://other.test/?y"},
		{"GET", "http://x/old/7?q=1%20a", 301, "/new/7?q=1%20a"},
		{"GET", "http://x/old/a%2Fb", 301, "/new/a%2Fb"},
		{"GET", "http://x/old/%C3%A9@:%7e", 301, "/new/%C3%A9@:~"},
		{"GET", "http://x/shop/7/a/b/", 302, "/v2/a/b/of/7"},
		{"GET", "http://x/shop/7", 302, "/v2/of/7"},
		{"GET", "http://x/item/a&b=c/as/d+e%25?x=1", 308, "/items?id=a%26b%3Dc&kind=d%2Be%25&x=1"},
		{"GET", "http://x/login/a/%26b?secret=1", 303, "https://id.test/?from=%2Flogin%2Fa%2F%26b"},
		{"GET", "http://x/help?a", 307, "/docs?a#help"},
		{"POST", "http://x/form", 303, "/form"},
		{"GET", "http://x/form", 308, "/elsewhere"},
		{"GET", "http://x/pre/..a", 308, "/p-..a-p"},
	} {
		w := ask(g, tt.method, tt.url)
		if got := w.Header().Get("Location"); w.Code != tt.status || got != tt.want || w.Body.Len() > 0 {
			t.Errorf("%s %s: %d to %q with %q, want %d to %q", tt.method, tt.url, w.Code, got, w.Body, tt.status, tt.want)
		}
	}
	if got := g.Status().Routes[4]; got.To != "301 /new/{id}" || got.Requests != 3 {
		t.Errorf("status %+v", got)
	}
}

// A redirect that leads to where the client is ends with an error, and not with the
// patience of its browser.
func TestRedirectToItself(t *testing.T) {
	t.Parallel()
	g := parsed(t, `
routes:
  - {match: /, redirect: "https://www.shop.test{path}"}
  - {match: plain.test/, redirect: "https://{host}{path}"}
  - {match: POST see.test/, redirect: {to: "https://see.test{path}", status: 303}}
`)
	for url, want := range map[string]int{"http://shop.test/a?b": 308, "http://www.shop.test/a?b": 308, "https://www.shop.test/a?b": 508, "https://WWW.shop.test/": 508, "http://plain.test/": 308, "https://plain.test/": 508} {
		if w := ask(g, "GET", url); w.Code != want || (w.Header().Get("Location") != "") != (want == 308) {
			t.Errorf("%s: %d to %q, want %d", url, w.Code, w.Header().Get("Location"), want)
		}
	}
	if w := ask(g, "POST", "https://see.test/done"); w.Code != 303 {
		t.Errorf("a POST that is to be seen by GET: %d", w.Code)
	}
}

// A redirect that always leads to its own route is a mistake; one that leads to
// another host, another route or by another method is none.
func TestRedirectWithoutEnd(t *testing.T) {
	t.Parallel()
	for text, loops := range map[string]bool{
		`{match: /, redirect: /}`:                          true,
		`{match: /, redirect: "/new{path}"}`:               true,
		`{match: "/a/{rest...}", redirect: "/a/b/{rest}"}`: true,
		`{match: "/a/{rest...}", redirect: "/a/b/{rest}"}` + "\n" + `- {match: "/a/b/{x}", redirect: /c}`: true, // from /a
		`{match: "/a/{rest...}", redirect: "/a/b/{rest}"}` + "\n" + `- {match: "/a/b", redirect: /c}`:     true, // from /a/x
		`{match: "/a/{x}", redirect: "/a/b{x}"}`:                                                          true,
		`{match: "/{lang}/x", redirect: /en/x}`:                                                           true,
		`{match: /a, redirect: /a/}`:                                                                      true,
		`{match: shop.test/, redirect: "http://shop.test/x"}`:                                             true,
		`{match: shop.test/, redirect: "http://{host}{path}"}`:                                            true,
		`{match: "*.shop.test/", redirect: "http://{host}/x"}`:                                            true,
		`{match: /a, redirect: /a, query: {v: "1"}}`:                                                      true,
		`{match: GET /a, redirect: {to: /a, status: 303}}`:                                                true,
		`{match: shop.test/, redirect: "https://shop.test/x"}`:                                            false,
		`{match: /, redirect: "http://www.shop.test{path}"}`:                                              false,
		`{match: "/a/{x}", redirect: "/b/{x}"}`:                                                           false,
		`{match: "/{$}", redirect: /home}`:                                                                false,
		`{match: /a, redirect: {to: /a, drop_query: true}, query: {v: "1"}}`:                              false,
		`{match: POST /a, redirect: {to: /a, status: 303}}`:                                               false,
		`{match: "/{x}", redirect: "/{x}/y"}`:                                                             false,
		`{match: /a, redirect: /a/}` + "\n" + `- {match: "/a/{$}", redirect: /b}`:                         false,
	} {
		_, err := gateway.Parse("f", []byte("routes:\n- "+text+"\n"))
		if (err != nil) != loops || err != nil && !strings.Contains(err.Error(), "without end") {
			t.Errorf("%s: %v", text, err)
		}
	}
	_, err := gateway.Parse("f", []byte("tls: {cert: c, key: k}\nroutes: [{match: /, redirect: \"https://{host}{path}\"}]\n"))
	if err == nil || !strings.Contains(err.Error(), "without end") {
		t.Errorf("to https where everything is https: %v", err)
	}
}

// Beside a redirect stands only what has an effect there.
func TestRedirectAlone(t *testing.T) {
	t.Parallel()
	for text, key := range map[string]string{
		`to: u`: "to", `compose: {}`: "compose", `path: /c`: "path", `strip_prefix: /a`: "strip_prefix", `add_prefix: /b`: "add_prefix", `host: h`: "host", `timeout: 1s`: "timeout", `cache: {}`: "cache",
		`concurrency: {max: 1}`: "concurrency", `priority: low`: "priority", `retry: {}`: "retry", `hedge: {after: 1s}`: "hedge", `fallback: {body: x}`: "fallback", `max_body: 1`: "max_body",
		`compress: {}`: "compress", `openapi: {file: testdata/none.yaml}`: "openapi", `auth: {by: [m], forward: {X-User: subject}}`: "auth.forward",
		`transform: {request: {query: {remove: [a]}}}`: "transform.request", `transform: {response: {json: {remove: [/a]}}}`: "transform.response.json",
		`name: n`: "", `headers: {A: b}`: "", `query: {a: b}`: "", `auth: {by: [m]}`: "", `limits: [{rate: 1/s}]`: "", `browser: {security: {}}`: "", `transform: {response: {headers: {set: {A: b}}}}`: "",
	} {
		_, err := gateway.Parse("f", []byte("upstreams: {u: 'http://127.0.0.1:1'}\ncredentials: {m: {certificates: {trust_domains: [shop]}}}\nroutes:\n- match: /a\n  redirect: /b\n  "+text+"\n"))
		if want := key + " has no effect"; (err != nil) != (key != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A password in a URL is refused, and not shown.
func TestRedirectShowsNoPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://me:hunter2@host/", "https://me:hunter2@host{path}", "https://hunter2@{host}/", "hunter2@host://x", "//me:hunter2@host/"} {
		c := &gateway.Config{Routes: []gateway.Route{{Match: "/", Redirect: &gateway.Redirect{To: url}}}}
		if found := c.Check(); len(found) == 0 || strings.Contains(fmt.Sprint(found), "hunter2") {
			t.Errorf("%s: %v", url, found)
		}
	}
}

// Who may follow is asked first, limits count, browsers learn what they may do, and
// an answer may have more headers.
func TestRedirectPolicies(t *testing.T) {
	t.Parallel()
	g := parsed(t, `
browser: {security: {}, cors: {origins: ["https://shop.test"]}}
credentials: {machines: {certificates: {trust_domains: [shop]}}}
routes:
  - {match: /auth, redirect: /in, auth: {by: [machines]}}
  - {match: /where, redirect: /in, addresses: {allow: [203.0.113.0/24]}}
  - {match: /here, redirect: /in, addresses: {allow: [192.0.2.0/24]}}
  - {match: /limit, redirect: /in, limits: [{rate: 1/1h}]}
  - match: /plain/{x}
    redirect: {to: /in, status: 302}
    headers: {x-beta: "1", Accept-Language: "*"}
    transform: {response: {headers: {set: {Cache-Control: no-store, X-Was: "{path.x}"}}}}
  - {match: /in, redirect: {to: /out}}
`)
	if w := ask(g, "GET", "http://x/auth"); w.Code != 401 || w.Header().Get("Location") != "" {
		t.Errorf("without a credential: %d %v", w.Code, w.Header())
	}
	if a, b := ask(g, "GET", "http://x/where"), ask(g, "GET", "http://x/here"); a.Code != 403 || a.Header().Get("Location") != "" || b.Code != 308 {
		t.Errorf("by address: %d and %d", a.Code, b.Code)
	}
	if a, b := ask(g, "GET", "http://x/limit"), ask(g, "GET", "http://x/limit"); a.Code != 308 || b.Code != 429 || b.Header().Get("Location") != "" {
		t.Errorf("with a limit: %d and %d", a.Code, b.Code)
	}
	w := ask(g, "GET", "http://x/plain/a%20b", "X-Beta", "1", "Accept-Language", "de", "Origin", "https://shop.test")
	h := w.Header()
	if w.Code != 302 || h.Get("Cache-Control") != "no-store" || h.Get("X-Was") != "a b" || h.Get("Access-Control-Allow-Origin") != "https://shop.test" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %v", w.Code, h)
	}
	if vary := strings.Join(h["Vary"], ", "); vary != "Accept-Language, X-Beta, Origin" {
		t.Errorf("Vary: %s", vary)
	}
	for _, secure := range []bool{false, true} {
		r := httptest.NewRequest("GET", "/in", http.NoBody)
		if secure {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if got := w.Header().Get("Strict-Transport-Security"); (got != "") != secure {
			t.Errorf("over TLS %v: HSTS %q", secure, got)
		}
	}
}

// A redirect is no API that nobody has described.
func TestRedirectIsNoAPI(t *testing.T) {
	t.Parallel()
	g := parsed(t, `
catalogue: {}
upstreams: {u: "http://127.0.0.1:1"}
routes:
  - {match: /, to: u}
  - {match: /old, redirect: {to: /new, status: 302}}
`)
	for range 3 {
		if w := ask(g, "GET", "http://x/old"); w.Code != 302 {
			t.Errorf("status %d", w.Code)
		}
	}
	if u := g.APIUsage(); len(u.Undocumented) > 0 || u.Refused > 0 {
		t.Errorf("%+v", u)
	}
}

// Over both protocols a redirect has no body, whatever the method.
func TestRedirectProtocols(t *testing.T) {
	t.Parallel()
	address, _ := run(t, parsed(t, "routes: [{match: '/old/{rest...}', redirect: 'https://{host}/new/{rest}'}]\n"), nil)
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	for major, transport := range map[int]*http.Transport{1: {}, 2: {Protocols: two}} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+"/old/a/b?c=d", strings.NewReader(map[string]string{"POST": strings.Repeat("x", 1000)}[method]))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "shop.test"
			resp, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("Location"); resp.StatusCode != 308 || got != "https://shop.test/new/a/b?c=d" || resp.ContentLength != 0 || resp.ProtoMajor != major {
				t.Errorf("%s by HTTP/%d: %d to %q, %d bytes", method, resp.ProtoMajor, resp.StatusCode, got, resp.ContentLength)
			}
		}
		transport.CloseIdleConnections()
	}
}

// Every status that there is can be had.
func TestRedirectStatuses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		g := parsed(t, fmt.Sprintf("routes: [{match: /, redirect: {to: 'https://x.test', status: %d}}]\n", status))
		if w := ask(g, "GET", "http://x/"); w.Code != status {
			t.Errorf("%d, want %d", w.Code, status)
		}
	}
}

// What comes to the address for plain HTTP is sent to the same URL by https.
func TestHTTPSRedirect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		plain, secure int
		host, target  string
		status        int
		want          string
	}{
		{80, 443, "shop.test", "/a?b=c", 308, "https://shop.test/a?b=c"},
		{80, 443, "shop.test:80", "//other.test/", 308, "https://shop.test/other.test/"},
		{80, 443, "[::1]:80", "/", 308, "https://[::1]/"},
		{80, 443, "[2001:db8::1]", "/x;y%2F", 308, "https://[2001:db8::1]/x;y%2F"},
		{80, 8443, "shop.test", "/", 308, "https://shop.test:8443/"},
		{8080, 8443, "shop.test:8080", "/", 308, "https://shop.test:8443/"},
		{8080, 8443, "[::1]:8080", "/", 308, "https://[::1]:8443/"},
		{8080, 8443, "shop.test", "/", 308, "https://shop.test/"}, // 80 is mapped to 8080
		{8080, 443, "shop.test:8080", "/", 308, "https://shop.test/"},
		{80, 443, "", "/", 400, ""},
		{80, 443, "shop.test@evil.test", "/", 400, ""},
		{80, 443, "evil.test/", "/", 400, ""},
		{80, 443, "shop.test", "/a/../b", 400, ""},
		{80, 443, "shop.test", `/\evil.test`, 400, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
		r.Host, r.RequestURI = tt.host, tt.target
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(tt.target, "?")
		w := httptest.NewRecorder()
		gateway.HTTPSRedirect(tt.plain, tt.secure).ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != tt.status || got != tt.want || w.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s %s: got %d to %q, want %d to %q", tt.host, tt.target, w.Code, got, tt.status, tt.want)
		}
		if w.Header().Get("Connection") != "close" {
			t.Errorf("%s %s: the connection stays", tt.host, tt.target)
		}
	}
}
