package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
	if config.ClientCAs, err = authorities(text); err != nil {
		return nil, fmt.Errorf("gateway: client_ca %s: %w: %w", c.files.ClientCA, banyan.ErrInvalid, err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	// A resumed session would not look at a certificate, or at a new authority,
	// again (CVE-2025-68121).
	config.SessionTicketsDisabled = true
	return config, nil
}

// authorities reads certificates from PEM, all of them or none: with a part, as of
// a file that is half written, the clients of the others would be kept out.
// (AppendCertsFromPEM leaves out in silence what it cannot read.)
func authorities(text []byte) (*x509.CertPool, error) {
	pool, want, found := x509.NewCertPool(), bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----")), 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", found+1, err)
		}
		pool.AddCert(cert)
		found++
	}
	switch {
	case want == 0:
		return nil, errors.New("there is no certificate in it")
	case found != want:
		return nil, fmt.Errorf("of %d certificates only %d can be read", want, found)
	}
	return pool, nil
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
