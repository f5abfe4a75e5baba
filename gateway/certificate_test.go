package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// pemFiles writes a certificate and its key.
func pemFiles(t *testing.T, files gateway.TLSFiles, cert tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{files.Cert: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, files.Key: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A changed certificate is served to the next connection; a broken one is not.
func TestCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := gateway.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if _, err := gateway.LoadCertificate(files); err == nil {
		t.Error("missing files are taken")
	}
	first, firstPool := certificate(t)
	second, secondPool := certificate(t)
	pemFiles(t, files, first)
	c, err := gateway.LoadCertificate(files)
	if err != nil {
		t.Fatal(err)
	}
	address, _ := run(t, http.NotFoundHandler(), &gateway.FrontOptions{TLS: c.Config()})
	trusts := func(pool *x509.CertPool) bool {
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	if changed, err := c.Refresh(); changed || err != nil || !trusts(firstPool) {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	if err := os.WriteFile(files.Cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.Refresh(); changed || err == nil || !trusts(firstPool) {
		t.Errorf("half a file: %v, %v", changed, err)
	}
	pemFiles(t, files, second)
	later := time.Now().Add(time.Minute) // file systems have coarse times
	if err := os.Chtimes(files.Cert, later, later); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.Refresh(); !changed || err != nil || !trusts(secondPool) || trusts(firstPool) {
		t.Errorf("changed: %v, %v", changed, err)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: secondPool, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Errorf("TLS 1.1 is spoken")
	}
}

// issued returns a client's certificate by an authority, and the authority as PEM.
func issued(t *testing.T, name string) (tls.Certificate, []byte) {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
}

// A route by certificate lets in who has one of the authority's with its name.
// When the authority changes, so does who is let in.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := gateway.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}
	server, pool := certificate(t)
	pemFiles(t, files, server)
	orders, authority := issued(t, "orders.internal")
	stranger, otherAuthority := issued(t, "orders.internal")
	if err := os.WriteFile(files.ClientCA, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := gateway.LoadCertificate(files)
	if err != nil {
		t.Fatal(err)
	}
	config := to(behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-Service")) }))
	config.Credentials = map[string]gateway.Credential{"services": {Certificates: &gateway.Certificates{Names: []string{"orders.internal"}}}}
	config.Routes = append(config.Routes, gateway.Route{Match: "/inner", To: "u", Auth: &gateway.Access{By: []string{"services"}, Forward: map[string]string{"X-Service": "subject"}}})
	address, _ := run(t, opened(t, config), &gateway.FrontOptions{TLS: c.Config()})
	get := func(path string, certs ...tls.Certificate) string {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}, ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Service", "admin")
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return "refused"
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return string(text)
	}
	for _, k := range []struct{ path, want, got string }{
		{"/inner", "orders.internal", get("/inner", orders)},
		{"/inner", "401 Unauthorized", get("/inner")},
		{"/", "", get("/")},
	} {
		if k.got != k.want {
			t.Errorf("%s: %q, want %q", k.path, k.got, k.want)
		}
	}
	if got := get("/", stranger); got == "" || got == "admin" {
		t.Errorf("a certificate of another authority: %q", got)
	}
	if err := os.WriteFile(files.ClientCA, append(otherAuthority, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := c.Refresh(); !changed || err != nil {
		t.Fatalf("changed %v, %v", changed, err)
	}
	if got := get("/inner", stranger); got != "orders.internal" {
		t.Errorf("after the change: %q", got)
	}
	if got := get("/inner", orders); got == "orders.internal" {
		t.Error("the old authority is trusted still")
	}
}

// Targets are trusted by the authority that the upstream names, and shown its
// certificate, also a renewed one, over both protocols.
func TestTargetTLS(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			server, _ := certificate(t)
			own, ownPool := certificate(t)
			shown := gateway.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
			ca := gateway.TLSFiles{Cert: filepath.Join(dir, "ca.pem"), Key: filepath.Join(dir, "unused.pem")}
			pemFiles(t, shown, own)
			pemFiles(t, ca, server)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = fmt.Fprint(w, r.Proto, len(r.TLS.PeerCertificates))
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ownPool, ClientAuth: tls.RequireAndVerifyClientCert}
			s.EnableHTTP2 = protocol == "h2"
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			asked := func(o *gateway.TargetTLS) string {
				c := to(s.URL)
				c.Upstreams["u"] = gateway.Upstream{Targets: []string{s.URL}, Protocol: protocol, TLS: o}
				c.Routes[0].To = "u"
				w := ask(opened(t, c), "GET", "http://x/")
				return fmt.Sprint(w.Code, " ", w.Body.String())
			}
			want := map[string]string{"http1": "200 HTTP/1.11", "h2": "200 HTTP/2.01"}[protocol]
			if got := asked(&gateway.TargetTLS{CA: ca.Cert, Cert: shown.Cert, Key: shown.Key, Name: "localhost"}); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			for what, o := range map[string]*gateway.TargetTLS{
				"no authority":   {Cert: shown.Cert, Key: shown.Key, Name: "localhost"},
				"no certificate": {CA: ca.Cert, Name: "localhost"},
				"another name":   {CA: ca.Cert, Cert: shown.Cert, Key: shown.Key, Name: "other.example"},
			} {
				if got := asked(o); got[:3] != "503" && got[:3] != "502" {
					t.Errorf("%s: got %s", what, got)
				}
			}
		})
	}
	c := to("https://127.0.0.1")
	c.Upstreams["u"] = gateway.Upstream{Targets: []string{"https://127.0.0.1"}, TLS: &gateway.TargetTLS{CA: "none.pem"}}
	if found := c.Check(); len(found) != 1 || found[0].Path != "$.upstreams.u.tls" {
		t.Errorf("a missing authority: %+v", found)
	}
}
