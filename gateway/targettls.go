package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/banyanhq/banyan"
)

// TargetTLS is how targets with https:// are spoken to.
type TargetTLS struct {
	// CA has issued the certificates of the targets, as PEM; default: the
	// authorities that the machine trusts.
	CA string `yaml:"ca"`
	// Cert and Key are shown to the targets, as PEM. They are read for each
	// connection, so that they may be renewed. Default: none.
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// Name is the name in the certificates of the targets; default: that of the
	// URL.
	Name string `yaml:"name"`
}

// config reads the files, so that what is wrong with them is known at once. t may
// be nil.
func (t *TargetTLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return c, nil
	}
	c.ServerName = t.Name
	if (t.Cert == "") != (t.Key == "") {
		return nil, fmt.Errorf("tls: %w: both cert and key are needed", banyan.ErrInvalid)
	}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("tls: ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls: ca %s: %w: there is no certificate in it", t.CA, banyan.ErrInvalid)
		}
	}
	if t.Cert == "" {
		return c, nil
	}
	if _, err := t.certificate(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = t.certificate
	return c, nil
}

// certificate reads what is shown to a target.
func (t *TargetTLS) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: certificate %s with key %s: %w", t.Cert, t.Key, err)
	}
	return &pair, nil
}
