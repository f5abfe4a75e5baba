package acme

import (
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"strings"
)

// Config says what to get, and from whom.
type Config struct {
	// Domains are the names to get certificates for, in ASCII ("xn--" for others).
	// Clients that send no name get the first one's.
	Domains []string `yaml:"domains"`
	// Email is where the authority writes when something is wrong. Default: none.
	Email string `yaml:"email"`
	// Directory is the URL of the authority. Default: Let's Encrypt.
	Directory string `yaml:"directory"`
	// Storage is the folder for keys and certificates. Default: ./acme.
	Storage string `yaml:"storage"`
	// CARoot is a file with the certificates, in PEM, that the authority's own
	// HTTPS is checked with. Default: those of the system.
	CARoot string `yaml:"ca_root"`
	// EABKeyID is the name of the account with an authority that wants to know its
	// customers (external account binding, RFC 8555 §7.3.4), and EABKeyFile a file
	// with the key to it in base64url. Default: none.
	EABKeyID   string `yaml:"eab_key_id"`
	EABKeyFile string `yaml:"eab_key_file"`
}

const (
	letsEncrypt    = "https://acme-v02.api.letsencrypt.org/directory"
	defaultStorage = "./acme"
)

func (c *Config) defaults() {
	if c.Directory == "" {
		c.Directory = letsEncrypt
	}
	if c.Storage == "" {
		c.Storage = defaultStorage
	}
}

// Mistake is one thing that is wrong with a Config.
type Mistake struct {
	// Path is where, such as "domains[2]".
	Path string
	// Text is what is wrong, and what to do.
	Text string
}

type mistakes []Mistake

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, Mistake{Path: path, Text: fmt.Sprintf(format, args...)})
}

// Check returns everything that is wrong with a configuration. It reads no files.
func (c *Config) Check() []Mistake {
	var found mistakes
	if len(c.Domains) == 0 {
		found.add("domains", "there is none; name what certificates are for")
	}
	seen := map[string]bool{}
	for i, d := range c.Domains {
		path := fmt.Sprintf("domains[%d]", i)
		if text := wrong(d); text != "" {
			found.add(path, "%q %s", d, text)
		} else if seen[canonical(d)] {
			found.add(path, "%q is there twice", d)
		}
		seen[canonical(d)] = true
	}
	if c.Email != "" {
		if a, err := mail.ParseAddress(c.Email); err != nil || a.Address != c.Email {
			found.add("email", "%q is no address such as ops@example.com", c.Email)
		}
	}
	c.checkAuthority(&found)
	return found
}

func (c *Config) checkAuthority(found *mistakes) {
	if c.Directory != "" {
		u, err := url.Parse(c.Directory)
		// The text is not repeated: it may hold a password. HTTPS: RFC 8555 §6.1.
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
			found.add("directory", "want the authority's URL, https://host/path without a user")
		}
	}
	switch {
	case c.EABKeyID != "" && c.EABKeyFile == "":
		found.add("eab_key_file", "eab_key_id needs it: the file with the key")
	case c.EABKeyID == "" && c.EABKeyFile != "":
		found.add("eab_key_id", "eab_key_file needs it: the name of the key")
	}
}

// wrong says what is wrong with a domain (RFC 1123 §2.1, RFC 1035 §2.3.4).
func wrong(domain string) string {
	if _, err := netip.ParseAddr(domain); err == nil {
		return "is an address; certificates are for names"
	}
	if strings.Contains(domain, "*") {
		return "is a wildcard, which needs the DNS challenge; name each domain"
	}
	name := canonical(domain)
	last := name[strings.LastIndex(name, ".")+1:]
	if last != "" && strings.Trim(last, "0123456789") == "" { // RFC 1123 §2.1
		return "ends with a number, as only addresses do"
	}
	if len(name) == 0 || len(name) > 253 {
		return "is not a domain of 1 to 253 characters"
	}
	for label := range strings.SplitSeq(name, ".") {
		letters := strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
		if label == "" || len(label) > 63 || !letters || label[0] == '-' || label[len(label)-1] == '-' {
			return `is not a domain; want letters, digits and "-", without scheme, port and path, and "xn--" for other letters`
		}
	}
	return ""
}

// canonical is how names are compared: RFC 4343, without the root's dot.
func canonical(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }
