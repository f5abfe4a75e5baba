package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
)

// Warnings returns what is right in a configuration and probably not meant: where
// somebody is let in, or counted, otherwise than a reader of it would think. They
// are for one in which Check finds nothing wrong.
func (c *Config) Warnings() []Mistake {
	var found mistakes
	routes := c.parsed()
	warnOfSlashes(routes, &found)
	warnOfMethods(routes, &found)
	for i := range routes {
		warnOfIdentity(&routes[i], fmt.Sprintf("$.routes[%d]", i), &found)
	}
	c.warnOfClearText(&found)
	return found
}

// WarningPlaces returns the Warnings of a configuration that was read from a file,
// each with its line.
func (c *Config) WarningPlaces() []Place { return slices.Clone(c.warnings) }

// logWarnings says them once, where there are lines to name.
func (c *Config) logWarnings(log *slog.Logger) {
	for _, p := range c.warnings {
		file := p.File
		if file == "" {
			file = c.file
		}
		log.Warn("the configuration is right, and may not be what was meant", "file", file, "line", p.Line, "warning", p.Text)
	}
}

// parsed returns the routes with their patterns, also of a configuration that nobody
// checked.
func (c *Config) parsed() []Route {
	routes := slices.Clone(c.Routes)
	for i := range routes {
		r := &routes[i]
		if r.Name == "" {
			r.Name = r.title()
		}
		r.pattern, _ = parsePattern(r.Match) // what is wrong with it Check says
		if c.Paths.IgnoreCase {
			r.pattern.lower()
		}
	}
	return routes
}

// warnOfSlashes finds routes that differ in a slash at the end, and in who may use
// them: to most servers that is one path.
func warnOfSlashes(routes []Route, found *mistakes) {
	before := map[string][]int{} // routes by what stands before their ends
	for i := range routes {
		r := &routes[i]
		key := r.pattern.host
		for _, s := range r.pattern.segments {
			key += "/" + s.text
		}
		for _, j := range before[key] {
			if other := &routes[j]; r.Redirect == nil && other.Redirect == nil && bySlash(r, other) && !reflect.DeepEqual(r.keeps(), other.keeps()) {
				found.add(fmt.Sprintf("$.routes[%d].match", i), "%q and %q differ in a slash at the end, which most servers ignore, and in who may use them; give both the same auth and addresses", r.Match, other.Match)
			}
		}
		before[key] = append(before[key], i)
	}
}

// bySlash reports whether what differs between two routes with the same segments is
// the slash, so that the one without it takes requests from the other.
func bySlash(a, b *Route) bool {
	return (a.pattern.end == exact) != (b.pattern.end == exact) && a.shareMethods(b) && !a.excludes(b)
}

// keeps returns what decides who may use a route.
func (r *Route) keeps() any {
	var who Access
	if r.Auth != nil {
		who = *r.Auth
		who.Forward, who.StripCredential = nil, false
	}
	var where Addresses
	if r.Addresses != nil {
		where = *r.Addresses
	}
	return []any{r.Auth != nil, who, where}
}

// isOpen reports whether a route keeps nobody out.
func (r *Route) isOpen() bool {
	a := r.Auth
	guarded := a != nil && (!a.Anonymous || len(a.Scopes)+len(a.AnyScope)+len(a.When) > 0)
	return !guarded && (r.Addresses == nil || r.Addresses.Allow == nil)
}

// warnOfMethods finds paths that may be read by some and written by everybody.
func warnOfMethods(routes []Route, found *mistakes) {
	t := newTable()
	for i := range routes {
		if routes[i].pattern.text != "" {
			_ = t.add(&routes[i]) // conflicts are mistakes
		}
	}
	for i := range routes {
		r := &routes[i]
		if r.pattern.method != http.MethodGet || r.isOpen() {
			continue
		}
		host, path := r.pattern.sample()
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
			other, _ := t.lookup(&http.Request{Method: method, URL: new(url.URL)}, host, path)
			if other != nil && other.Redirect == nil && other.isOpen() {
				found.add(fmt.Sprintf("$.routes[%d].match", i), "who may use this is said for GET only: %s of the same path goes to the route %q, which is open to everybody; leave the method out, or guard that too", method, other.Name)
				break
			}
		}
	}
}

// sample returns a host and a path that a pattern matches, and others only if they
// match everything that it does there.
func (p *pattern) sample() (host, path string) {
	const wild = "\x00" // is no text of a pattern
	var out strings.Builder
	for _, s := range p.segments {
		out.WriteByte('/')
		if s.text == "" {
			out.WriteString(wild)
		}
		out.WriteString(s.text)
	}
	switch p.end {
	case slash:
		out.WriteByte('/')
	case rest:
		out.WriteString("/" + wild)
	}
	return p.host, out.String() // "*.x" is below x too
}

// warnOfIdentity finds limits by an identity that nobody has.
func warnOfIdentity(r *Route, path string, found *mistakes) {
	for j, l := range r.Limits {
		if l.Per == "identity" && r.Auth == nil {
			found.add(fmt.Sprintf("%s.limits[%d].per", path, j), "the route has no auth, so nobody has an identity there, and addresses are counted")
		}
	}
}

// warnOfClearText finds credentials that everybody on the way can read.
func (c *Config) warnOfClearText(found *mistakes) {
	listen := c.Listen
	if listen == "" {
		listen = DefaultListen
	}
	if c.TLS.Cert != "" || c.TLS.ACME != nil || len(c.TrustedProxies) > 0 || loopback(listen) {
		return
	}
	for i := range c.Routes {
		if a := c.Routes[i].Auth; a != nil {
			found.add(fmt.Sprintf("$.routes[%d].auth", i), "credentials come in the clear: there is no tls, and others than this machine can reach %q; set tls, or trusted_proxies if one of them has it", listen)
			return // once is enough
		}
	}
}
