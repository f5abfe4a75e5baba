package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// Certificate is a certificate from files that may change while it is served, and
// perhaps the authority of the clients' certificates.
type Certificate struct {
	files TLSFiles
	held  atomic.Pointer[tls.Config]
	seen  [3]stamp // only for Refresh
}

// stamp changes when a file does.
type stamp struct {
	size     int64
	modified time.Time
}

// LoadCertificate reads a certificate and its key.
func LoadCertificate(files TLSFiles) (*Certificate, error) {
	c := &Certificate{files: files}
	if _, err := c.Refresh(); err != nil {
		return nil, err
	}
	return c, nil
}

// Refresh reads the files again if they have changed, and reports whether they
// had. If something is wrong with them, what is served stays: a pair that is half
// written must not end the service. One goroutine at a time may call it.
func (c *Certificate) Refresh() (changed bool, err error) {
	var now [3]stamp
	for i, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return false, fmt.Errorf("gateway: certificate: %w", err)
		}
		now[i] = stamp{info.Size(), info.ModTime()}
	}
	if now == c.seen && c.held.Load() != nil {
		return false, nil
	}
	config, err := c.load()
	if err != nil {
		return false, err
	}
	c.held.Store(config)
	c.seen = now
	return true, nil
}

func (c *Certificate) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("gateway: certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: protocols()}
	if c.files.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("gateway: client_ca: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("gateway: client_ca %s: %w: there is no certificate in it", c.files.ClientCA, banyan.ErrInvalid)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	// A resumed session would not look at a certificate, or at a new authority,
	// again (CVE-2025-68121).
	config.SessionTicketsDisabled = true
	return config, nil
}

// Config returns a TLS configuration that serves what the files held last: TLS 1.2
// or later, with the cipher suites of crypto/tls.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.held.Load(), nil },
	}
}

// protocols that the front door speaks over TLS.
func protocols() []string { return []string{"h2", "http/1.1"} }
