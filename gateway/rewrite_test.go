package gateway_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway"
)

// echoing is an upstream that answers with the target of the request.
func echoing(t *testing.T) string {
	t.Helper()
	return behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
}

func TestRewrite(t *testing.T) {
	t.Parallel()
	c := to(echoing(t))
	c.Routes = nil
	for match, path := range map[string]string{
		"/invoices/{id}":          "/v2/{id}.pdf",
		"/users/{user}/pets/{p}":  "/pets/{p}/of/{user}",
		"/files/{rest...}":        "/store/{rest}",
		"/tree/{name}/{where...}": "/{where...}", // as it stands in the match
		"/fixed/":                 "/one",
		"/twice/{x}":              "/{x}/and-{x}",
	} {
		c.Routes = append(c.Routes, gateway.Route{Match: match, To: "u", Path: path})
	}
	g := opened(t, c)
	for target, want := range map[string]string{
		"/invoices/17":             "/v2/17.pdf",
		"/invoices/17/":            "/v2/17.pdf",
		"/invoices/17?a=%20&b":     "/v2/17.pdf?a=%20&b",
		"/invoices/a%20b%C3%A9%25": "/v2/a%20b%C3%A9%25.pdf",
		"/invoices/%2e%2e%2ex":     "/v2/...x.pdf",
		"/users/ann/pets/rex":      "/pets/rex/of/ann",
		"/files/":                  "/store/",
		"/files":                   "/store/",
		"/files/a//b/":             "/store/a/b/",
		"/tree/x/a/b/":             "/a/b/",
		"/fixed/whatever":          "/one",
		"/twice/a":                 "/a/and-a",
	} {
		if got := ask(g, "GET", "http://x"+target).Body.String(); got != want {
			t.Errorf("%s went to %s, want %s", target, got, want)
		}
	}
}

// Whatever a client writes, what is forwarded is a canonical path that begins as the
// file says.
func TestRewriteStaysCanonical(t *testing.T) {
	t.Parallel()
	c := to(echoing(t))
	c.Routes = []gateway.Route{{Match: "/a/{x}/{rest...}", To: "u", Path: "/b/.{x}./c/{rest}"}}
	g := opened(t, c)
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"a", ".", "..", "/", "%2e", "%2f", "%5c", "%20", "%25", "%3f", "%00", "%c3%a9", ";", "~", "{x}", "%7bx%7d", "+", "%2b"})
		target := "/a/" + strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), "")
		w := ask(g, "GET", "http://x"+target)
		if w.Code != http.StatusOK {
			return // refused, or nobody's
		}
		got := w.Body.String()
		if canonical, err := gateway.Canonical(got, gateway.PathRules{}); err != nil || canonical != got || !strings.HasPrefix(got, "/b/.") || !strings.Contains(got, "./c/") {
			t.Fatalf("%s went to %s: %q, %v", target, got, canonical, err)
		}
	})
}
