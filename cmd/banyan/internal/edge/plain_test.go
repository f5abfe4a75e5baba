package edge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// pair writes a certificate and its key, and returns their names.
func pair(t *testing.T) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"shop.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	return cert, key
}

// running runs an edge of a file until the test ends.
func running(t *testing.T, text string) *Edge {
	t.Helper()
	file := filepath.Join(t.TempDir(), "banyan.yaml")
	put(t, file, text)
	e, err := Open(t.Context(), file, Options{Log: slog.New(slog.DiscardHandler), Every: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

// say sends raw bytes and returns the head of the answer, and its body.
func say(t *testing.T, address, text string) (head, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	all, _ := io.ReadAll(bufio.NewReader(conn))
	head, body, _ = strings.Cut(string(all), "\r\n\r\n")
	return head + "\r\n", body
}

// Beside TLS, plain HTTP is sent to https at the port of the front door, by a front
// that is as strict.
func TestPlainBesideTLS(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	e := running(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: none\nredirect_http: 127.0.0.1:0\ntls: {cert: %q, key: %q}\nbrowser: {security: {}}\nroutes: [{match: /, redirect: 'https://elsewhere.test'}]\n", cert, key))
	plain := e.PlainAddr()
	_, port, _ := net.SplitHostPort(plain)
	_, secure, _ := net.SplitHostPort(e.Addr())
	for name, tt := range map[string]struct{ request, want string }{
		"through a port that is mapped": {"GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\n\r\n", "308 Permanent Redirect\r\nhttps://shop.test/a?b=c"},
		"straight":                      {"POST /a HTTP/1.1\r\nHost: shop.test:" + port + "\r\nContent-Length: 1\r\n\r\nx", "308 Permanent Redirect\r\nhttps://shop.test:" + secure + "/a"},
		"a challenge, without ACME":     {"GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: shop.test\r\n\r\n", "308 Permanent Redirect\r\nhttps://shop.test/.well-known/acme-challenge/x"},
		"two lengths":                   {"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad Request\r\n"},
		"two hosts":                     {"GET / HTTP/1.1\r\nHost: shop.test\r\nHost: evil.test\r\n\r\n", "400 Bad Request\r\n"},
		"bare line feeds":               {"GET / HTTP/1.1\nHost: shop.test\n\n", "400 Bad Request\r\n"},
		"CONNECT":                       {"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n", "405 Method Not Allowed\r\n"},
	} {
		head, _ := say(t, plain, tt.request) // the connection is closed, or this would wait
		_, status, _ := strings.Cut(head, " ")
		status, _, _ = strings.Cut(status, "\r\n")
		_, location, _ := strings.Cut(head, "\r\nLocation: ")
		location, _, _ = strings.Cut(location, "\r\n")
		if got := status + "\r\n" + location; got != tt.want || strings.Contains(head, "Strict-Transport-Security") {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// An address that is taken is said with the name of its key. Whatever is wrong,
// nothing stays bound.
func TestPlainIsReleased(t *testing.T) {
	t.Parallel()
	cert, key := pair(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tt := range map[string]struct {
		address, key, want string
		bound              int
	}{
		"taken":  {taken.Addr().String(), key, `"redirect_http"`, 1},
		"no key": {"127.0.0.1:0", key + ".none", "no such file", 2},
	} {
		var opened []net.Listener
		file := filepath.Join(t.TempDir(), "banyan.yaml")
		put(t, file, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: none\nredirect_http: %s\ntls: {cert: %q, key: %q}\nroutes: [{match: /, redirect: 'https://elsewhere.test'}]\n", tt.address, cert, tt.key))
		listen := func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err == nil {
				opened = append(opened, l)
			}
			return l, err
		}
		_, err = Open(t.Context(), file, Options{Log: slog.New(slog.DiscardHandler), Every: time.Hour, Listen: listen})
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(opened) != tt.bound {
			t.Errorf("%s: error %v with %d listeners", name, err, len(opened))
		}
		for _, l := range opened {
			if l.Close() == nil {
				t.Errorf("%s: %s is still open", name, l.Addr())
			}
		}
	}
}

// Challenges of the authority are answered there, also those of another gateway with
// the same storage, and everything else is redirected.
func TestPlainAnswersChallenges(t *testing.T) {
	t.Parallel()
	const directory = "https://127.0.0.1:1/dir" // nobody
	storage := filepath.Join(t.TempDir(), "acme")
	file := filepath.Join(storage, "acme", certmagic.StorageKeys.Safe((&certmagic.ACMEIssuer{CA: directory}).IssuerKey()), "challenge_tokens", "shop.test.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	challenge, err := json.Marshal(map[string]any{"type": "http-01", "token": "the-token", "keyAuthorization": "the-token.thumb", "identifier": map[string]string{"type": "dns", "value": "shop.test"}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, file, string(challenge))
	e := running(t, fmt.Sprintf("listen: 127.0.0.1:0\nadmin: none\nredirect_http: 127.0.0.1:0\ntls: {acme: {domains: [shop.test], directory: %q, storage: %q}}\nroutes: [{match: /, redirect: 'https://elsewhere.test'}]\n", directory, storage))
	ask := func(path string) (string, string) {
		return say(t, e.PlainAddr(), "GET /.well-known/acme-challenge/"+path+" HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
	}
	head, body := ask("the-token")
	for end := time.Now().Add(10 * time.Second); body != "the-token.thumb" && time.Now().Before(end); <-time.After(10 * time.Millisecond) {
		head, body = ask("the-token") // the storage has not been read yet
	}
	if !strings.HasPrefix(head, "HTTP/1.1 200 ") || body != "the-token.thumb" {
		t.Errorf("the challenge: %s%s", head, body)
	}
	if head, body = ask("another"); !strings.HasPrefix(head, "HTTP/1.1 308 ") || body != "" {
		t.Errorf("no challenge: %s%s", head, body)
	}
	if head, _ := say(t, e.PlainAddr(), "GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n"); !strings.Contains(head, "\r\nLocation: https://shop.test/x\r\n") {
		t.Errorf("everything else: %s", head)
	}
}
