package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/compose"
)

// keys returns a file with API keys of these people, and the keys.
func keys(t *testing.T, people ...string) (file string, texts []string) {
	t.Helper()
	var list []auth.Key
	for _, who := range people {
		text, stored, err := auth.GenerateKey("byn", who)
		if err != nil {
			t.Fatal(err)
		}
		texts, list = append(texts, text), append(list, stored)
	}
	data, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, texts
}

// TestCacheKnowsCredentials: nobody gets what was made for another, whatever
// their credentials are (RFC 9111 §3.5 is about Authorization only).
func TestCacheKnowsCredentials(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if says := r.URL.Query().Get("says"); says != "" {
			w.Header().Set("Cache-Control", says)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `"for `+r.Header.Get("X-User")+`"`)
	})
	file, texts := keys(t, "ann", "bob")
	c := to(u)
	c.Credentials = map[string]gateway.Credential{
		"partners": {APIKeys: &gateway.APIKeys{File: file}},
		"machines": {Certificates: &gateway.Certificates{TrustDomains: []string{"shop"}}},
	}
	access := &gateway.Access{By: []string{"partners", "machines"}, Anonymous: true, Forward: map[string]string{"X-User": "subject"}}
	store := &gateway.RouteCache{TTL: time.Minute}
	c.Routes = []gateway.Route{
		{Match: "/plain", To: "u", Cache: store, Auth: access},
		{Match: "/own", To: "u", Cache: &gateway.RouteCache{TTL: time.Minute, PerIdentity: true}, Auth: access},
		{Match: "/composed", Cache: store, Auth: access, Compose: &compose.Config{Parts: map[string]compose.Part{"who": {To: "u", Get: "/who?says={query.says?}"}}}},
	}
	g := opened(t, c)
	by := func(who, path string) string {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		switch who {
		case "ann":
			r.Header.Set("X-Api-Key", texts[0])
		case "bob":
			r.Header.Set("X-Api-Key", texts[1])
		case "spiffe://shop/a", "spiffe://shop/b":
			id, err := url.Parse(who)
			if err != nil {
				t.Fatal(err)
			}
			leaf := &x509.Certificate{URIs: []*url.URL{id}, NotAfter: time.Now().Add(time.Hour)}
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Body.String()
	}
	for _, says := range []string{"", "max-age=60"} {
		for _, path := range []string{"/plain", "/own", "/composed"} {
			for _, who := range []string{"ann", "bob", "spiffe://shop/a", "spiffe://shop/b", ""} {
				if got := by(who, path+"?says="+url.QueryEscape(says)); !strings.Contains(got, `"for `+who+`"`) {
					t.Errorf("%s, answers say %q: %q got %s", path, says, who, got)
				}
			}
		}
	}
	const public = "/plain?says=public,max-age=60"
	if first, second := by("ann", public), by("bob", public); second != first {
		t.Errorf("what is public is asked for twice: %s, %s", first, second)
	}
}
