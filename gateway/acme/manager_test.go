package acme_test

import (
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/acme"
	"github.com/banyanhq/banyan/internal/long"
)

// Certificates by TLS-ALPN-01 over the listener that serves; after a restart the
// stored ones, without the authority.
func TestTLSALPN(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	config := ca.config(t, "Alpn.test", "api.alpn.test")
	m, log, stop := manage(t, config, time.Minute)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	addr := l.Addr().String()
	first := eventually(t, addr, "alpn.test", ca.roots)
	eventually(t, addr, "api.alpn.test", ca.roots)
	if cert, err := shake(addr, "", ca.roots); err != nil || !cert.Equal(first) {
		t.Errorf("without a name: got %v, want the first domain's", err)
	}
	if cert, err := shake(addr, "ALPN.test.", ca.roots); err == nil && !cert.Equal(first) {
		t.Error("another spelling of the name: another certificate")
	}
	if _, err := shake(addr, "other.alpn.test", ca.roots); err == nil {
		t.Error("a name that is not in domains has a certificate")
	}
	if log.count("domain=alpn.test renewal=false") != 1 || log.count("other.alpn.test") != 0 {
		t.Error("want one line of each certificate, and none of other names")
	}
	wantProtocol(t, addr, "h2", "acme-tls/1", "http/1.1", "h2")
	wantProtocol(t, addr, "", "acme-tls/1") // there is no challenge now
	checkModes(t, config.Storage)
	stop()
	asked := ca.orders.Load()
	ca.server.Close()
	m, err := acme.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, _ = listener(t)
	front, came := m.TLS(), make(chan bool, 1)
	front.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		came <- true
		return m.TLS().GetCertificate(hello)
	}
	serve(t, l, &http.Server{TLSConfig: front, Handler: http.NotFoundHandler()})
	// A handshake that comes before Run waits for it, and does not fail.
	early := make(chan error, 1)
	go func() {
		cert, err := shake(l.Addr().String(), "alpn.test", ca.roots)
		if err == nil && !cert.Equal(first) {
			err = errors.New("another certificate than the stored one")
		}
		early <- err
	}()
	<-came
	run(t, m, &journal{})
	if err := <-early; err != nil {
		t.Errorf("a handshake before Run: %v", err)
	}
	if now := ca.orders.Load(); now != asked {
		t.Errorf("%d orders after the restart", now-asked)
	}
}

// wantProtocol offers protocols, and wants one; none is a handshake that fails.
func wantProtocol(t *testing.T, addr, want string, offered ...string) {
	t.Helper()
	got := ""
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "alpn.test", NextProtos: offered, InsecureSkipVerify: true})
	if err == nil {
		got = conn.ConnectionState().NegotiatedProtocol
		_ = conn.Close()
	}
	if got != want || (err == nil) != (want != "") {
		t.Errorf("offered %v: got %q, %v; want %q", offered, got, err, want)
	}
}

// checkModes wants all of a storage closed to others.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return err
	})
	if err != nil || keys < 2 {
		t.Errorf("%d keys in the storage, %v", keys, err)
	}
}

// A certificate by HTTP-01 over a plain listener, whose other requests go on.
func TestHTTPChallenge(t *testing.T) {
	t.Parallel()
	plain, port := listener(t)
	secure, _ := listener(t)
	ca := startAuthority(t, options{httpPort: port, tlsPort: 1})
	m, _, _ := manage(t, ca.config(t, "plain.test"), time.Minute)
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "next: "+r.URL.Path) })
	serve(t, plain, &http.Server{Handler: m.HTTPChallenge(next)})
	serve(t, secure, &http.Server{TLSConfig: m.TLS(), Handler: next})
	eventually(t, secure.Addr().String(), "plain.test", ca.roots)
	for _, path := range []string{"/", "/.well-known/acme-challenge/guessed"} {
		r, err := http.Get("http://" + plain.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if string(body) != "next: "+path {
			t.Errorf("%s: got %q, want the next handler's answer", path, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// A certificate that lives for seconds is renewed while it is served: no handshake
// fails, and none gets one that has expired.
func TestRenewal(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port, valid: 12 * time.Second})
	m, log, _ := manage(t, ca.config(t, "renewed.test"), 100*time.Millisecond)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	first := eventually(t, l.Addr().String(), "renewed.test", ca.roots)
	for handshakes := 1; ; handshakes++ {
		cert, err := shake(l.Addr().String(), "renewed.test", ca.roots)
		if err != nil {
			t.Fatalf("handshake %d: %v", handshakes, err)
		}
		if !cert.Equal(first) {
			break // the first one would expire within 12 s, and fail
		}
		<-time.After(20 * time.Millisecond)
	}
	if log.count("renewal=true") == 0 {
		t.Error("the log does not tell of the renewal")
	}
}

// While the authority is down handshakes fail with one clear line; when it is back
// the next Run gets the certificate.
func TestAuthorityDown(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	config := ca.config(t, "down.test")
	up := config.Directory
	config.Directory = "https://127.0.0.1:1/dir"
	m, log, stop := manage(t, config, time.Minute)
	closeFront := serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	for end := time.Now().Add(30 * time.Second); log.count("could not get certificate") == 0 && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	for range 5 {
		if _, err := shake(l.Addr().String(), "down.test", ca.roots); err == nil {
			t.Fatal("a handshake without a certificate")
		}
		if _, err := shake(l.Addr().String(), "other.test", ca.roots); err == nil {
			t.Fatal("a handshake for another name")
		}
	}
	if n := log.count("handshakes fail"); n != 1 {
		t.Errorf("%d lines of failing handshakes, want one in a minute", n)
	}
	if log.count("last_error") != 1 || log.count("connection refused") == 0 {
		t.Error("the log does not say why")
	}
	if err := m.Run(t.Context()); err == nil {
		t.Error("a second Run at the same time")
	}
	stop()
	config.Directory = up
	m, _, _ = manage(t, config, time.Minute)
	closeFront()
	l = again(t, port)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	eventually(t, l.Addr().String(), "down.test", ca.roots)
}

// The authority comes back: so does the certificate, without a restart. The first
// pause is a minute, so that only long runs have it.
func TestAuthorityComesBack(t *testing.T) {
	t.Parallel()
	if long.Size(0, 1) == 0 {
		t.Skip("takes a minute; BANYAN_LONG=100 runs it")
	}
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	ca.down.Store(true)
	m, log, _ := manage(t, ca.config(t, "back.test"), time.Minute)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	for end := time.Now().Add(30 * time.Second); log.count("will retry") == 0 && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	ca.down.Store(false)
	for end := time.Now().Add(2 * time.Minute); log.count("certificate obtained successfully") == 0 && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	eventually(t, l.Addr().String(), "back.test", ca.roots)
}

// An authority that knows its customers.
func TestExternalAccount(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port, account: "customer-7"})
	config := ca.config(t, "account.test")
	config.EABKeyID, config.EABKeyFile = "customer-7", filepath.Join(t.TempDir(), "eab.key")
	if err := os.WriteFile(config.EABKeyFile, []byte(accountKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, _, _ := manage(t, config, time.Minute)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	eventually(t, l.Addr().String(), "account.test", ca.roots)
}

// A crash between writing the certificate and its key: what is stored does not fit
// together, and is replaced.
func TestBrokenStorage(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	config := ca.config(t, "broken.test", "api.broken.test")
	m, _, stop := manage(t, config, time.Minute)
	closeFront := serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	first := eventually(t, l.Addr().String(), "broken.test", ca.roots)
	kept := eventually(t, l.Addr().String(), "api.broken.test", ca.roots)
	stop()
	keys, err := filepath.Glob(filepath.Join(config.Storage, "certificates", "*", "*", "*.key"))
	if err != nil || len(keys) != 2 {
		t.Fatalf("%v, %v", keys, err)
	}
	replace(t, keys, "/broken.test.key", "/api.broken.test.key")
	closeFront()
	l = again(t, port)
	m, _, _ = manage(t, config, 50*time.Millisecond)
	serve(t, l, &http.Server{TLSConfig: m.TLS(), Handler: http.NotFoundHandler()})
	if cert := eventually(t, l.Addr().String(), "broken.test", ca.roots); cert.Equal(first) {
		t.Error("a certificate is served without its key")
	}
	if cert := eventually(t, l.Addr().String(), "api.broken.test", ca.roots); !cert.Equal(kept) {
		t.Error("the certificate that was whole was replaced")
	}
}

// replace overwrites the file whose name ends with to, by the one with from.
func replace(t *testing.T, files []string, to, from string) {
	t.Helper()
	for _, source := range files {
		if !strings.HasSuffix(source, from) {
			continue
		}
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range files {
			if strings.HasSuffix(target, to) {
				if err := os.WriteFile(target, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
