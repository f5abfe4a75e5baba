package gateway_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

func TestCanonical(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":                 "/",
		"/a/b":              "/a/b",
		"/a//b///":          "/a/b/",
		"//a":               "/a",
		"/%61%2d%7E":        "/a-~",
		"/%2b%21":           "/+!",
		"/caf%c3%a9":        "/caf%C3%A9",
		"/a%20b":            "/a%20b",
		"/a|b":              "/a%7Cb",
		"/100%25":           "/100%25",
		"/%25x":             "/%25x",
		"/.well-known/x":    "/.well-known/x",
		"/...":              "/...",
		"/api../x":          "/api../x",
		"/a.":               "/a.",
		"/a:b@c,d=e&f$g'h*": "/a:b@c,d=e&f$g'h*",
	} {
		if got, err := gateway.Canonical(path, gateway.PathRules{}); got != want || err != nil {
			t.Errorf("Canonical(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
}

// What two servers are known to read differently is refused.
func TestCanonicalRefuses(t *testing.T) {
	t.Parallel()
	for path, basis := range map[string]string{
		"":                        "RFC 9112 §3.2.1",
		"admin":                   "RFC 9112 §3.2.1",
		"/pub/../admin":           "RFC 3986 §5.2.4",
		"/pub/./admin":            "RFC 3986 §5.2.4",
		"/..":                     "RFC 3986 §5.2.4",
		"/a/.":                    "RFC 3986 §5.2.4",
		"/pub/%2e%2e/admin":       "CVE-2019-9901",
		"/pub/%2E./admin":         "CVE-2019-9901",
		"/pub/.%2e/admin":         "CVE-2019-9901",
		"/pub//../admin":          "RFC 3986 §5.2.4",
		"/pub/..%2fadmin":         "CVE-2021-29492",
		"/pub%2Fadmin":            "CVE-2021-29492",
		"/admin;x":                "servlet path parameters",
		"/admin%3bx":              "servlet path parameters",
		"/..;/admin":              "servlet path parameters",
		`/pub\..\admin`:           "CVE-2026-27585",
		"/pub/..%5cadmin":         "CVE-2021-29492",
		"/pub/%5C..%5Cadmin":      "CVE-2021-29492",
		"/admin%23x":              "CVE-2021-32779",
		"/admin%3fx":              "RFC 3986 §2.2",
		"/admin%00":               "RFC 3986 §7.3",
		"/admin%0a":               "RFC 9112 §3.2",
		"/admin%7f":               "RFC 9112 §3.2",
		"/%zz":                    "RFC 3986 §2.1",
		"/%4":                     "RFC 3986 §2.1",
		"/%":                      "RFC 3986 §2.1",
		"/pub/%252e%252e/admin":   "double escape",
		"/pub/%25%32%65/admin":    "double escape",
		"/pub/..%252fadmin":       "double escape",
		"/pub/%c0%ae%c0%ae/admin": "RFC 3629 §10",
		"/pub/%c0%af":             "RFC 3629 §10",
		"/pub/%ff":                "RFC 3629 §3",
	} {
		if got, err := gateway.Canonical(path, gateway.PathRules{}); err == nil {
			t.Errorf("%s: Canonical(%q) = %q, want an error", basis, path, got)
		}
	}
}

func TestPathRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, want string
		rules      gateway.PathRules
	}{
		{"/a%2fb", "/a%2Fb", gateway.PathRules{EncodedSlash: true}},
		{"/tagged/c%23", "/tagged/c%23", gateway.PathRules{Delimiters: true}},
		{"/a%3fb", "/a%3Fb", gateway.PathRules{Delimiters: true}},
		{"/a;b=c", "/a;b=c", gateway.PathRules{Semicolon: true}},
		{"/a%3Bb", "/a;b", gateway.PathRules{Semicolon: true}},
		{"/%ff%01", "/%FF%01", gateway.PathRules{AnyBytes: true}},
		{"/%00", "", gateway.PathRules{AnyBytes: true}},
		{"/a/..%2fb", "/a/..%2Fb", gateway.PathRules{EncodedSlash: true}},
		{"/a/%2e%2e/b", "", gateway.PathRules{EncodedSlash: true, Semicolon: true, AnyBytes: true}},
	} {
		got, err := gateway.Canonical(c.path, c.rules)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("Canonical(%q, %+v) = %q, %v; want %q", c.path, c.rules, got, err, c.want)
		}
	}
}

// FuzzCanonical: the canonical form is its own, means the same bytes, and has
// nothing in it that a server behind may resolve.
func FuzzCanonical(f *testing.F) {
	for _, path := range []string{"/", "/a/b", "/pub/%2e%2e/admin", "/caf%c3%a9", "/a//b;c", "/%25%32%65"} {
		f.Add(path, true, false, false)
	}
	f.Fuzz(func(t *testing.T, path string, slash, semicolon, bytes bool) {
		rules := gateway.PathRules{EncodedSlash: slash, Semicolon: semicolon, AnyBytes: bytes}
		got, err := gateway.Canonical(path, rules)
		if err != nil {
			return
		}
		if again, err := gateway.Canonical(got, rules); again != got || err != nil {
			t.Fatalf("Canonical(%q) = %q, whose canonical form is %q, %v", path, got, again, err)
		}
		was, err := url.PathUnescape(path)
		if err != nil {
			t.Fatalf("Canonical(%q) accepts a broken escape", path)
		}
		is, err := url.PathUnescape(got)
		if err != nil {
			t.Fatalf("Canonical(%q) = %q, which has a broken escape", path, got)
		}
		if !rules.EncodedSlash && collapse(was) != is {
			t.Fatalf("Canonical(%q) = %q: other bytes", path, got)
		}
		for part := range strings.SplitSeq(is, "/") {
			if !rules.EncodedSlash && (part == "." || part == "..") {
				t.Fatalf("Canonical(%q) = %q has a dot segment", path, got)
			}
		}
		if strings.ContainsAny(is, "\x00\\") || strings.Contains(got, "//") || got[0] != '/' {
			t.Fatalf("Canonical(%q) = %q", path, got)
		}
	})
}

func collapse(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
