package gateway_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// attacked are redirects with values in every place.
const attacked = `
paths: {encoded_slash: true, semicolon: true, delimiters: true, any_bytes: true}
routes:
  - {match: "/rest/{rest...}", redirect: "/{rest}"}
  - {match: "/mid/{rest...}", redirect: "/{rest}/x"}
  - {match: "/one/{id}", redirect: "/{id}"}
  - {match: "/far/{rest...}", redirect: "https://www.shop.test/{rest}"}
  - {match: "/all/", redirect: "https://www.shop.test{path}"}
  - {match: "/ask/{rest...}", redirect: "/go?to={rest}#end"}
  - {match: "/host/{rest...}", redirect: "https://{host}/{rest}"}
`

// lands returns the host that a lenient client goes to: it takes backslashes for
// slashes, skips control characters, and takes any number of slashes.
func lands(base, location string) string {
	location = strings.ReplaceAll(regexp.MustCompile(`[\x00-\x20]`).ReplaceAllString(location, ""), `\`, "/")
	scheme, rest, absolute := strings.Cut(location, ":")
	if !absolute || strings.ContainsAny(scheme, "/?#") {
		scheme, rest = "http", location
		if !strings.HasPrefix(rest, "//") {
			return base
		}
	}
	authority := strings.TrimLeft(rest, "/")
	authority = authority[:len(authority)-len(strings.TrimLeft(authority, "/"))] + authority
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		authority = authority[:i]
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	return scheme + "://" + authority
}

// wellFormed is what a Location may consist of (RFC 3986, RFC 9110 §10.2.2).
var wellFormed = regexp.MustCompile(`^(https://(www\.shop\.test|shop\.test))?/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})*(\?([A-Za-z0-9._~!$&'()*+,;=:@/?%-])*)?(#end)?$`)

// No request decides where a client goes: every attack is refused, or ends at one of
// our hosts and within its path or query.
func TestRedirectAttacks(t *testing.T) {
	t.Parallel()
	address := front(t, parsed(t, attacked))
	for _, from := range []string{"/rest/", "/mid/", "/one/", "/far/", "/all/", "/ask/", "/host/", "/rest//", "/rest", "/mid", "/mid//"} {
		for _, attack := range []string{
			"/evil.test", "//evil.test", "///evil.test/%2e%2e", "%2Fevil.test", "%2F%2Fevil.test", "%2f/evil.test", "/%2Fevil.test",
			`\evil.test`, `/\evil.test`, "%5Cevil.test", "%5C%5Cevil.test", "/%5Cevil.test", "%255Cevil.test",
			"https://evil.test", "https:/evil.test", "https:evil.test", "javascript:alert(1)", "javascript%3Aalert(1)", "data:text/html,x",
			"@evil.test", "user@evil.test/", ":80@evil.test", ".evil.test", "..", "../evil.test", "%2e%2e/evil.test", "..%2Fevil.test", ".%2e", ".",
			"%0d%0aSet-Cookie:%20a=b", "%0D%0ALocation:%20https://evil.test", "%0a/evil.test", "%09/evil.test", "%09//evil.test", "%00evil.test", "%20/evil.test", "%7f", "%E2%80%8B/evil.test", "%C0%AF%C0%AFevil.test", "%ff",
			"?//evil.test", "?\\evil.test", "?<script>", "?a=b&x=\"", "?%0d%0aX:%20y", "?https://evil.test/#", "%3F//evil.test", "%23//evil.test", "%2523", "x%2Fy%3Fz%23", "a;b", "a&b=c", "a+b", "a%26b", "",
		} {
			for _, host := range []string{"shop.test", "shop.test:8080", "shop.test."} {
				got := say(t, address, "GET "+from+attack+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				head, _, _ := strings.Cut(got, "\r\n\r\n")
				switch {
				case strings.HasPrefix(got, "HTTP/1.1 400 "), strings.HasPrefix(got, "HTTP/1.1 404 "):
				case strings.HasPrefix(got, "HTTP/1.1 308 ") && strings.Count(head, "\r\nLocation: ") == 1 && !strings.Contains(head, "\r\nSet-Cookie") && !strings.Contains(head, "\r\nX:"):
					_, location, _ := strings.Cut(head, "\r\nLocation: ")
					location, _, _ = strings.Cut(location, "\r\n")
					inside(t, from+attack, location)
				default:
					t.Errorf("%s at %s: %s", from+attack, host, got)
				}
			}
		}
	}
}

// inside checks that a location is one of ours.
func inside(t *testing.T, target, location string) {
	t.Helper()
	if !wellFormed.MatchString(location) {
		t.Errorf("%q leads to %q, which is not well formed", target, location)
	}
	if at := lands("https://shop.test", location); at != "https://shop.test" && at != "https://www.shop.test" {
		t.Errorf("%q leads to %q, which is at %q", target, location, at)
	}
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.Host != "" && u.Host != "shop.test" && u.Host != "www.shop.test" {
		t.Errorf("%q leads to %q: %v, %v", target, location, u, err)
	}
}

// A host that is none is not one that clients are sent to.
func TestRedirectHosts(t *testing.T) {
	t.Parallel()
	g := parsed(t, "routes: [{match: /, redirect: 'https://www.{host}:8443{path}'}]\n")
	address, _ := run(t, g, nil)
	for host, want := range map[string]string{
		"a.test": "308", "a.test:80": "308", "A.test.": "308", "evil.test/": "400", "evil.test?": "400", "evil.test#": "400", "a@evil.test": "400", "a:b@evil.test": "400", "evil.test\\": "400",
		"": "400", ".": "400", "a..test": "400", "a.test:99999": "400", "[::1]": "400", "a b": "400", "%65vil.test": "400", "a.test, b.test": "400",
	} {
		got := say(t, address, "GET /x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 "+want) || want == "308" && !strings.Contains(got, "\r\nLocation: https://www.a.test:8443/x\r\n") {
			t.Errorf("%q: %s", host, got)
		}
		r := httptest.NewRequest(http.MethodGet, "/x", http.NoBody) // as HTTP/2 lets it through
		r.Host = host
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		plain := httptest.NewRecorder()
		gateway.HTTPSRedirect(80, 443).ServeHTTP(plain, r)
		if fmt.Sprint(w.Code) != want || want == "400" && w.Header().Get("Location") != "" || host != "[::1]" && fmt.Sprint(plain.Code) != want {
			t.Errorf("%q without a front: %d to %q, and %d to %q", host, w.Code, w.Header().Get("Location"), plain.Code, plain.Header().Get("Location"))
		}
	}
	if got := say(t, address, "GET /x HTTP/1.0\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") && !strings.HasPrefix(got, "HTTP/1.0 400") {
		t.Errorf("without a Host: %s", got)
	}
	if got := say(t, address, "GET http://evil.test/x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("two hosts: %s", got)
	}
}

// Whatever the path and the query are, a client ends at one of our hosts.
func FuzzRedirect(f *testing.F) {
	for _, seed := range []string{"/rest//evil.test", "/mid", "/mid/x/", "/one/%2Fevil", "/all/\\x", "/host/@evil", "/ask/&b=c"} {
		f.Add(seed, "a=b")
	}
	c, err := gateway.Parse("f", []byte(attacked))
	if err != nil {
		f.Fatal(err)
	}
	g, err := gateway.New(c, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = g.Close() })
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "http://shop.test/", http.NoBody)
		r.RequestURI = path + "?" + query
		r.URL.Path, r.URL.RawQuery = path, query
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if location := w.Header().Get("Location"); location != "" || w.Code == 308 {
			inside(t, path+"?"+query, location)
		}
	})
}
