package redislimit_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

// TLS with a private authority: the server is checked, by URL and by Options.TLS.
func TestOpenWithTLS(t *testing.T) {
	t.Parallel()
	cert, key, roots := certificate(t)
	port := freePort(t)
	startServer(
		t, "--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no",
	)
	url := "rediss://127.0.0.1:" + strconv.Itoa(port)
	if _, err := redislimit.Open(t.Context(), url, nil); err == nil {
		t.Error("a server of an unknown authority is trusted")
	}
	if !one(t, open(t, url, &redislimit.Options{TLS: &tls.Config{RootCAs: roots}}), charge("k", 1, 0, time.Hour)).Allowed {
		t.Error("refused")
	}
	wrong := &tls.Config{RootCAs: roots, ServerName: "other.test"}
	if _, err := redislimit.Open(t.Context(), url, &redislimit.Options{TLS: wrong}); err == nil {
		t.Error("a server with another name is trusted")
	}
}

// certificate writes one for 127.0.0.1, and its key.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	der, err := x509.MarshalPKCS8PrivateKey(s.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, roots = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), x509.NewCertPool()
	for name, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: s.Certificate().Raw}, key: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots.AddCert(s.Certificate())
	return cert, key, roots
}

func TestOpenBySocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "r") // short: the path of a socket has about 100 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	startServer(t, "--unixsocket", path)
	if !one(t, open(t, "unix://"+path+"?db=3", nil), charge("k", 1, 0, time.Hour)).Allowed {
		t.Error("refused")
	}
	if _, err := redislimit.Open(t.Context(), "unix://"+path+"-other", nil); !errors.Is(err, banyan.ErrUnavailable) {
		t.Errorf("no socket: got %v, want it unavailable", err)
	}
}

// The commands that the package names are enough.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	server.do("ACL", "SETUSER", "gateway", "on", ">s3cret", "~{shop}:*", "+evalsha", "+eval", "+time", "+get", "+set")
	store := open(t, "redis://gateway:s3cret@"+server.address(), &redislimit.Options{Prefix: "shop"})
	if !one(t, store, charge("k", 1, 0, time.Hour)).Allowed {
		t.Error("refused")
	}
	_, err := redislimit.Open(t.Context(), "redis://gateway:s3cret@"+server.address(), &redislimit.Options{Prefix: "other"})
	if !errors.Is(err, banyan.ErrDenied) {
		t.Errorf("another prefix: got %v, want it denied", err)
	}
}
