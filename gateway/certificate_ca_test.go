package gateway_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway"
)

// pemPair makes a certificate for an hour, and its key.
func pemPair(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// A file of authorities of which a part cannot be read is wrong as a whole: else
// the clients of that part would be kept out without a word, as while it is written.
func TestClientAuthoritiesAreAllOrNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := gateway.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := pemPair(t)
	a, _ := pemPair(t)
	b, _ := pemPair(t)
	write(files.Cert, cert)
	write(files.Key, key)
	both := bytes.Join([][]byte{[]byte("# ours\n"), a, []byte("\nand another\n"), b}, nil)
	damaged := bytes.Replace(b, []byte("\nMII"), []byte("\nAII"), 1)
	for name, text := range map[string][]byte{
		"half":     both[:len(both)-len(b)/2],
		"damaged":  append(bytes.Clone(a), damaged...),
		"no base":  append(bytes.Clone(a), []byte("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n")...),
		"none":     []byte("# none\n"),
		"key only": key,
	} {
		write(files.ClientCA, text)
		if _, err := gateway.LoadCertificate(files); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: got %v, want it invalid", name, err)
		}
	}
	write(files.ClientCA, both)
	c, err := gateway.LoadCertificate(files)
	if err != nil {
		t.Fatal(err)
	}
	held, _ := c.Config().GetConfigForClient(nil)
	write(files.ClientCA, both[:len(both)-len(b)/2])
	if changed, err := c.Refresh(); changed || err == nil {
		t.Errorf("half a file was taken: %t, %v", changed, err)
	}
	if now, _ := c.Config().GetConfigForClient(nil); now != held {
		t.Error("what is served has changed")
	}
}
