package wscases_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take: it shows what hangs.
const patience = 30 * time.Second

// road is a way from a client to the server.
type road struct {
	name    string
	address string
	tls     *tls.Config // nil: in the clear
}

// roads serves something, and returns the ways to it: the first one is the direct
// one.
func roads(t *testing.T, serve func(net.Listener)) []road {
	t.Helper()
	id := newIdentity(t)
	server := &tls.Config{Certificates: []tls.Certificate{id.certificate}}
	clear, secure := listen(t), listen(t)
	var serving sync.WaitGroup
	serving.Go(func() { serve(clear) })
	serving.Go(func() { serve(tls.NewListener(secure, server)) })
	t.Cleanup(func() {
		_, _ = clear.Close(), secure.Close()
		serving.Wait()
	})
	plain := open(t, &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://" + clear.Addr().String()}}},
		Routes:    []gateway.Route{{Match: "/", To: "u"}},
	})
	guarded := open(t, &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"https://" + secure.Addr().String()}, TLS: &gateway.TargetTLS{CA: id.file}, Breaker: &gateway.Breaker{}}},
		Routes:    []gateway.Route{{Match: "/", To: "u", Retry: &gateway.Retry{}}},
	})
	client := &tls.Config{RootCAs: id.pool, ServerName: "localhost"}
	return []road{
		{name: "direct", address: clear.Addr().String()},
		{name: "gateway", address: front(t, plain, nil)},
		{name: "gateway with TLS", address: front(t, plain, server), tls: client},
		{name: "gateway with TLS both ways and policies", address: front(t, guarded, server), tls: client},
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func open(t *testing.T, c *gateway.Config) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// front serves a handler as the binary does.
func front(t *testing.T, h http.Handler, c *tls.Config) string {
	t.Helper()
	f, err := gateway.NewFront(h, &gateway.FrontOptions{TLS: c, Drain: patience})
	if err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return l.Addr().String()
}

// dial connects. The connection has a deadline, and is closed at the end.
func (r road) dial(t *testing.T) connection {
	t.Helper()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if r.tls == nil {
		return connection{conn.(halfCloser), conn.(*net.TCPConn)}
	}
	secure := tls.Client(conn, r.tls)
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return connection{secure, conn.(*net.TCPConn)}
}

// connection is one of a client, and what is below its TLS.
type connection struct {
	halfCloser
	tcp *net.TCPConn
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// abort resets the connection.
func (c connection) abort() {
	_ = c.tcp.SetLinger(0)
	_ = c.tcp.Close()
}

// handled serves with a handler.
func handled(t *testing.T, h http.Handler) []road {
	t.Helper()
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience, ErrorLog: log.New(t.Output(), "", 0)}
	t.Cleanup(func() { _ = s.Close() })
	return roads(t, func(l net.Listener) { _ = s.Serve(l) })
}

// identity is a certificate for localhost, and who trusts it.
type identity struct {
	certificate tls.Certificate
	pool        *x509.CertPool
	file        string
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	id := identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, x509.NewCertPool(), filepath.Join(t.TempDir(), "ca.pem")}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	id.pool.AppendCertsFromPEM(block)
	if err := os.WriteFile(id.file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return id
}
