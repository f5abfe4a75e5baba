package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Certificate is a certificate from files that may change while it is served.
type Certificate struct {
	files TLSFiles
	held  atomic.Pointer[tls.Certificate]
	seen  [2]stamp // only for Refresh
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
// had. If something is wrong with them, the certificate that is served stays: a
// pair that is half written must not end the service. One goroutine at a time may
// call it.
func (c *Certificate) Refresh() (changed bool, err error) {
	var now [2]stamp
	for i, name := range []string{c.files.Cert, c.files.Key} {
		info, err := os.Stat(name)
		if err != nil {
			return false, fmt.Errorf("gateway: certificate: %w", err)
		}
		now[i] = stamp{info.Size(), info.ModTime()}
	}
	if now == c.seen && c.held.Load() != nil {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return false, fmt.Errorf("gateway: certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	c.held.Store(&pair)
	c.seen = now
	return true, nil
}

// Config returns a TLS configuration that serves the certificate: TLS 1.2 or
// later, with the cipher suites of crypto/tls.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.held.Load(), nil },
	}
}
