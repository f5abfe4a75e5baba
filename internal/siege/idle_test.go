package siege_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/long"
)

// certificate writes one for localhost and returns the files, and who trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	folder := t.TempDir()
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, pool
}

// crowd are clients that have asked once and keep their connections.
type crowd struct {
	address string
	tls     *tls.Config // nil: none
	mu      sync.Mutex
	conns   []net.Conn // guarded by mu
	wrong   faults
}

// join connects n more clients, each of which asks once.
func (c *crowd) join(n int) {
	var clients sync.WaitGroup
	for i := range 16 {
		clients.Go(func() {
			for j := i; j < n; j += 16 {
				conn, err := c.one()
				if err != nil {
					c.wrong.add(err.Error())
					return
				}
				c.mu.Lock()
				c.conns = append(c.conns, conn)
				c.mu.Unlock()
			}
		})
	}
	clients.Wait()
}

func (c *crowd) one() (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		return nil, err
	}
	if c.tls != nil {
		conn = tls.Client(conn, c.tls)
	}
	return conn, askOn(conn)
}

// askOn asks for something small.
func askOn(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "POST /some/path HTTP/1.1\r\nHost: x\r\nUser-Agent: siege\r\nAccept: */*\r\nContent-Length: 5\r\n\r\nhello"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(text) != 1000) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, len(text))
	}
	return err
}

// leave closes all connections.
func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Idle connections cost little memory, and all of them still work.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	n := long.Size(200, 10_000)
	thousand := make([]byte, 1000)
	url := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(thousand)
	})
	cert, key, pool := certificate(t)
	for _, c := range []struct {
		name, tls string
		client    *tls.Config
		most      int64 // bytes for each
	}{
		{"plain", "", nil, 32 << 10},
		{"TLS", fmt.Sprintf("tls: {cert: '%s', key: '%s'}\n", cert, key), &tls.Config{RootCAs: pool, ServerName: "localhost"}, 64 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, write(t, "listen: 127.0.0.1:0\nadmin: none\naccess_log: false\n"+c.tls+"upstreams: {u: '"+url+"'}\nroutes: [{match: /, to: u}]\n"))
			crowd := &crowd{address: p.addr, tls: c.client}
			defer crowd.leave()
			crowd.join(32) // what the first ones cost is not the others'
			before, _ := p.memory(t)
			crowd.join(n)
			after, peak := p.memory(t)
			each := (after - before) / int64(n)
			if each > c.most && long.Long() {
				t.Errorf("each idle connection takes %d bytes, want at most %d", each, c.most)
			}
			for _, conn := range crowd.conns {
				if err := askOn(conn); err != nil {
					crowd.wrong.add(err.Error())
				}
			}
			lost := crowd.wrong.report(t, "connections were lost")
			long.Report(t, "R33", "%d idle connections, %s: %d bytes each (of %d allowed), the process %d MB, at most %d MB; %d lost", len(crowd.conns), c.name, each, c.most, after>>20, peak>>20, lost)
		})
	}
}
