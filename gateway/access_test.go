package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/gateway"
)

// issuer is an OpenID provider with one key.
type issuer struct {
	url    string
	signer jose.Signer
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var i issuer
	i.url = behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/openid-configuration" {
			fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/keys")
			return
		}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "1"))
	if err != nil {
		t.Fatal(err)
	}
	return &i
}

// token returns an access token for a subject.
func (i *issuer) token(t *testing.T, subject, scope string) string {
	t.Helper()
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{"iss": i.url, "aud": "shop", "sub": subject, "exp": now + 600, "iat": now, "jti": subject, "client_id": "app", "scope": scope, "country": "UK"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := i.signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestAccess: routes let in whom they say, and the upstream hears who it is from
// the gateway only.
func TestAccess(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	key, stored, err := auth.GenerateKey("byn", "partner-7")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	text, err := json.Marshal(map[string]any{"keys": []auth.Key{stored}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(r.Header.Values("X-User"), "|"))
	})
	c := to(u)
	c.Credentials = map[string]gateway.Credential{
		"people":   {JWT: &gateway.JWT{Issuer: i.url, Audiences: []string{"shop"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}},
		"partners": {APIKeys: &gateway.APIKeys{File: file}},
	}
	user := map[string]string{"X-User": "subject"}
	c.Routes = []gateway.Route{
		{Match: "/", To: "u"},
		{Match: "/orders", To: "u", Auth: &gateway.Access{By: []string{"people", "partners"}, Forward: user}},
		{Match: "POST /orders", To: "u", Auth: &gateway.Access{By: []string{"people"}, Scopes: []string{"orders:write"}, Forward: user}},
		{Match: "/uk", To: "u", Auth: &gateway.Access{By: []string{"people"}, When: []string{`identity.claims.country == "UK" && request.method == "GET"`}, Forward: user}},
		{Match: "/maybe", To: "u", Auth: &gateway.Access{By: []string{"people"}, Anonymous: true, Forward: user}},
	}
	address := front(t, opened(t, c))
	bearer := func(subject, scope string) string { return "Authorization: Bearer " + i.token(t, subject, scope) }
	for _, k := range []struct {
		request, header, want string
	}{
		{"GET /", "", "200 "},
		{"GET /", "X-User: admin\r\nx_user: admin\r\nX-USER: admin", "200 "},
		{"GET /", bearer("ann", ""), "200 "},
		{"GET /orders", "", "401"},
		{"GET /orders", "X-User: admin", "401"},
		{"GET /orders", "Authorization: Bearer x.y.z", "401"},
		{"GET /orders?access_token=x", "", "401"},
		{"GET /orders", bearer("ann", "") + "\r\nX-User: admin\r\nX_User: admin\r\nConnection: X-User, close", "200 ann"},
		{"GET /orders", "X-Api-Key: " + key, "200 partner-7"},
		{"GET /orders", "X-Api-Key: " + key[:len(key)-1] + "x", "401"},
		{"GET /orders", bearer("ann", "") + "\r\nX-Api-Key: " + key, "400"},
		{"POST /orders", bearer("ann", "orders:read"), "403"},
		{"POST /orders", bearer("ann", "orders:read orders:write"), "200 ann"},
		{"POST /orders", "X-Api-Key: " + key, "401"},
		{"GET /uk", bearer("ann", ""), "200 ann"},
		{"DELETE /uk", bearer("ann", ""), "403"},
		{"GET /maybe", "", "200 "},
		{"GET /maybe", "X-User: admin", "200 "},
		{"GET /maybe", bearer("ann", ""), "200 ann"},
		{"GET /maybe", "Authorization: Bearer x.y.z", "401"},
		{"GET /x/../orders", "", "400"},
		{"GET /%6frders", "", "401"},
		{"GET /orders/", "", "401"},
	} {
		header := "Connection: close\r\n"
		if k.header != "" {
			header += k.header + "\r\n"
		}
		got := say(t, address, k.request+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		status := strings.TrimPrefix(head, "HTTP/1.1 ")[:3]
		if status == "200" {
			status += " " + body
		}
		if status != k.want {
			t.Errorf("%s with %.40q: %q, want %q", k.request, k.header, status, k.want)
		}
		if k.want == "401" && !strings.Contains(head, "Www-Authenticate") {
			t.Errorf("%s with %.40q: %s", k.request, k.header, head)
		}
	}
}

func TestWrongAccess(t *testing.T) {
	t.Parallel()
	good := map[string]gateway.Credential{"people": {JWT: &gateway.JWT{Issuer: "https://login.example", Audiences: []string{"shop"}}}}
	for _, c := range []struct {
		name, path  string
		credentials map[string]gateway.Credential
		auth        gateway.Access
	}{
		{"two kinds", "$.credentials.x", map[string]gateway.Credential{"x": {JWT: &gateway.JWT{}, APIKeys: &gateway.APIKeys{}}}, gateway.Access{By: []string{"x"}}},
		{"no kind", "$.credentials.x", map[string]gateway.Credential{"x": {}}, gateway.Access{By: []string{"x"}}},
		{"no audience", "$.credentials.x", map[string]gateway.Credential{"x": {JWT: &gateway.JWT{Issuer: "https://login.example"}}}, gateway.Access{By: []string{"x"}}},
		{"unknown", "$.routes[0].auth.by", good, gateway.Access{By: []string{"peple"}}},
		{"nobody", "$.routes[0].auth", good, gateway.Access{}},
		{"condition", "$.routes[0].auth", good, gateway.Access{By: []string{"people"}, When: []string{"identity.clams == 1"}}},
		{"header", "$.routes[0].auth", good, gateway.Access{By: []string{"people"}, Forward: map[string]string{"X-User": "nonsense"}}},
	} {
		config := to("http://127.0.0.1:1")
		config.Credentials = c.credentials
		config.Routes[0].Auth = &c.auth
		if found := config.Check(); len(found) == 0 || found[0].Path != c.path {
			t.Errorf("%s: %v, want one at %s", c.name, found, c.path)
		}
	}
}

// TestCached: a route's answers are stored apart from those of another route with
// the same URL, and of another person.
func TestCached(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	var calls atomic.Int64
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		fmt.Fprintf(w, "%s %s %d", r.Header.Get("X-Beta"), r.Header.Get("X-User"), calls.Load())
	})
	c := to(u)
	c.Credentials = map[string]gateway.Credential{"people": {JWT: &gateway.JWT{Issuer: i.url, Audiences: []string{"shop"}, AllowHTTP: true, AllowNetworks: []string{"127.0.0.0/8"}}}}
	stored := &gateway.RouteCache{TTL: time.Hour}
	c.Routes = []gateway.Route{
		{Match: "/page", To: "u", Cache: stored},
		{Match: "/page", To: "u", Cache: stored, Headers: map[string]string{"X-Beta": "1"}},
		{Match: "/mine", To: "u", Cache: &gateway.RouteCache{TTL: time.Hour, PerIdentity: true}, Auth: &gateway.Access{By: []string{"people"}, Forward: map[string]string{"X-User": "subject"}}},
	}
	g := opened(t, c)
	ann, bob := "Bearer "+i.token(t, "ann", ""), "Bearer "+i.token(t, "bob", "")
	for range 3 {
		for _, k := range []struct{ path, name, value, want string }{
			{"/page", "X-Beta", "", "  1"},
			{"/p%61ge", "X-Beta", "", "  1"},
			{"/page", "X-Beta", "1", "1  2"},
			{"/mine", "Authorization", ann, " ann 3"},
			{"/mine", "Authorization", bob, " bob 4"},
		} {
			var w *httptest.ResponseRecorder
			if k.value == "" {
				w = ask(g, "GET", "http://x"+k.path)
			} else {
				w = ask(g, "GET", "http://x"+k.path, k.name, k.value)
			}
			if w.Body.String() != k.want {
				t.Errorf("%s with %.10s: %q, want %q", k.path, k.value, w.Body, k.want)
			}
		}
	}
	if w := ask(g, "GET", "http://x/mine"); w.Code != 401 {
		t.Errorf("without a token: status %d %q", w.Code, w.Body)
	}
	changed := *c
	changed.Routes = append([]gateway.Route{{Match: "/new", To: "u"}}, c.Routes...)
	if err := g.Reload(&changed); err != nil {
		t.Fatal(err)
	}
	if w := ask(g, "GET", "http://x/page"); w.Body.String() != "  5" {
		t.Errorf("after the routes changed: %q", w.Body)
	}
}

// A list of keys that cannot be read lets nobody in, and is reported.
func TestKeysMissing(t *testing.T) {
	t.Parallel()
	c := to(behind(t, func(http.ResponseWriter, *http.Request) {}))
	c.Credentials = map[string]gateway.Credential{"partners": {APIKeys: &gateway.APIKeys{File: filepath.Join(t.TempDir(), "none.json")}}}
	c.Routes[0].Auth = &gateway.Access{By: []string{"partners"}}
	var said strings.Builder
	g, err := gateway.New(c, &gateway.Options{Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	key, _, err := auth.GenerateKey("byn", "x")
	if err != nil {
		t.Fatal(err)
	}
	if w := ask(g, "GET", "http://x/", "X-Api-Key", key); w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
	if !strings.Contains(said.String(), "credential=partners") || !strings.Contains(said.String(), "none.json") {
		t.Errorf("the log says %q", said.String())
	}
}
