package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
)

// authority signs certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	return &authority{must(x509.ParseCertificate(der)), key}
}

// issue makes a client's certificate.
func (a *authority) issue(change func(*x509.Certificate)) tls.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "spiffe://prod/svc-a"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Minute),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(template)
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

func uri(s string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.URIs = append(c.URIs, must(url.Parse(s))) }
}

func dns(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// over is a request on a connection with the certificate.
func over(t testing.TB, leaf *x509.Certificate, chains ...[]*x509.Certificate) *http.Request {
	t.Helper()
	r := get(t, "/")
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: chains}
	return r
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	c, err := auth.NewCertificates(
		[]string{"spiffe://prod/svc-a", "orders.internal", "Billing.Internal"},
		&auth.CertificateOptions{TrustDomains: []string{"mesh.example"}, Scopes: []string{"internal"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	both := func(f ...func(*x509.Certificate)) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, one := range f {
				one(c)
			}
		}
	}
	for name, cs := range map[string]struct {
		change  func(*x509.Certificate)
		status  int
		subject string
		issuer  string
	}{
		"SPIFFE id":                          {uri("spiffe://prod/svc-a"), 200, "spiffe://prod/svc-a", "prod"},
		"any of a trust domain":              {uri("spiffe://mesh.example/ns/x/sa/y"), 200, "spiffe://mesh.example/ns/x/sa/y", "mesh.example"},
		"DNS name":                           {dns("orders.internal"), 200, "orders.internal", ""},
		"DNS name in capitals (RFC 4343)":    {dns("ORDERS.internal"), 200, "orders.internal", ""},
		"one of several DNS names":           {dns("x.internal", "billing.internal"), 200, "billing.internal", ""},
		"prefix of ours (M8)":                {uri("spiffe://prod/svc-ab"), 403, "", ""},
		"ours is a prefix (M8)":              {uri("spiffe://prod/svc-a/admin"), 403, "", ""},
		"cut (M8)":                           {uri("spiffe://prod/svc-"), 403, "", ""},
		"path in capitals":                   {uri("spiffe://prod/SVC-A"), 403, "", ""},
		"trust domain that begins like ours": {uri("spiffe://mesh.example.evil/ns/x"), 403, "", ""},
		"trust domain that ends like ours":   {uri("spiffe://evil.mesh.example/ns/x"), 403, "", ""},
		"trust domain in capitals":           {uri("spiffe://MESH.example/ns/x"), 403, "", ""},
		"no path":                            {uri("spiffe://mesh.example"), 403, "", ""},
		"empty path":                         {uri("spiffe://mesh.example/"), 403, "", ""},
		"dots":                               {uri("spiffe://mesh.example/a/../b"), 403, "", ""},
		"empty segment":                      {uri("spiffe://mesh.example/a//b"), 403, "", ""},
		"slash at the end":                   {uri("spiffe://prod/svc-a/"), 403, "", ""},
		"escaped":                            {uri("spiffe://prod/svc%2da"), 403, "", ""},
		"query":                              {uri("spiffe://prod/svc-a?x"), 403, "", ""},
		"empty query":                        {uri("spiffe://prod/svc-a?"), 403, "", ""},
		"fragment":                           {uri("spiffe://prod/svc-a#x"), 403, "", ""},
		"user":                               {uri("spiffe://u@prod/svc-a"), 403, "", ""},
		"port":                               {uri("spiffe://prod:1/svc-a"), 403, "", ""},
		"another scheme":                     {uri("https://prod/svc-a"), 403, "", ""},
		"two URIs (X509-SVID §2)":            {both(uri("spiffe://prod/svc-a"), uri("spiffe://prod/x")), 403, "", ""},
		"URI of a stranger and our DNS":      {both(uri("spiffe://prod/x"), dns("orders.internal")), 403, "", ""},
		"two of our DNS names":               {dns("orders.internal", "billing.internal"), 403, "", ""},
		"wildcard":                           {dns("*.internal"), 403, "", ""},
		"DNS suffix (M8)":                    {dns("evil-orders.internal"), 403, "", ""},
		"DNS prefix (M8)":                    {dns("orders.internal.evil.example"), 403, "", ""},
		"DNS with a dot at the end":          {dns("orders.internal."), 403, "", ""},
		"common name only (RFC 9525 §6)":     {func(c *x509.Certificate) { c.Subject.CommonName = "orders.internal" }, 403, "", ""},
		"e-mail address":                     {func(c *x509.Certificate) { c.EmailAddresses = []string{"orders.internal"} }, 403, "", ""},
		"a CA (X509-SVID §4.1)":              {both(uri("spiffe://prod/svc-a"), func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), 403, "", ""},
		"expired (M1)":                       {both(uri("spiffe://prod/svc-a"), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) }), 401, "", ""},
		"not yet valid (M1)":                 {both(uri("spiffe://prod/svc-a"), func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Second) }), 401, "", ""},
	} {
		leaf := ca.issue(cs.change).Leaf
		id, err := c.Authenticate(over(t, leaf, []*x509.Certificate{leaf, ca.cert}))
		if statusOf(err) != cs.status || id.Subject != cs.subject || id.Issuer != cs.issuer {
			t.Errorf("%s: %v, %+v", name, err, id)
		}
		if err == nil && (id.Method != auth.MethodCertificate || !id.Scopes.Has("internal")) {
			t.Errorf("%s: %+v", name, id)
		}
	}
}

func TestCertificatesThatWereNotVerified(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	leaf := ca.issue(uri("spiffe://prod/svc-a")).Leaf
	revoked := false
	c, err := auth.NewCertificates([]string{"spiffe://prod/svc-a"}, &auth.CertificateOptions{Revoked: func(*x509.Certificate) bool { return revoked }})
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, nil, c)
	good := over(t, leaf, []*x509.Certificate{leaf, ca.cert})
	if answer, _ := serve(g.Wrap, good); answer.StatusCode != 200 {
		t.Errorf("good: %d", answer.StatusCode)
	}
	if answer, _ := serve(g.Wrap, over(t, leaf)); answer.StatusCode != 401 || answer.Header.Get("WWW-Authenticate") != "Certificate" {
		t.Errorf("tls.RequestClientCert only: %d", answer.StatusCode)
	}
	if answer, _ := serve(g.Wrap, get(t, "/")); answer.StatusCode != 401 {
		t.Errorf("no TLS: %d", answer.StatusCode)
	}
	// M7: what a client says about its certificate is nothing.
	if answer, _ := serve(g.Wrap, get(t, "/", "Client-Cert", ":AAAA:", "X-Forwarded-Client-Cert", "URI=spiffe://prod/svc-a")); answer.StatusCode != 401 {
		t.Errorf("headers: %d", answer.StatusCode)
	}
	revoked = true // M5: on a connection that is open
	if answer, _ := serve(g.Wrap, good); answer.StatusCode != 401 {
		t.Errorf("revoked: %d", answer.StatusCode)
	}
}

// A certificate is part of the connection, so it is no second credential; the
// order of the methods says which of the two is the identity.
func TestCertificateAndToken(t *testing.T) {
	t.Parallel()
	ca, s := newAuthority(t), newEC(t, "k")
	leaf := ca.issue(uri("spiffe://prod/svc-a")).Leaf
	c, err := auth.NewCertificates([]string{"spiffe://prod/svc-a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := verifier(t, &issuer{keys: []*signer{s}}, nil)
	sum := sha256.Sum256(leaf.Raw)
	bound := object{"cnf": object{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}}
	request := func(token string) *http.Request {
		r := over(t, leaf, []*x509.Certificate{leaf, ca.cert})
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	}
	for want, g := range map[auth.Method]*auth.Guard{auth.MethodCertificate: guard(t, nil, c, v), auth.MethodJWT: guard(t, nil, v, c)} {
		_, seen := serve(g.Wrap, request(s.token(claims())))
		if seen == nil {
			t.Errorf("%s: refused", want)
			continue
		}
		if id, _ := auth.From(seen.Context()); id.Method != want {
			t.Errorf("%s: %+v", want, id)
		}
	}
	// RFC 8705 §3: a token bound to this certificate, twice because of the cache,
	// and then on somebody else's connection.
	token, g := s.token(claims(bound)), guard(t, nil, v)
	for range 2 {
		if answer, _ := serve(g.Wrap, request(token)); answer.StatusCode != 200 {
			t.Errorf("bound: %d", answer.StatusCode)
		}
	}
	thief := over(t, ca.issue(uri("spiffe://prod/svc-a")).Leaf)
	thief.Header.Set("Authorization", "Bearer "+token)
	plain := get(t, "/", "Authorization", "Bearer "+token)
	for name, r := range map[string]*http.Request{"another certificate": thief, "no TLS": plain} {
		if answer, _ := serve(g.Wrap, r); answer.StatusCode != 401 {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
}

func TestCertificatesOverTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	c, err := auth.NewCertificates([]string{"spiffe://prod/svc-a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, nil, c)
	server := httptest.NewUnstartedServer(g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, _ := auth.From(r.Context())
		_, _ = io.WriteString(w, id.Subject)
	})))
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	for want, cert := range map[string]*tls.Certificate{
		"spiffe://prod/svc-a": ptr(ca.issue(uri("spiffe://prod/svc-a"))),
		"401":                 nil,
		"403":                 ptr(ca.issue(uri("spiffe://prod/svc-ab"))),
	} {
		client := server.Client()
		transport := client.Transport.(*http.Transport).Clone()
		transport.DisableKeepAlives = true
		if cert != nil {
			transport.TLSClientConfig.Certificates = []tls.Certificate{*cert}
		}
		client = &http.Client{Transport: transport}
		resp, err := client.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		got := string(body)
		if resp.StatusCode != 200 {
			got = resp.Status[:3]
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestCertificateConfiguration(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{
		nil,
		{"spiffe://"},
		{"spiffe://prod"},
		{"spiffe://prod/"},
		{"spiffe://Prod/a"},
		{"https://prod/a"},
		{"spiffe://prod/a?b"},
		{"spiffe://prod/%61"},
		{"*.internal"},
		{"a b"},
		{""},
		{"a..b"},
		{"-a"},
		{"a", "spiffe://prod/a b"},
	} {
		if _, err := auth.NewCertificates(names, nil); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q: %v", names, err)
		}
	}
	for _, o := range []auth.CertificateOptions{{TrustDomains: []string{"A"}}, {TrustDomains: []string{"a/b"}}, {Scopes: []string{"a b"}}} {
		if _, err := auth.NewCertificates([]string{"a"}, &o); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
