package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/compose"
	"github.com/banyanhq/banyan/gateway/transform"
)

// credentialsOf a request: what an upstream could use in somebody's name.
func credentialsOf(r *http.Request) string {
	var all []string
	for name, values := range r.Header {
		if folded := strings.ToLower(strings.ReplaceAll(name, "_", "-")); folded == "authorization" || folded == "x-api-key" || folded == "x-copy" {
			all = append(all, values...)
		}
	}
	return strings.Join(all, " ")
}

// With strip_credential no credential goes on: to no upstream, no part of an answer
// and no copy of a header; whichever of two decided.
func TestStripCredential(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	file, texts := keys(t, "ann")
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `"`+r.Header.Get("X-User")+`:`+credentialsOf(r)+`"`)
	})
	c := to(u)
	c.Upstreams["down"] = gateway.Upstream{Targets: []string{"http://127.0.0.1:1"}}
	c.Credentials = map[string]gateway.Credential{
		"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}},
		"people":   {JWT: &gateway.JWT{Issuer: i.url, Audiences: []string{"shop"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}},
		"partners": {APIKeys: &gateway.APIKeys{File: file}},
	}
	access := func(strip bool) *gateway.Access {
		return &gateway.Access{By: []string{"machines", "people", "partners"}, Anonymous: true, Forward: map[string]string{"X-User": "subject"}, StripCredential: strip}
	}
	var copied transform.Config
	copied.Request.Headers.Rename = map[string]string{"X-Api-Key": "X-Copy"}
	c.Routes = []gateway.Route{
		{Match: "/kept", To: "u", Auth: access(false)},
		{Match: "/plain", To: "u", Auth: access(true)},
		{Match: "/cached", To: "u", Auth: access(true), Cache: &gateway.RouteCache{TTL: time.Minute, PerIdentity: true}},
		{Match: "/instead", To: "down", Auth: access(true), Fallback: &gateway.Fallback{To: "u"}, Retry: &gateway.Retry{}},
		{Match: "/copied", To: "u", Auth: access(true), Transform: &copied},
		{Match: "/composed", Auth: access(true), Compose: &compose.Config{Parts: map[string]compose.Part{
			"a": {To: "u", Get: "/", Headers: []string{"Authorization", "X-Api-Key", "X-User"}, As: "a"}, "b": {To: "u", Get: "/?key={header.x-api-key?}"},
		}}},
	}
	g := opened(t, c)
	token := "Bearer " + i.token(t, "bob", "")
	asked := func(path, name, value string, certificate bool) string {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		if name != "" {
			r.Header.Set(name, value)
		}
		if certificate {
			leaf := &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "shop", Path: "/till"}}, NotAfter: time.Now().Add(time.Hour)}
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Body.String()
	}
	for _, route := range c.Routes {
		path := route.Match
		for _, k := range []struct {
			name, value string
			certificate bool
			want        string
		}{
			{"X-Api-Key", texts[0], false, "ann:"},
			{"Authorization", token, false, "bob:"},
			{"Authorization", token, true, "spiffe://shop/till:"},
			{"X-Api-Key", texts[0], true, "spiffe://shop/till:"},
			{"", "", true, "spiffe://shop/till:"},
			{"", "", false, ":"},
		} {
			want, got := k.want, asked(path, k.name, k.value, k.certificate)
			if path == "/kept" {
				want += k.value
			}
			if want = `"` + want + `"`; path == "/composed" {
				want = `"a":` + want
			}
			if !strings.Contains(got, want) || path != "/kept" && k.value != "" && strings.Contains(got, k.value) {
				t.Errorf("%s by %s (certificate: %v): %s, want %s", path, k.name, k.certificate, got, want)
			}
		}
	}
	if got := asked("/plain", "Authorization", "Basic x", false); got != `":Basic x"` {
		t.Errorf("what is no credential here: %s", got)
	}
}

// named returns an access token that says so of a name; nil: nothing.
func (i *issuer) named(t *testing.T, name any) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{"iss": i.url, "aud": "shop", "sub": "zed", "exp": now + 600, "iat": now, "jti": "1", "client_id": "app", "name": name}
	if name == nil {
		delete(claims, "name")
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := i.signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// An identity that fits in no header is not forwarded as nobody: an upstream that
// shows less to somebody than to nobody, or trusts its gateway, would believe it.
func TestForwardedWhole(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header.Values("X-Name"), "|"))
	})
	c := to(u)
	c.Credentials = map[string]gateway.Credential{"people": {JWT: &gateway.JWT{Issuer: i.url, Audiences: []string{"shop"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}}}
	c.Routes = []gateway.Route{
		{Match: "/", To: "u", Auth: &gateway.Access{By: []string{"people"}, Anonymous: true, Forward: map[string]string{"X-Name": "claims.name", "X-User": "subject"}}, Fallback: &gateway.Fallback{Body: "{}"}},
		{Match: "/none", To: "u", Auth: &gateway.Access{By: []string{"people"}}},
	}
	served := make(chan gateway.Served, 1)
	g, err := gateway.New(c, &gateway.Options{Hooks: gateway.Hooks{Served: func(s gateway.Served) { served <- s }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	for _, k := range []struct {
		path   string
		name   any
		status int
		body   string
	}{
		{"/", "Zed Lee", 200, "Zed Lee"},
		{"/", []any{"zed", 1}, 200, "zed,1"},
		{"/", "", 200, ""},
		{"/", nil, 200, ""}, // who has no name has none
		{"/", "zed\r\nX-Admin: 1", 403, ""},
		{"/", "zed\x00", 403, ""},
		{"/", " zed", 403, ""},
		{"/", []any{"zed,admin"}, 403, ""},
		{"/", map[string]any{"first": "zed"}, 403, ""},
		{"/", strings.Repeat("zed", 2000), 403, ""},
		{"/none", " zed", 200, ""}, // nothing is forwarded there
	} {
		got := ask(g, "GET", "http://x"+k.path, "Authorization", "Bearer "+i.named(t, k.name))
		s := <-served
		refused := got.Code == 403 && strings.Contains(s.Cause, "value for X-Name fits in no header") && !strings.Contains(s.Cause+got.Body.String(), "zed")
		if got.Code != k.status || refused != (k.status == 403) || !refused && (got.Body.String() != k.body || s.Cause != "") {
			t.Errorf("%s as %.20q: %d %.80s; the hook heard %+v", k.path, k.name, got.Code, got.Body, s)
		}
	}
	if got := ask(g, "GET", "http://x/"); got.Code != 200 {
		t.Errorf("nobody: %d", got.Code)
	}
	<-served
}
