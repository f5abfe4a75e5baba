package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/gateway/acme"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(otherGateway); text != "" {
		os.Exit(beOther(text))
	}
	// Pebble takes these from the environment only: no random pauses, no random
	// refusals.
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	_ = os.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"),        // has no end
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"), // one for each account, for the life of the process
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),             // sees within 5 s that its lock is gone
	)
}

// authority is Pebble, the small ACME server of Let's Encrypt, on loopback.
type authority struct {
	server *httptest.Server
	orders atomic.Int64
	down   atomic.Bool    // answers 503
	file   string         // its HTTPS certificate
	roots  *x509.CertPool // of what it issues
}

// options of an authority: where its challenges go, and what it issues.
type options struct {
	httpPort, tlsPort int
	valid             time.Duration
	account           string // name of the account that it wants; its key is "bG9uZy1lbm91Z2gta2V5LWZvci1hLW1hYy0zMi1ieXRlcw"
}

const accountKey = "bG9uZy1lbm91Z2gta2V5LWZvci1hLW1hYy0zMi1ieXRlcw"

func startAuthority(t *testing.T, o options) *authority {
	t.Helper()
	if o.valid == 0 {
		o.valid = 90 * 24 * time.Hour
	}
	a := &authority{roots: x509.NewCertPool(), file: filepath.Join(t.TempDir(), "root.pem")}
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	if o.account != "" {
		if err := store.AddExternalAccountKeyByID(o.account, accountKey); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(o.valid.Seconds())}})
	validator := va.New(quiet, o.httpPort, o.tlsPort, true, names(t), store)
	front := wfe.New(quiet, store, validator, issuer, []string{"ca.test"}, true, o.account != "", 1, 1)
	handler := front.Handler()
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == "/order-plz" {
			a.orders.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	a.server.Config.ErrorLog = quiet
	a.server.StartTLS()
	t.Cleanup(a.server.Close)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})
	if err := os.WriteFile(a.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(issuer.GetRootCert(0).DER)
	if err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(root)
	return a
}

// names starts a DNS server in which every name is 127.0.0.1.
func names(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		var m dns.Msg
		m.SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(&m)
	})}
	done := make(chan struct{})
	started := make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(done)
		_ = s.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-done
	})
	return l.Addr().String()
}

// config is one for an authority, with a storage of the test's own. Tests that run
// at the same time need different domains: certmagic knows the challenges of a
// process by their names.
func (a *authority) config(t *testing.T, domains ...string) *acme.Config {
	return &acme.Config{
		Domains: domains, Email: "ops@shop.test", Directory: a.server.URL + "/dir",
		Storage: filepath.Join(t.TempDir(), "acme"), CARoot: a.file,
	}
}

// journal is a log that can be read.
type journal struct{ gatetest.Log }

func (j *journal) count(text string) int { return j.Count(text) }

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// manage returns a manager that runs until stop is called, or the test ends.
func manage(t *testing.T, c *acme.Config, every time.Duration) (m *acme.Manager, log *journal, stop func()) {
	t.Helper()
	log = &journal{}
	m, err := acme.New(c, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	acme.Hasten(m, every)
	return m, log, run(t, m, log)
}

func run(t *testing.T, m *acme.Manager, log *journal) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	t.Cleanup(stop)
	return stop
}

// listener is one for a front door whose port is known before its manager is.
func listener(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// again is a listener at a port that was used before.
func again(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// serve serves handshakes, or plain HTTP, until it is stopped or the test ends.
func serve(t *testing.T, l net.Listener, s *http.Server) (stop func()) {
	t.Helper()
	s.ErrorLog = log.New(io.Discard, "", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.TLSConfig != nil {
			_ = s.ServeTLS(l, "", "")
			return
		}
		_ = s.Serve(l)
	}()
	stop = sync.OnceFunc(func() {
		_ = s.Close()
		<-done
	})
	t.Cleanup(stop)
	return stop
}

// shake makes one handshake, and returns the certificate.
func shake(addr, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	// A client that sends no name checks the one that it gets.
	config := &tls.Config{ServerName: name, RootCAs: roots}
	if name == "" {
		config = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a test's
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // a test's
	return conn.ConnectionState().PeerCertificates[0], nil
}

// eventually makes handshakes until one succeeds.
func eventually(t *testing.T, addr, name string, roots *x509.CertPool) *x509.Certificate {
	t.Helper()
	end := time.Now().Add(60 * time.Second)
	for {
		cert, err := shake(addr, name, roots)
		if err == nil {
			return cert
		}
		if time.Now().After(end) {
			t.Fatalf("no certificate for %s: %v", name, err)
		}
		<-time.After(20 * time.Millisecond)
	}
}
