package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/gateway/compose"
	"github.com/banyanhq/banyan/gateway/compress"
	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/http1"
)

// Config says what a gateway does. It is what banyan.yaml holds; see Load.
type Config struct {
	// Listen is the address of the front door; default ":8080".
	Listen string `yaml:"listen"`
	// RedirectHTTP is an address, such as ":80", for plain HTTP beside TLS: whoever
	// comes there is sent to the same host and path by https, and challenges of an ACME
	// authority are answered. Clients that name another port than this one, because
	// ports are mapped in between, are sent to 443, the others to the port of Listen.
	// It takes MaxConnections of its own. Default: none.
	RedirectHTTP string `yaml:"redirect_http"`
	// Admin is the address of the admin API; default "127.0.0.1:9901", "none" for
	// none.
	Admin string `yaml:"admin"`
	// AdminToken is a file with the token that requests to the admin API have to
	// bring ("Authorization: Bearer TOKEN"). It is needed when others than this
	// machine can reach it.
	AdminToken string `yaml:"admin_token"`
	// MaxConnections at the front door; more wait. See FrontOptions.
	MaxConnections int `yaml:"max_connections"`
	// TLS, if set, is spoken at the front door.
	TLS TLSFiles `yaml:"tls"`
	// AccessLog writes a line for each request; default true.
	AccessLog *bool `yaml:"access_log"`
	// TrustedProxies, as CIDRs, may say in X-Forwarded-For whom a request comes
	// from, and in X-Forwarded-Proto and -Host how. Nobody else may.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Paths lets unusual paths through.
	Paths PathsConfig `yaml:"paths"`
	// Credentials that routes accept, by name.
	Credentials map[string]Credential `yaml:"credentials"`
	// Cache is what the routes with a cache share.
	Cache CacheConfig `yaml:"cache"`
	// Limits is what the limits of all routes share.
	Limits LimitConfig `yaml:"limits"`
	// Compress and Browser are for the routes that have none of their own.
	Compress *compress.Config `yaml:"compress"`
	Browser  *browser.Config  `yaml:"browser"`
	// Upstreams by name.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// Catalogue, if set, is made of the OpenAPI documents of the upstreams.
	Catalogue *Catalogue `yaml:"catalogue"`
	// Routes, in any order: the most specific wins.
	Routes []Route `yaml:"routes"`
	// Include names other files, perhaps with wildcards, relative to this one:
	// they have upstreams, credentials and routes, such as those of one channel or
	// team.
	Include []string `yaml:"include"`

	file     string            // that it was read from
	warnings []Place           // of the files
	served   []servedCatalogue // routes that serve the catalogue
}

// Files returns the names of the file that it was read from, of those that there
// are now to include, and of the documents that they name.
func (c *Config) Files() []string {
	names := []string{c.file}
	for _, pattern := range c.Include {
		names = append(names, c.matching(pattern)...)
	}
	return slices.Compact(append(names, c.documents()...))
}

// The addresses of a gateway whose configuration names none.
const (
	DefaultListen = ":8080"
	DefaultAdmin  = "127.0.0.1:9901"
)

// TLSFiles are a certificate and its key, as PEM. They are read again when they
// change.
type TLSFiles struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
	// ClientCA issues the certificates of clients, if they may have one: one that
	// it did not issue ends the handshake. Who has to have one the routes say, by
	// their credentials.
	ClientCA string `yaml:"client_ca"`
	// ACME gets certificates from an authority and renews them, instead of Cert and
	// Key. The gateway itself does not: who runs it has to, as the binary does.
	ACME *ACME `yaml:"acme"`
}

// ACME is how certificates are got by RFC 8555; see package acme. The authority's
// challenges come over TLS, and by HTTP where there is Config.RedirectHTTP.
type ACME struct {
	// Domains are the names to get certificates for.
	Domains []string `yaml:"domains"`
	// Email is where the authority writes when something is wrong; default: none.
	Email string `yaml:"email"`
	// Directory is the URL of the authority; default: Let's Encrypt.
	Directory string `yaml:"directory"`
	// Storage is the folder for keys and certificates, which several gateways may
	// share; default ./acme.
	Storage string `yaml:"storage"`
	// CARoot is a file with what the authority's own certificate is checked with;
	// default: those that the machine trusts.
	CARoot string `yaml:"ca_root"`
	// EABKeyID and EABKeyFile are for an authority that wants to know its
	// customers; default: none.
	EABKeyID   string `yaml:"eab_key_id"`
	EABKeyFile string `yaml:"eab_key_file"`
}

// PathsConfig is PathRules in a file.
type PathsConfig struct {
	EncodedSlash bool `yaml:"encoded_slash"`
	Semicolon    bool `yaml:"semicolon"`
	Delimiters   bool `yaml:"delimiters"`
	AnyBytes     bool `yaml:"any_bytes"`
	IgnoreCase   bool `yaml:"ignore_case"`
}

// Upstream is a set of servers that can all answer the same. In a file, a URL
// alone stands for one target.
type Upstream struct {
	// Targets are the servers: http:// or https://, a host, and perhaps a port.
	Targets []string `yaml:"targets"`
	// Protocol that the targets speak: "http1" (the default) or "h2", which gRPC
	// needs.
	Protocol string `yaml:"protocol"`
	// TLS is for targets with https://; default: they are trusted if the machine
	// trusts them, and shown nothing.
	TLS *TargetTLS `yaml:"tls"`
	// Health asks each target whether it is well; default: never. Failing calls
	// count in any case.
	Health Health `yaml:"health"`
	// Sticky names what binds a client to one target as long as it is well:
	// "header NAME", "cookie NAME" (one that the application sets: the gateway sets
	// none) or "client" (its address); default: nothing.
	Sticky string `yaml:"sticky"`
	// SlowStart is how long a target that has come back gets less than its share;
	// default 10 s.
	SlowStart time.Duration `yaml:"slow_start"`
	// Breaker stops calls to a target that fails; default: there is none, and a
	// target whose calls fail in a row is put aside for a second or more.
	Breaker *Breaker `yaml:"breaker"`
	// Shed bounds the calls to all targets together by how their latency changes;
	// default: nothing does.
	Shed *Shed `yaml:"shed"`
	// Concurrency bounds the calls to each target; default: nothing does.
	Concurrency *Concurrency `yaml:"concurrency"`
	// Resolve is how often the names of the targets are looked up; each address is a
	// target then, with a health of its own. Default: never, and a new connection
	// goes to what the name means at that moment.
	Resolve time.Duration `yaml:"resolve"`
	// ConnectTimeout is for a connection to a target; default 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// MaxIdle connections are kept to each target; default 256.
	MaxIdle int `yaml:"max_idle"`
	// IdleTimeout is how long they are kept; default 30 s. It has to be shorter
	// than the targets' own.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// OpenAPI is where the document of its API is, for the catalogue: a path such
	// as /openapi.json, which the targets are asked for, or file:NAME, relative to
	// the configuration file that is not included.
	OpenAPI string `yaml:"openapi"`
}

// Health is how targets are asked.
type Health struct {
	// Path is asked with GET; a status of 200 to 399 is well.
	Path string `yaml:"path"`
	// Every is the time between two questions; default 5 s.
	Every time.Duration `yaml:"every"`
	// Timeout of a question; default 2 s.
	Timeout time.Duration `yaml:"timeout"`
	// Rise and Fall are how many equal answers in a row change the verdict;
	// default 2 and 3.
	Rise int `yaml:"rise"`
	Fall int `yaml:"fall"`
}

// Route says which requests go where.
type Route struct {
	// Name is for people and metrics; default: its match and conditions.
	Name string `yaml:"name"`
	// Match is "[METHOD ][HOST]/PATH" in the pattern language of
	// net/http.ServeMux; a host may begin with "*.".
	Match string `yaml:"match"`
	// Headers and Query, if set, have to be there with these values; "*" is any.
	Headers map[string]string `yaml:"headers"`
	Query   map[string]string `yaml:"query"`
	// To names the upstream.
	To string `yaml:"to"`
	// Compose, instead of To, makes one answer of several services' (see package
	// compose).
	Compose *compose.Config `yaml:"compose"`
	// Redirect, instead of To, sends clients to another URL.
	Redirect *Redirect `yaml:"redirect"`
	// StripPrefix is cut from the path before it is forwarded.
	StripPrefix string `yaml:"strip_prefix"`
	// AddPrefix is put in front of it then.
	AddPrefix string `yaml:"add_prefix"`
	// Path, instead of those two, is the path that is forwarded, with wildcards of
	// the match in it: "/invoices/{id}.pdf". Its operations are not in the catalogue.
	Path string `yaml:"path"`
	// Host, if set, is the Host that the upstream sees; default: the client's.
	Host string `yaml:"host"`
	// Timeout is how long the upstream may take to begin its answer, from the last
	// byte of the request; default 30 s.
	Timeout time.Duration `yaml:"timeout"`
	// Addresses say which clients may use the route, by their address; default:
	// all.
	Addresses *Addresses `yaml:"addresses"`
	// Auth says who may use the route; default: everybody.
	Auth *Access `yaml:"auth"`
	// Limits bound the requests over time; default: nothing does.
	Limits []RouteLimit `yaml:"limits"`
	// Cache stores answers; default: nothing is stored.
	Cache *RouteCache `yaml:"cache"`
	// Concurrency bounds the requests under way; default: nothing does.
	Concurrency *Concurrency `yaml:"concurrency"`
	// Priority of its requests where an upstream sheds: "lowest", "low", "normal"
	// (the default), "high" or "highest".
	Priority string `yaml:"priority"`
	// Retry, Hedge and Fallback are for calls that fail or are slow; default:
	// none. A call of which nothing was sent goes to another target in any case.
	Retry    *Retry    `yaml:"retry"`
	Hedge    *Hedge    `yaml:"hedge"`
	Fallback *Fallback `yaml:"fallback"`
	// MaxBody is how long the body of a request may be, in bytes; default: as long
	// as it likes, for it streams through.
	MaxBody int64 `yaml:"max_body"`
	// Transform changes requests and answers (see package transform).
	Transform *transform.Config `yaml:"transform"`
	// Compress compresses answers, and guards compressed requests (see package
	// compress).
	Compress *compress.Config `yaml:"compress"`
	// Browser says what browsers may do: CORS, security headers, cross-site
	// requests (see package browser).
	Browser *browser.Config `yaml:"browser"`
	// OpenAPI is the document that requests have to keep; default: none.
	OpenAPI *Contract `yaml:"openapi"`

	pattern pattern
	rewrite *rewrite // of Path
	stats   *stats   // kept over reloads by name
}

// Mistake is one thing that is wrong with a Config.
type Mistake struct {
	// Path is where, such as "$.routes[2].to".
	Path string
	// Text is what is wrong, and what to do.
	Text string
}

// mistakes collects what is wrong.
type mistakes []Mistake

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, Mistake{Path: path, Text: fmt.Sprintf(format, args...)})
}

// Check returns everything that is wrong with a configuration.
func (c *Config) Check() []Mistake {
	_, _, found := c.compile()
	return found
}

// compile checks and prepares everything that needs no network.
func (c *Config) compile() (*table, []netip.Prefix, mistakes) {
	var found mistakes
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.Admin == "" {
		c.Admin = DefaultAdmin
	}
	if c.MaxConnections < 0 {
		found.add("$.max_connections", "it is negative")
	}
	if c.AdminToken == "" && c.Admin != "none" && !loopback(c.Admin) {
		found.add("$.admin", "others than this machine can reach %q; choose a loopback address such as %s, or set admin_token", c.Admin, DefaultAdmin)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") || c.TLS.ClientCA != "" && c.TLS.Cert == "" {
		found.add("$.tls", "both cert and key are needed")
	}
	if c.TLS.ACME != nil && (c.TLS.Cert != "" || c.TLS.ClientCA != "") {
		found.add("$.tls.acme", "certificates come either from files or by acme")
	}
	if c.TLS.ACME != nil && len(c.TLS.ACME.Domains) == 0 {
		found.add("$.tls.acme", "there are no domains; name what certificates are for")
	}
	c.checkRedirectHTTP(&found)
	trusted := c.trusted(&found)
	for name, u := range c.Upstreams {
		u.check("$.upstreams."+name, name, &found)
	}
	if len(c.Routes) == 0 {
		found.add("$.routes", `there are no routes; "- match: /" with "to: NAME" sends everything to one upstream`)
	}
	t := newTable()
	names := map[string]bool{}
	for i := range c.Routes {
		c.route(t, names, i, &found)
	}
	c.checkLoops(t, &found)
	c.checkAccess(&found)
	c.checkCaches(&found)
	c.checkLimits(&found)
	c.checkShape(&found)
	c.checkContracts(&found)
	c.checkCatalogue(t, &found)
	return t, trusted, found
}

// loopback reports whether only this machine can reach an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, _ := netip.ParseAddr(host)
	return err != nil || host == "localhost" || ip.IsLoopback() // what is no address cannot be listened on
}

func (c *Config) trusted(found *mistakes) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range c.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			found.add(fmt.Sprintf("$.trusted_proxies[%d]", i), "%q is not a network; want something like 10.0.0.0/8", text)
			continue
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes
}

// route checks one route and adds it to the table.
func (c *Config) route(t *table, names map[string]bool, i int, found *mistakes) {
	r, path := &c.Routes[i], fmt.Sprintf("$.routes[%d]", i)
	if r.Match == "" {
		found.add(path, `the route has no match; "match: /" is everything`)
		return
	}
	given := r.Name != ""
	if !given {
		r.Name = r.title()
	}
	twice := names[r.Name]
	names[r.Name] = true
	before := len(*found)
	if twice && given {
		found.add(path, "two routes have the name %q", r.Name)
	}
	r.check(path, c, found)
	var err error
	if r.pattern, err = parsePattern(r.Match); err != nil {
		found.add(path+".match", "%s", strings.TrimPrefix(err.Error(), banyan.ErrInvalid.Error()+": "))
	}
	if r.Compose != nil && err == nil {
		r.checkWildcards(path, found)
	}
	if r.Redirect != nil && err == nil {
		r.checkLocation(path+".redirect.to", found)
	}
	if r.Path != "" && err == nil {
		if r.rewrite, err = parseRewrite(r.Path, &r.pattern); err != nil {
			found.add(path+".path", "%s", err)
		}
	}
	if len(*found) > before {
		return
	}
	if c.Paths.IgnoreCase {
		r.pattern.lower()
	}
	if err := t.add(r); err != nil {
		found.add(path+".match", "%s", err)
	} else if twice {
		found.add(path, "two routes have the name %q", r.Name)
	}
}

func (r *Route) check(path string, c *Config, found *mistakes) {
	for name := range r.Headers {
		if !headerName.MatchString(name) {
			found.add(path+".headers", "%q is not a header's name", name)
		}
	}
	if r.Addresses != nil {
		r.Addresses.read(path+".addresses", found)
	}
	if r.Redirect != nil {
		r.checkRedirect(path, found)
		return
	}
	switch {
	case r.Compose != nil:
		r.checkCompose(path, c, found)
	case r.To == "":
		found.add(path, `the route has no "to"; it names an upstream`)
	default:
		if _, ok := c.Upstreams[r.To]; !ok {
			found.add(path+".to", "there is no upstream %q%s", r.To, suggest(r.To, c.Upstreams))
		}
	}
	for key, prefix := range map[string]string{"strip_prefix": r.StripPrefix, "add_prefix": r.AddPrefix} {
		if canonical, err := Canonical(prefix, PathRules{}); prefix != "" && (err != nil || canonical != prefix || strings.HasSuffix(prefix, "/")) {
			found.add(path+"."+key, "%q is not a path prefix; want something like /api", prefix)
		} else if key == "strip_prefix" && prefix != "" && r.misses(prefix) {
			found.add(path+"."+key, "no path that the route matches begins with %q", prefix)
		}
	}
	if r.Path != "" && (r.StripPrefix != "" || r.AddPrefix != "") {
		found.add(path+".path", "it is the whole path; strip_prefix and add_prefix have no part in it")
	}
	_, err := r.policies()
	checkPolicies(path, err, found)
	r.Fallback.check(path+".fallback", r, c, found)
	if _, ok := priorities[r.Priority]; !ok {
		found.add(path+".priority", "%q is not one of lowest, low, normal, high, highest", r.Priority)
	}
	if r.Timeout < 0 {
		found.add(path+".timeout", "the timeout is negative")
	}
	if r.Timeout == 0 && r.Compose == nil {
		r.Timeout = 30 * time.Second
	}
}

// misses reports whether no path that the route matches begins with a prefix.
func (r *Route) misses(prefix string) bool {
	p, err := parsePattern(r.Match)
	parts := strings.Split(strings.TrimPrefix(prefix, "/"), "/")
	if err != nil {
		return false // that is another mistake
	}
	for i, part := range parts {
		if i >= len(p.segments) {
			return p.end != rest
		}
		if text := p.segments[i].text; text != "" && !strings.EqualFold(text, part) {
			return true
		}
	}
	return false
}

var headerName = regexp.MustCompile("^[A-Za-z0-9-]+$")

func (u *Upstream) check(path, name string, found *mistakes) {
	if len(u.Targets) == 0 {
		found.add(path, "the upstream %q has no targets", name)
	}
	for i, text := range u.Targets {
		if _, err := parseTarget(text); err != nil {
			found.add(fmt.Sprintf("%s.targets[%d]", path, i), "%s", err)
		}
	}
	if u.Protocol != "" && u.Protocol != "http1" && u.Protocol != "h2" {
		found.add(path+".protocol", `%q is neither "http1" nor "h2"`, u.Protocol)
	}
	_, err := u.policy(name)
	checkPolicies(path, err, found)
	_, err = u.TLS.config()
	checkPolicies(path+".tls", err, found)
	_, err = u.Shed.policy(name)
	checkPolicies(path+".shed", err, found)
	if _, _, err := parseSticky(u.Sticky); err != nil {
		found.add(path+".sticky", "%s", err)
	}
	if u.Health.Path != "" && !strings.HasPrefix(u.Health.Path, "/") {
		found.add(path+".health.path", "%q does not begin with /", u.Health.Path)
	}
	for key, v := range map[string]int64{
		"slow_start": int64(u.SlowStart), "resolve": int64(u.Resolve), "connect_timeout": int64(u.ConnectTimeout), "max_idle": int64(u.MaxIdle), "idle_timeout": int64(u.IdleTimeout),
		"health.every": int64(u.Health.Every), "health.timeout": int64(u.Health.Timeout), "health.rise": int64(u.Health.Rise), "health.fall": int64(u.Health.Fall),
	} {
		if v < 0 {
			found.add(path+"."+key, "it is negative")
		}
	}
}

func (u *Upstream) defaults() {
	set(&u.SlowStart, 10*time.Second)
	set(&u.ConnectTimeout, 5*time.Second)
	set(&u.MaxIdle, 256)
	set(&u.IdleTimeout, 30*time.Second)
	set(&u.Health.Every, 5*time.Second)
	set(&u.Health.Timeout, 2*time.Second)
	set(&u.Health.Rise, 2)
	set(&u.Health.Fall, 3)
}

func set[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// parseTarget reads the URL of a server.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("%q is not a server; want something like http://127.0.0.1:3000", mask(text))
	case u.User != nil:
		return nil, fmt.Errorf("a target may not hold a password")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q has more than a host; use add_prefix of a route for a path", text)
	}
	return u, nil
}

// mask hides what may be a password.
func mask(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// parseSticky reads what binds clients to targets.
func parseSticky(text string) (kind, name string, err error) {
	kind, name, _ = strings.Cut(text, " ")
	switch {
	case text == "" || text == "client":
		return kind, "", nil
	case kind == "header" && headerName.MatchString(name), kind == "cookie" && http1.IsToken(name): // RFC 6265 §4.1.1: also _session
		return kind, name, nil
	}
	return "", "", fmt.Errorf(`%q is not one of "client", "header NAME", "cookie NAME"`, text)
}
