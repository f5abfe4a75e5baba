package auth

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// CertificateOptions are the options of Certificates.
type CertificateOptions struct {
	// TrustDomains accepts every SPIFFE id of these trust domains, besides the
	// names that are listed. Default: none.
	TrustDomains []string
	// Revoked is asked at every request, also on connections that were opened
	// before the certificate was revoked; it must not block. Default: none is.
	Revoked func(leaf *x509.Certificate) bool
	// Scopes that every certificate grants. Default: none.
	Scopes []string
}

// Certificates identifies clients by their TLS certificate, which the listener
// must have verified (tls.VerifyClientCertIfGiven or RequireAndVerifyClientCert).
type Certificates struct {
	names   map[string]bool // SPIFFE ids and small-letter DNS names
	domains map[string]bool
	opts    CertificateOptions
	scopes  Scopes
}

// NewCertificates allows the clients whose certificate names one of these, which
// are SPIFFE ids ("spiffe://prod.example/ns/shop/sa/orders") or DNS names
// ("orders.internal"). Names are compared whole: one that begins like an allowed
// one is another, and wildcards in a certificate match nothing.
func NewCertificates(names []string, o *CertificateOptions) (*Certificates, error) {
	c := &Certificates{names: map[string]bool{}, domains: map[string]bool{}}
	if o != nil {
		c.opts = *o
	}
	if err := c.fill(names); err != nil {
		return nil, fmt.Errorf("auth: new certificates: %w: %w", banyan.ErrInvalid, err)
	}
	return c, nil
}

func (c *Certificates) fill(names []string) error {
	for _, name := range names {
		switch {
		case strings.Contains(name, "://"):
			u, err := url.Parse(name)
			if err != nil {
				return fmt.Errorf("%q is no SPIFFE id", name)
			}
			if id, _, ok := spiffe(u); !ok || id != name {
				return fmt.Errorf("%q is no SPIFFE id", name)
			}
			c.names[name] = true
		case dnsName(name):
			c.names[strings.ToLower(name)] = true
		default:
			return fmt.Errorf("%q is neither a SPIFFE id nor a DNS name", name)
		}
	}
	for _, domain := range c.opts.TrustDomains {
		if !trustDomain(domain) {
			return fmt.Errorf("%q is no trust domain", domain)
		}
		c.domains[domain] = true
	}
	if len(c.names) == 0 && len(c.domains) == 0 {
		return errors.New("nobody is allowed")
	}
	var ok bool
	if c.scopes, ok = scopesOf(c.opts.Scopes); !ok {
		return errors.New("a scope has a character that no scope may have")
	}
	return nil
}

// Carrier implements Authenticator.
func (c *Certificates) Carrier() Carrier {
	return Carrier{Method: MethodCertificate, Challenge: schemeCertificate}
}

// Present implements Authenticator.
func (c *Certificates) Present(r *http.Request) bool {
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// Authenticate implements Authenticator. A certificate that was not verified is
// refused with 401, one that names nobody who is allowed with 403.
func (c *Certificates) Authenticate(r *http.Request) (Identity, error) {
	// VerifiedChains is empty where the listener asked for certificates and did
	// not verify them: such a certificate is only a claim.
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return Identity{}, refuse(MethodCertificate, ReasonUnverified)
	}
	leaf := r.TLS.VerifiedChains[0][0]
	now := time.Now() // connections and resumed sessions outlive certificates
	switch {
	case now.After(leaf.NotAfter):
		return Identity{}, refuse(MethodCertificate, ReasonExpired)
	case now.Before(leaf.NotBefore):
		return Identity{}, refuse(MethodCertificate, ReasonEarly)
	case leaf.IsCA:
		return Identity{}, forbid(MethodCertificate, ReasonName)
	case c.opts.Revoked != nil && c.opts.Revoked(leaf):
		return Identity{}, refuse(MethodCertificate, ReasonRevoked)
	}
	subject, domain, ok := c.name(leaf)
	if !ok {
		return Identity{}, forbid(MethodCertificate, ReasonName)
	}
	return Identity{
		Method: MethodCertificate, Subject: subject, Issuer: domain, Scopes: c.scopes, Expires: leaf.NotAfter,
	}, nil
}

// name returns whom the certificate names. One with a URI is a SPIFFE document,
// which has exactly one (X509-SVID §2), and its DNS names mean nothing. One with
// DNS names must name one that is allowed, and not two.
func (c *Certificates) name(leaf *x509.Certificate) (subject, domain string, ok bool) {
	if len(leaf.URIs) > 0 {
		id, domain, ok := spiffe(leaf.URIs[0])
		return id, domain, ok && len(leaf.URIs) == 1 && (c.names[id] || c.domains[domain])
	}
	for _, dns := range leaf.DNSNames {
		dns = strings.ToLower(dns)
		if !c.names[dns] || dns == subject {
			continue
		}
		if subject != "" {
			return "", "", false
		}
		subject = dns
	}
	return subject, "", subject != ""
}

// spiffe returns the SPIFFE id and its trust domain (SPIFFE-ID §2). The characters
// it may have need no escapes, so there is one spelling of each.
func spiffe(u *url.URL) (id, domain string, ok bool) {
	if u.Scheme != "spiffe" || u.User != nil || u.Opaque != "" || u.RawPath != "" || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "" || u.RawFragment != "" || !trustDomain(u.Host) || !strings.HasPrefix(u.Path, "/") {
		return "", "", false
	}
	for segment := range strings.SplitSeq(u.Path[1:], "/") {
		if segment == "" || segment == "." || segment == ".." || !only(segment, true) {
			return "", "", false
		}
	}
	id = "spiffe://" + u.Host + u.Path
	return id, u.Host, len(id) <= 2048
}

func trustDomain(s string) bool { return s != "" && len(s) <= 255 && only(s, false) }

// only letters, digits, dot, hyphen and underscore; capitals on demand.
func only(s string, capitals bool) bool {
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_' || capitals && 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

func dnsName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || !only(label, true) || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// Interface guard.
var _ Authenticator = (*Certificates)(nil)
