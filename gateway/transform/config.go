package transform

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// Config of a Policy. The zero value changes nothing.
type Config struct {
	// Request is changed before the handler sees it.
	Request Request `yaml:"request"`
	// Response is changed before the client gets it.
	Response Response `yaml:"response"`
}

// Request says what changes in requests.
type Request struct {
	// Headers of the request. Those of the connection, of its framing, and those
	// that say who the client is cannot be named: see Protected.
	Headers Fields `yaml:"headers"`
	// Query parameters.
	Query Fields `yaml:"query"`
	// JSON is for bodies. Default: they pass untouched.
	JSON *JSON `yaml:"json"`
}

// Response says what changes in answers.
type Response struct {
	// Headers of the answer. Values may not name the request's Authorization,
	// Proxy-Authorization or Cookie.
	Headers Fields `yaml:"headers"`
	// Cookies hardens what Set-Cookie sets.
	Cookies *Cookies `yaml:"cookies"`
	// JSON is for bodies. Default: they pass untouched.
	JSON *JSON `yaml:"json"`
}

// Fields are rules for named values: headers or query parameters. Names of
// headers are compared without regard to case.
type Fields struct {
	// Remove drops them.
	Remove []string `yaml:"remove"`
	// Rename gives what has the name on the left the name on the right, in place of
	// what had that.
	Rename map[string]string `yaml:"rename"`
	// Set gives them one value, in place of what is there.
	Set map[string]string `yaml:"set"`
	// Add gives them one value more.
	Add map[string]string `yaml:"add"`
}

// Cookies are attributes for every Set-Cookie that lacks them.
type Cookies struct {
	Secure   bool `yaml:"secure"`
	HTTPOnly bool `yaml:"http_only"`
	// SameSite is "Strict", "Lax" or "None", which needs Secure.
	SameSite string `yaml:"same_site"`
}

// JSON are rules for a JSON body (application/json, text/json, or a type that
// ends in +json).
type JSON struct {
	// Remove drops members.
	Remove []string `yaml:"remove"`
	// Select, if set, drops all others. Problem details (RFC 9457) of errors are
	// not selected from.
	Select []string `yaml:"select"`
	// Set gives members a value, which is JSON, and adds them to objects that are
	// there and lack them.
	Set map[string]string `yaml:"set"`
	// Rename gives members another name, in place of what had that in the same
	// object.
	Rename map[string]string `yaml:"rename"`
	// MaxBytes is how long a body may be that is edited. Default: 1 MiB.
	MaxBytes int64 `yaml:"max_bytes"`
	// Otherwise is what happens to a body that cannot be edited: "fail" or "pass".
	// Default: fail, and pass if there is nothing but Rename. What removes or
	// selects cannot pass.
	Otherwise string `yaml:"otherwise"`
}

const defaultMaxBytes = 1 << 20

// Protected reports whether no rule may name a header: those of one connection,
// of framing and content coding, of the switch of protocols, those that say where
// a request comes from or goes to, and traceparent and tracestate. They belong to
// the server and to the gateway, whatever the configuration.
func Protected(name string) bool {
	name = http.CanonicalHeaderKey(name)
	for _, prefix := range []string{"X-Forwarded-", "Sec-Websocket-", "Proxy-", "Trailer:"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Content-Length", "Content-Encoding", "Content-Range", "Expect", "Host",
		"Forwarded", "X-Real-Ip", "True-Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Client-Cert", "Client-Cert-Chain",
		"Traceparent", "Tracestate":
		return true
	}
	return false
}

// mistakes collects what is wrong.
type mistakes []string

func (m *mistakes) add(format string, args ...any) { *m = append(*m, fmt.Sprintf(format, args...)) }

// Check reports every mistake.
func (c *Config) Check() error {
	var found mistakes
	c.Request.Headers.check("request.headers", header, &found)
	c.Request.Query.check("request.query", query, &found)
	c.Response.Headers.check("response.headers", answer, &found)
	c.Response.Cookies.check(&found)
	c.Request.JSON.check("request.json", &found)
	c.Response.JSON.check("response.json", &found)
	if len(found) > 0 {
		return fmt.Errorf("transform: config: %w: %s", banyan.ErrInvalid, strings.Join(found, "; "))
	}
	return nil
}

// kind of fields.
type kind int

const (
	header kind = iota
	query
	answer // the header of an answer
)

func (f *Fields) check(at string, k kind, found *mistakes) {
	name := func(rule, n string) {
		switch {
		case k != query && !http1.IsToken(n):
			found.add("%s.%s: %q is not the name of a header", at, rule, n)
		case k != query && Protected(n):
			found.add("%s.%s: no rule may name %s", at, rule, n)
		case k == query && (n == "" || !utf8.ValidString(n)):
			found.add("%s.%s: %q is not the name of a parameter", at, rule, n)
		}
	}
	for _, n := range f.Remove {
		name("remove", n)
	}
	for _, from := range slices.Sorted(maps.Keys(f.Rename)) {
		name("rename", from)
		name("rename", f.Rename[from])
	}
	for rule, values := range map[string]map[string]string{"set": f.Set, "add": f.Add} {
		for _, n := range slices.Sorted(maps.Keys(values)) {
			name(rule, n)
			if _, err := parseTemplate(values[n], k); err != nil {
				found.add("%s.%s: %s: %v", at, rule, n, err)
			}
		}
	}
}

func (c *Cookies) check(found *mistakes) {
	if c == nil {
		return
	}
	switch c.SameSite {
	case "", "Strict", "Lax":
	case "None":
		if !c.Secure {
			found.add("response.cookies: browsers refuse SameSite=None without Secure")
		}
	default:
		found.add("response.cookies.same_site: %q is not Strict, Lax or None", c.SameSite)
	}
}

func (j *JSON) check(at string, found *mistakes) {
	if j == nil {
		return
	}
	if _, err := j.compile(); err != nil {
		found.add("%s.%v", at, err)
	}
	for _, path := range slices.Sorted(maps.Keys(j.Set)) {
		if !json.Valid([]byte(j.Set[path])) || !utf8.ValidString(j.Set[path]) {
			found.add("%s.set: the value of %s is not JSON; a text needs quotes", at, path)
		}
	}
	switch {
	case len(j.Remove)+len(j.Select)+len(j.Set)+len(j.Rename) == 0:
		found.add("%s: it has no rule", at)
	case j.MaxBytes < 0:
		found.add("%s.max_bytes: it is negative", at)
	case j.Otherwise != "" && j.Otherwise != "pass" && j.Otherwise != "fail":
		found.add("%s.otherwise: %q is not pass or fail", at, j.Otherwise)
	case j.Otherwise == "pass" && len(j.Remove)+len(j.Select) > 0:
		found.add("%s.otherwise: what removes or selects hides something, and so it cannot let a body pass that it has not edited", at)
	}
}
