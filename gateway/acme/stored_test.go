package acme_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/banyanhq/banyan/gateway/acme"
)

// nobody is the URL of an authority that is not there.
const nobody = "https://127.0.0.1:1/dir"

// stored is a configuration whose storage has a certificate, as an authority that
// is not there any more has issued it.
func stored(t *testing.T, directory, domain string, edit func(*x509.Certificate)) (*acme.Config, *x509.CertPool) {
	t.Helper()
	c := &acme.Config{Domains: []string{domain}, Directory: directory, Storage: filepath.Join(t.TempDir(), "acme")}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(1000 * time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{domain}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(80 * 24 * time.Hour), AuthorityKeyId: []byte{1, 2, 3},
	}
	edit(leaf)
	rootKey, leafKey := newKey(t), newKey(t)
	rootDER := signed(t, root, root, rootKey.Public(), rootKey)
	leafDER := signed(t, leaf, root, leafKey.Public(), rootKey)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	certs := append(block("CERTIFICATE", leafDER), block("CERTIFICATE", rootDER)...)
	meta, _ := json.Marshal(map[string]any{"sans": []string{domain}, "issuer_data": map[string]any{
		"url": directory, "renewal_info": map[string]any{
			"suggestedWindow": map[string]any{"start": now.Add(500 * time.Hour), "end": now.Add(600 * time.Hour)}, "_uniqueIdentifier": "AQID.Ag", "_selectedTime": now.Add(550 * time.Hour),
		},
	}})
	keys, from := certmagic.StorageKeys, strings.TrimSuffix(strings.TrimPrefix(directory, "https://"), "/dir")+"-dir"
	for name, text := range map[string][]byte{
		keys.SiteCert(from, domain): certs, keys.SitePrivateKey(from, domain): block("EC PRIVATE KEY", keyDER), keys.SiteMeta(from, domain): meta,
	} {
		name = filepath.Join(c.Storage, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(block("CERTIFICATE", rootDER))
	return c, pool
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t *testing.T, template, parent *x509.Certificate, public any, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// An OCSP responder that hangs keeps nobody waiting: what is stored is served at
// once. (The client that certmagic would ask it with has no timeout.)
func TestNoOCSP(t *testing.T) {
	t.Parallel()
	responder, _ := listener(t) // accepts, and says nothing
	config, roots := stored(t, nobody, "ocsp.test", func(c *x509.Certificate) { c.OCSPServer = []string{"http://" + responder.Addr().String()} })
	m, _, _ := manage(t, config, time.Minute)
	l, _ := listener(t)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	began := time.Now()
	if _, err := shake(l.Addr().String(), "ocsp.test", roots); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	_ = responder.Close() // ends what still asks it
}

// A certificate that expired while nobody ran is served until there is another
// one: a client may take it, and the log says what is wrong.
func TestExpiredAtStart(t *testing.T) {
	t.Parallel()
	config, _ := stored(t, nobody, "expired.test", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	m, log, _ := manage(t, config, time.Minute)
	l, _ := listener(t)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	if cert, err := shake(l.Addr().String(), "", nil); err != nil || time.Now().Before(cert.NotAfter) {
		t.Errorf("got %v, want the one that has expired", err)
	}
	for end := time.Now().Add(20 * time.Second); log.count("could not get certificate") == 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it was not tried to renew")
		}
	}
}

// stubborn is an authority of which only the directory is of use.
type stubborn struct {
	server  *httptest.Server
	asked   chan struct{} // for renewal information
	ordered chan struct{} // for anything else
	polite  atomic.Int64  // how many questions for renewal information it answers before it hangs
	end     chan struct{}
}

func startStubborn(t *testing.T) *stubborn {
	t.Helper()
	a := &stubborn{asked: make(chan struct{}, 1000), ordered: make(chan struct{}, 1000), end: make(chan struct{})}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		url := a.server.URL
		switch {
		case r.URL.Path == "/dir":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]string{"newNonce": url + "/nonce", "newAccount": url + "/account", "newOrder": url + "/order", "renewalInfo": url + "/ari"})
		case strings.HasPrefix(r.URL.Path, "/ari"):
			if a.polite.Add(-1) < 0 {
				a.asked <- struct{}{}
				<-a.end
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "1")
			_ = json.NewEncoder(w).Encode(map[string]any{"suggestedWindow": map[string]any{"start": time.Now().Add(500 * time.Hour), "end": time.Now().Add(600 * time.Hour)}})
		default:
			a.ordered <- struct{}{}
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	a.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	return a
}

// config is one with a certificate in its storage.
func (a *stubborn) config(t *testing.T, domain string) *acme.Config {
	t.Helper()
	c, _ := stored(t, a.server.URL+"/dir", domain, func(*x509.Certificate) {})
	c.CARoot = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(c.CARoot, block("CERTIFICATE", a.server.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func within(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Error("not within 10 s: " + what)
	}
}

// Renewal information that does not come keeps no other domain from its first
// certificate.
func TestRenewalInformationHangs(t *testing.T) {
	t.Parallel()
	a := startStubborn(t)
	config := a.config(t, "held.test")
	config.Domains = append(config.Domains, "absent.test")
	_, _, stop := manage(t, config, time.Minute)
	within(t, a.asked, "renewal information of the certificate that is held")
	within(t, a.ordered, "a certificate of the domain that has none")
	close(a.end)
	stop()
}

// An authority that hangs while a later look is under way does not hold up the end
// of a gateway.
func TestRunEndsWhileTheAuthorityHangs(t *testing.T) {
	t.Parallel()
	a := startStubborn(t)
	a.polite.Store(1)
	_, log, stop := manage(t, a.config(t, "end.test"), 50*time.Millisecond)
	within(t, a.asked, "a later look")
	stop() // fails after 10 s
	close(a.end)
	for end := time.Now().Add(40 * time.Second); log.count("stopped background certificate maintenance") == 0; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what was left does not end by itself")
		}
	}
}

// Handshakes meet on no lock of the manager.
func TestHandshakesTakeNoLock(t *testing.T) {
	t.Parallel()
	config, roots := stored(t, nobody, "lock.test", func(*x509.Certificate) {})
	m, _, _ := manage(t, config, time.Minute)
	l, _ := listener(t)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	eventually(t, l.Addr().String(), "lock.test", roots)
	free := acme.Busy(m)
	done := make(chan error, 1)
	go func() {
		_, err := shake(l.Addr().String(), "lock.test", roots)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("a handshake waits for a lock")
	}
	free()
}

// Anybody can ask for a challenge that there is not: that is no line of the log
// each time.
func TestChallengesThatAreNot(t *testing.T) {
	t.Parallel()
	config, roots := stored(t, nobody, "quiet.test", func(*x509.Certificate) {})
	m, log, _ := manage(t, config, time.Minute)
	l, _ := listener(t)
	plain, _ := listener(t)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	serve(t, plain, &http.Server{Handler: m.HTTPChallenge(nil)})
	eventually(t, l.Addr().String(), "quiet.test", roots)
	loud := func() int { return log.count("level=ERROR") + log.count("level=WARN") }
	before := loud()
	for range 20 {
		d := &tls.Dialer{Config: &tls.Config{ServerName: "quiet.test", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}} //nolint:gosec // a test's
		if conn, err := d.DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
			_ = conn.Close()
			t.Fatal("a challenge that there is not was answered")
		}
		conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte("GET /.well-known/acme-challenge/guessed HTTP/1.0\r\nHost: quiet.test\r\n\r\n"))
		_, _ = conn.Read(make([]byte, 512))
		_ = conn.Close()
	}
	if n := loud() - before; n > 2 {
		t.Errorf("%d lines for 40 challenges that are not", n)
	}
}
