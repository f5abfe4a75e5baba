package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"github.com/banyanhq/banyan"
)

const (
	// checkEvery is how often certificates are looked at.
	checkEvery = 10 * time.Minute
	// writingTakes is how long another process may take to write a certificate and
	// its key.
	writingTakes = 10 * time.Second
	// loadWait is how long a handshake waits for the storage to be read.
	loadWait = 5 * time.Second
	// sayEvery is how often the log tells of a name without a certificate.
	sayEvery = time.Minute
)

// Manager gets certificates and serves them. Make one with New, and Run it.
type Manager struct {
	config Config
	names  map[string]bool // canonical
	roots  *x509.CertPool  // nil: the system's
	eab    *acme.EAB       // nil: none
	log    *slog.Logger

	every, writing time.Duration // checkEvery, writingTakes

	running atomic.Bool
	service atomic.Pointer[service] // of the last Run
	loaded  chan struct{}           // closed when there is a service
	once    sync.Once               // closes loaded

	mu     sync.Mutex           // guards the fields below
	said   map[string]time.Time // when the log told of a name
	failed map[string]error     // the last of each name
}

// service is what runs.
type service struct {
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// New reads the files that a configuration names and makes the storage's folder. A
// nil log discards.
func New(c *Config, log *slog.Logger) (*Manager, error) {
	m := &Manager{
		names: map[string]bool{}, every: checkEvery, writing: writingTakes, log: log, loaded: make(chan struct{}),
		said: map[string]time.Time{}, failed: map[string]error{},
	}
	if c != nil {
		m.config = *c
	}
	if log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if found := m.config.Check(); len(found) > 0 {
		return nil, fmt.Errorf("acme: new: %w: %s: %s", banyan.ErrInvalid, found[0].Path, found[0].Text)
	}
	m.config.defaults()
	if err := m.open(); err != nil {
		return nil, fmt.Errorf("acme: new: %w", err)
	}
	return m, nil
}

func (m *Manager) open() error {
	m.config.Domains = append([]string(nil), m.config.Domains...)
	for i, d := range m.config.Domains {
		m.config.Domains[i] = canonical(d)
		m.names[canonical(d)] = true
	}
	if err := os.MkdirAll(m.config.Storage, 0o700); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	if info, err := os.Stat(m.config.Storage); err == nil && info.Mode().Perm()&0o077 != 0 {
		m.log.Warn("acme: the storage's folder is open to others than its owner; the keys in it are not", "folder", m.config.Storage, "mode", info.Mode().Perm().String())
	}
	if m.config.CARoot != "" {
		text, err := os.ReadFile(m.config.CARoot)
		if err != nil {
			return fmt.Errorf("ca_root: %w", err)
		}
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("ca_root %s: %w: there is no certificate in it", m.config.CARoot, banyan.ErrInvalid)
		}
	}
	if m.config.EABKeyFile != "" {
		text, err := os.ReadFile(m.config.EABKeyFile)
		if err != nil {
			return fmt.Errorf("eab_key_file: %w", err)
		}
		key := strings.TrimRight(strings.TrimSpace(string(text)), "=")
		if key == "" || strings.ContainsFunc(key, notBase64URL) {
			return fmt.Errorf("eab_key_file %s: %w: want the key in base64url", m.config.EABKeyFile, banyan.ErrInvalid)
		}
		m.eab = &acme.EAB{KeyID: m.config.EABKeyID, MACKey: key}
	}
	return nil
}

func notBase64URL(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
}

// TLS returns a configuration that serves the certificates: TLS 1.2 or later, for
// HTTP/2, HTTP/1.1 and the challenges of TLS-ALPN-01.
func (m *Manager) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// A client that takes HTTP never gets acme-tls/1: ours is the order that counts.
		NextProtos:     []string{"h2", "http/1.1", "acme-tls/1"},
		GetCertificate: m.certificate,
	}
}

func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := canonical(hello.ServerName)
	if name != "" && !m.names[name] {
		// Quietly: anybody can cause it.
		return nil, fmt.Errorf("acme: no certificate for %q: it is not in domains", name)
	}
	if name == "" {
		name = m.config.Domains[0]
	}
	s, err := m.ready(hello)
	if err != nil {
		return nil, err
	}
	cert, err := s.magic.GetCertificate(hello)
	if err != nil {
		return nil, m.missing(name, err)
	}
	return cert, nil
}

// ready waits until the storage was read.
func (m *Manager) ready(hello *tls.ClientHelloInfo) (*service, error) {
	if s := m.service.Load(); s != nil {
		return s, nil
	}
	timer := time.NewTimer(loadWait)
	defer timer.Stop()
	select {
	case <-m.loaded:
		return m.service.Load(), nil
	case <-hello.Context().Done():
		return nil, fmt.Errorf("acme: the certificates are not loaded yet: %w", hello.Context().Err())
	case <-timer.C:
		return nil, fmt.Errorf("acme: %w: the certificates are not loaded yet", banyan.ErrUnavailable)
	}
}

// missing tells of a name of ours for which there is nothing to serve.
func (m *Manager) missing(name string, err error) error {
	m.mu.Lock()
	why, quiet := m.failed[name], time.Since(m.said[name]) < sayEvery
	if !quiet {
		m.said[name] = time.Now()
	}
	m.mu.Unlock()
	if why == nil {
		why = err
	}
	if !quiet {
		m.log.Warn("acme: handshakes fail: there is no certificate yet", "domain", name, "last_error", why.Error())
	}
	return fmt.Errorf("acme: there is no certificate for %s yet: %w", name, err)
}

// HTTPChallenge answers the challenges of HTTP-01 for our names and gives all other
// requests to next; a nil next answers 404.
func (m *Manager) HTTPChallenge(next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := m.service.Load()
		// The name first: what others ask for should not read from the storage.
		if s != nil && certmagic.LooksLikeHTTPChallenge(r) && m.names[canonical(host(r))] && s.issuer.HandleHTTPChallenge(w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

func host(r *http.Request) string {
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		return name
	}
	return r.Host
}
