package browser

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// Config of a Policy. The zero value does nothing.
type Config struct {
	// CORS lets pages of other origins read answers. Default: the handler decides.
	CORS *CORS `yaml:"cors"`
	// Security sets security headers. Default: none.
	Security *Security `yaml:"security"`
	// CrossSite refuses requests that another site makes a browser send. Default:
	// they pass.
	CrossSite *CrossSite `yaml:"cross_site"`
	// CDN says what a CDN in front is told. Default: what the handler says passes.
	CDN *CDN `yaml:"cdn"`
	// Secure reports whether the client uses TLS, where another server ends it.
	// Default: http.Request.TLS is set.
	Secure func(*http.Request) bool `yaml:"-"`
}

// CORS says which pages may read answers.
type CORS struct {
	// Origins are such as "https://shop.example", "https://*.shop.example",
	// "null", or "*" alone for every one.
	Origins []string `yaml:"origins"`
	// Methods that pages may use. Default: GET, HEAD, POST.
	Methods []string `yaml:"methods"`
	// Headers that pages may send beside those that are always allowed; "*" is
	// any. Default: none.
	Headers []string `yaml:"headers"`
	// Expose are headers of answers that pages may read beside those that they
	// always may. Default: none.
	Expose []string `yaml:"expose"`
	// Credentials lets pages send cookies and read what they get for them.
	Credentials bool `yaml:"credentials"`
	// MaxAge is how long a browser remembers the answer to a preflight, in whole
	// seconds. Default: 10 min. Browsers have a limit of their own, of 2 h or more.
	MaxAge time.Duration `yaml:"max_age"`
	// PrivateNetwork lets public pages reach this server although its address is
	// private (Access-Control-Request-Private-Network).
	PrivateNetwork bool `yaml:"private_network"`
	// Refuse answers requests of other origins 403 whose method is not GET, HEAD
	// or OPTIONS. Such a request that is of the same origin passes.
	Refuse bool `yaml:"refuse"`
}

// Security are security headers: the value, or "off".
type Security struct {
	// StrictTransport is Strict-Transport-Security; default "max-age=31536000".
	StrictTransport string `yaml:"strict_transport"`
	// ContentTypeOptions is X-Content-Type-Options; default "nosniff".
	ContentTypeOptions string `yaml:"content_type_options"`
	// ReferrerPolicy is Referrer-Policy; default "strict-origin-when-cross-origin".
	ReferrerPolicy string `yaml:"referrer_policy"`
	// FrameOptions is X-Frame-Options; default "SAMEORIGIN". Browsers that know
	// frame-ancestors in ContentPolicy obey that instead.
	FrameOptions string `yaml:"frame_options"`
	// ContentPolicy is Content-Security-Policy; default: off, because it depends on
	// the pages.
	ContentPolicy string `yaml:"content_policy"`
	// Permissions is Permissions-Policy; default: off.
	Permissions string `yaml:"permissions"`
	// OpenerPolicy is Cross-Origin-Opener-Policy; default: off, because "same-origin"
	// breaks sign-in windows.
	OpenerPolicy string `yaml:"opener_policy"`
	// ResourcePolicy is Cross-Origin-Resource-Policy; default: off, because
	// "same-origin" breaks images that other sites show.
	ResourcePolicy string `yaml:"resource_policy"`
	// Replace takes these values also where the handler has its own.
	Replace bool `yaml:"replace"`
}

// CrossSite says whose requests are not cross-site.
type CrossSite struct {
	// Trusted are origins beside the server's own, as in CORS.Origins but without
	// "*" and "null".
	Trusted []string `yaml:"trusted"`
	// Always checks requests without cookies too: for servers that know browsers
	// by a client certificate, by Basic authentication, or by where they are.
	Always bool `yaml:"always"`
}

// CDN says what stands between the server and its clients.
type CDN struct {
	// Networks of the CDN, as CIDRs: who connects from there gets the fields that
	// are for it. Default: nobody.
	Networks []string `yaml:"networks"`
	// CacheControl is for answers to GET and HEAD that say nothing themselves
	// (Cache-Control, Expires or Pragma), of the statuses 200, 203, 301, 308, 404
	// and 410. Default: none.
	CacheControl string `yaml:"cache_control"`
	// CDNCacheControl is CDN-Cache-Control (RFC 9213) for the same answers, if they
	// have neither that nor Surrogate-Control. The CDN obeys it, clients obey
	// CacheControl. Default: none.
	CDNCacheControl string `yaml:"cdn_cache_control"`
	// Keys are added to Surrogate-Key, by which the CDN purges. Default: none.
	Keys []string `yaml:"keys"`
	// Replace takes CacheControl also where the handler has its own, unless that
	// says private, no-store or no-cache.
	Replace bool `yaml:"replace"`
}

const off = "off"

// mistakes collects what is wrong.
type mistakes []string

func (m *mistakes) add(format string, args ...any) { *m = append(*m, fmt.Sprintf(format, args...)) }

// Check reports every mistake.
func (c *Config) Check() error {
	var found mistakes
	c.CORS.check(&found)
	c.Security.check(&found)
	if c.CrossSite != nil {
		for _, o := range c.CrossSite.Trusted {
			if _, err := parseOrigin(o); err != nil {
				found.add("cross_site.trusted: %v", err)
			}
		}
	}
	c.CDN.check(&found)
	if len(found) > 0 {
		return fmt.Errorf("browser: config: %w: %s", banyan.ErrInvalid, strings.Join(found, "; "))
	}
	return nil
}

func (c *CORS) check(found *mistakes) {
	if c == nil {
		return
	}
	if len(c.Origins) == 0 {
		found.add("cors.origins: there is none")
	}
	for _, o := range c.Origins {
		switch o {
		case "null":
		case "*":
			if c.Credentials {
				found.add("cors.origins: * cannot stand with credentials, or every site could act for every user")
			}
			if len(c.Origins) > 1 {
				found.add("cors.origins: beside * other origins say nothing")
			}
		default:
			if _, err := parseOrigin(o); err != nil {
				found.add("cors.origins: %v", err)
			}
		}
	}
	for name, list := range map[string][]string{"methods": c.Methods, "headers": c.Headers, "expose": c.Expose} {
		for _, item := range list {
			if !http1.IsToken(item) || item == "*" && name != "headers" {
				found.add("cors.%s: %q is not a name", name, item)
			}
		}
	}
	if c.MaxAge < 0 || c.MaxAge%time.Second != 0 {
		found.add("cors.max_age: %v is not a number of whole seconds", c.MaxAge)
	}
}

func (s *Security) check(found *mistakes) {
	if s == nil {
		return
	}
	for _, f := range s.fields() {
		if !http1.IsFieldValue(f.value) {
			found.add("security: the value of %s has a control character, or a space at an end", f.name)
		}
	}
	if v := s.StrictTransport; v != "" && v != off && !strings.Contains(strings.ToLower(v), "max-age=") {
		found.add("security.strict_transport: %q has no max-age (RFC 6797 §6.1.1)", v)
	}
}

func (c *CDN) check(found *mistakes) {
	if c == nil {
		return
	}
	for _, n := range c.Networks {
		if _, err := netip.ParsePrefix(n); err != nil {
			found.add("cdn.networks: %q is not a network; want something like 10.0.0.0/8", n)
		}
	}
	if !http1.IsFieldValue(c.CacheControl) || !http1.IsFieldValue(c.CDNCacheControl) {
		found.add("cdn: a value has a control character, or a space at an end")
	}
	for _, k := range c.Keys {
		if !http1.IsFieldValue(k) || k == "" || strings.ContainsAny(k, " \t") {
			found.add("cdn.keys: %q is not a key", k)
		}
	}
	if c.Replace && c.CacheControl == "" {
		found.add("cdn.replace: there is no cache_control")
	}
}
