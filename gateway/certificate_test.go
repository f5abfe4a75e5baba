package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
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
