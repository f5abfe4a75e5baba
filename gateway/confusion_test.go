package gateway_test

import (
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// lenient is a server that reads paths as the most lenient ones do: it decodes
// twice, takes backslashes for slashes, cuts path parameters, resolves dots,
// drops trailing dots and ignores case.
func lenient(w http.ResponseWriter, r *http.Request) {
	p, _, _ := strings.Cut(r.RequestURI, "?")
	for range 2 {
		if decoded, err := url.PathUnescape(p); err == nil {
			p = decoded
		}
	}
	p, _, _ = strings.Cut(strings.ReplaceAll(p, "\\", "/"), "#")
	p, _, _ = strings.Cut(p, "\x00")
	parts := strings.Split(p, "/")
	for i, part := range parts {
		part, _, _ = strings.Cut(part, ";")
		parts[i] = strings.ReplaceAll(part, "\xc0\xae", ".")
	}
	p = strings.ToLower(path.Clean("/" + strings.Join(parts, "/")))
	if p == "/admin" || strings.HasPrefix(p, "/admin/") {
		_, _ = io.WriteString(w, "PROTECTED")
		return
	}
	_, _ = io.WriteString(w, "public")
}

// TestPathConfusion is G10: no spelling of a protected path gets round its
// route, through a public route or a prefix that is cut.
func TestPathConfusion(t *testing.T) {
	t.Parallel()
	open := behind(t, lenient)
	guarded := behind(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	address := front(t, opened(t, &gateway.Config{
		Paths:     gateway.PathsConfig{IgnoreCase: true},
		Upstreams: map[string]gateway.Upstream{"open": {Targets: []string{open}}, "guarded": {Targets: []string{guarded}}},
		Routes: []gateway.Route{
			{Match: "/", To: "open"},
			{Match: "/pub/", To: "open", StripPrefix: "/pub"},
			{Match: "/pub/admin/", To: "guarded"},
			{Match: "/admin/", To: "guarded"},
		},
	}))
	for _, c := range []struct{ basis, path string }{
		{"RFC 3986 §6.2.2.3", "/admin"},
		{"RFC 3986 §6.2.2.3", "/admin/"},
		{"RFC 3986 §6.2.2.3", "/admin/users"},
		{"RFC 3986 §6.2.2.3", "//admin"},
		{"RFC 3986 §6.2.2.3", "/./admin"},
		{"RFC 3986 §6.2.2.3", "/pub/../admin"},
		{"RFC 3986 §6.2.2.3", "/x/../admin"},
		{"RFC 3986 §6.2.2.3", "/pub/./../admin"},
		{"RFC 3986 §6.2.2.3", "/pub//../admin"},
		{"RFC 3986 §6.2.2.2", "/%61dmin"},
		{"RFC 3986 §6.2.2.2", "/%61%64%6D%69%6e"},
		{"RFC 3986 §6.2.2.2", "/pub/%61dmin"},
		{"CVE-2019-9901", "/pub/%2e%2e/admin"},
		{"CVE-2019-9901", "/pub/.%2e/admin"},
		{"CVE-2019-9901", "/pub/%2E%2E/admin"},
		{"CVE-2021-29492", "/pub/..%2fadmin"},
		{"CVE-2021-29492", "/pub/..%2Fadmin"},
		{"CVE-2021-29492", "/%2fadmin"},
		{"CVE-2021-29492", "/pub/..%5cadmin"},
		{"CVE-2026-27585", `/pub/..\admin`},
		{"CVE-2026-27585", `/\admin`},
		{"double escape", "/pub/%252e%252e/admin"},
		{"double escape", "/pub/..%252fadmin"},
		{"double escape", "/%2561dmin"},
		{"RFC 3629 §10", "/pub/%c0%ae%c0%ae/admin"},
		{"servlet path parameters", "/admin;x"},
		{"servlet path parameters", "/admin;x/users"},
		{"servlet path parameters", "/pub/..;/admin"},
		{"servlet path parameters", "/admin%3bx"},
		{"RFC 3986 §7.3", "/admin%00"},
		{"RFC 3986 §7.3", "/admin%00.png"},
		{"CVE-2021-32779", "/admin#x"},
		{"CVE-2021-32779", "/admin%23x"},
		{"RFC 3986 §2.2", "/admin%3Fx"},
		{"CVE-2021-32779", "/x/..#/../admin"},
		{"CVE-2026-48020", "/pub../admin"},
		{"GHSA-6jwx-7vp4-9847", "/pub/admin"},
		{"GHSA-6jwx-7vp4-9847", "/pub//admin"},
		{"RFC 3986 §6.2.2.1", "/ADMIN"},
		{"CVE-2026-27587", "/pub/%41DMIN"},
		{"RFC 9112 §3.2.2", "http://x/admin"},
		{"RFC 9112 §3.2.2", "http://x//admin"},
		{"RFC 9112 §3.2.2", "http://x/pub/%2e%2e/admin"},
	} {
		got := say(t, address, "GET "+c.path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		status := strings.TrimPrefix(got, "HTTP/1.1 ")[:3]
		if strings.Contains(got, "PROTECTED") || status != "400" && status != "401" && !strings.HasSuffix(got, "public") {
			t.Errorf("%s: %s is answered %s", c.basis, c.path, got)
		}
	}
	// The server is what it should be, and its public side is served.
	for path, want := range map[string]string{"/pub/x": "public", "/": "public"} {
		if got := say(t, address, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, want) {
			t.Errorf("%s is answered %s", path, got)
		}
	}
	for _, p := range []string{"/pub/..%2fadmin", "/admin;x", "/%2561dmin", "/ADMIN", `/x/..\admin`} {
		if got := say(t, strings.TrimPrefix(open, "http://"), "GET "+p+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasSuffix(got, "PROTECTED") {
			t.Errorf("without the gateway %s is answered %s", p, got)
		}
	}
}
