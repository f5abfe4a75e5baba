package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// Redirect sends clients to another URL instead of asking an upstream. In a file, a
// text alone stands for its To.
type Redirect struct {
	// To is where: a path on the same host, or http:// or https:// and a host. {path}
	// is the path of the request, {host} the host that the client names, without its
	// port, and {NAME} what a wildcard of the match stands for.
	To string `yaml:"to"`
	// Status is 301, 302, 303, 307 or 308; default 308. Clients remember 301 and 308.
	// With 307 and 308 a request keeps its method and its body.
	Status int `yaml:"status"`
	// DropQuery leaves the query of the request out; default: it follows that of To.
	DropQuery bool `yaml:"drop_query"`
}

// UnmarshalYAML lets a text stand for a redirect.
func (r *Redirect) UnmarshalYAML(decode func(any) error) error {
	var to string
	if decode(&to) == nil {
		*r = Redirect{To: to}
		return nil
	}
	type plain Redirect
	return decode((*plain)(r))
}

func (r *Redirect) status() int { return cmp.Or(r.Status, http.StatusPermanentRedirect) }

// keepsMethod reports whether the next request of a client has the method of this
// one (RFC 9110 §15.4).
func (r *Redirect) keepsMethod(method string) bool {
	return r.status() >= http.StatusTemporaryRedirect || method == http.MethodGet || method == http.MethodHead
}

// String is what is shown of it.
func (r *Redirect) String() string { return fmt.Sprint(r.status(), " ", r.To) }

// redirector answers the requests of a route.
type redirector struct {
	route *Route
	to    *location
	vary  []string // headers that the route has conditions on
}

func newRedirector(r *Route) (http.Handler, error) {
	to, err := parseLocation(r.Redirect.To)
	if err != nil {
		return nil, err
	}
	d := &redirector{route: r, to: to}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		d.vary = append(d.vary, http.CanonicalHeaderKey(name)) // or a browser would remember it for requests that have others
	}
	return d, nil
}

// ServeHTTP implements http.Handler.
func (d *redirector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := arrivalOf(r.Context())
	to, err := d.to.of(&d.route.pattern, asked{a.client.host, a.path, d.route.Redirect.query(r.URL.RawQuery)})
	status := http.StatusBadRequest
	if err == nil && d.route.Redirect.keepsMethod(r.Method) && to.is(a.client.scheme+"://"+a.host, a.path, r.URL.RawQuery) {
		status, err = http.StatusLoopDetected, errors.New("the redirect leads to itself")
	}
	if err != nil {
		a.because(err)
		Problem(w, status, err.Error())
		return
	}
	if len(d.vary) > 0 {
		w.Header()["Vary"] = append([]string(nil), d.vary...)
	}
	to.answer(w, d.route.Redirect.status())
}

// query is what is kept of a request's.
func (r *Redirect) query(raw string) string {
	if r.DropQuery {
		return ""
	}
	return raw
}

// answer sends a client to a URL. There is no body: it would show what the client
// sent.
func (t destination) answer(w http.ResponseWriter, status int) {
	w.Header().Set("Location", t.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
}

// HTTPSRedirect returns what answers at an address for plain HTTP beside one for
// TLS: every request is sent to the same host and path by https, with its query and
// its method (308), and the connection is closed. The ports are those of the two
// addresses. A request that names another port than plain has come through somebody
// who maps ports, and is sent to 443.
func HTTPSRedirect(plain, secure int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // there is nothing more to be had here
		l := &location{scheme: "https", client: true, path: []span{{from: wholePath}}}
		if secure != 443 && portOf(r.Host) == plain {
			l.after = ":" + strconv.Itoa(secure)
		}
		path, err := Canonical(escapedPath(r), everyPath)
		var to destination
		if err == nil && !http1.ValidHost(r.Host) { // also of HTTP/2, or of HTTP/1.0 without one
			err = errNoHost
		}
		if err == nil {
			to, err = l.of(nil, asked{hostOf(r.Host), path, r.URL.RawQuery})
		}
		if err != nil {
			Problem(w, http.StatusBadRequest, err.Error())
			return
		}
		to.answer(w, http.StatusPermanentRedirect)
	})
}

// portOf returns the port that a Host names.
func portOf(host string) int {
	_, port, err := net.SplitHostPort(host)
	n, wrong := strconv.Atoi(port)
	if err != nil || wrong != nil {
		return 80
	}
	return n
}

// checkRedirect reports what is wrong with a redirect. Whether its pattern has the
// wildcards that it needs is checked when that is parsed.
func (r *Route) checkRedirect(path string, found *mistakes) {
	if _, err := parseLocation(r.Redirect.To); err != nil {
		found.add(path+".redirect.to", "%s", err)
	}
	switch r.Redirect.status() {
	case 301, 302, 303, 307, 308:
	default:
		found.add(path+".redirect.status", "%d is not one of 301, 302, 303, 307, 308", r.Redirect.Status)
	}
	for _, key := range r.idle() {
		found.add(path+"."+key, `%s has no effect beside "redirect", which asks no upstream and has no body`, key)
	}
}

// checkLocation reports the wildcards that a redirect needs and its pattern does not
// have, and those whose names mean something else.
func (r *Route) checkLocation(path string, found *mistakes) {
	l, err := parseLocation(r.Redirect.To)
	if err != nil {
		return // it is reported already
	}
	known := r.pattern.wildcards()
	for _, s := range slices.Concat(l.path, l.query) {
		switch {
		case s.from == wholePath && known["path"]:
			found.add(path, "{path} is the whole path, and the match has a wildcard of that name; give it another")
		case s.from != wildcard || known[s.text]:
		case s.text == "query":
			found.add(path, "{query} is not needed: the query is kept unless drop_query is true")
		default:
			found.add(path, "the match has no wildcard {%s}%s", s.text, suggest(s.text, known))
		}
	}
	if l.client && known["host"] {
		found.add(path, "{host} is the client's host, and the match has a wildcard of that name; give it another")
	}
}

// idle are the keys of a route with a redirect that do nothing there: somebody
// counts on them, or on another route.
func (r *Route) idle() []string {
	var keys []string
	for _, k := range []struct {
		name string
		set  bool
	}{
		{"to", r.To != ""},
		{"compose", r.Compose != nil},
		{"strip_prefix", r.StripPrefix != ""},
		{"add_prefix", r.AddPrefix != ""},
		{"path", r.Path != ""},
		{"host", r.Host != ""},
		{"timeout", r.Timeout != 0},
		{"cache", r.Cache != nil},
		{"concurrency", r.Concurrency != nil},
		{"priority", r.Priority != ""},
		{"retry", r.Retry != nil},
		{"hedge", r.Hedge != nil},
		{"fallback", r.Fallback != nil},
		{"max_body", r.MaxBody != 0},
		{"compress", r.Compress != nil},
		{"openapi", r.OpenAPI != nil},
		{"auth.forward", r.Auth != nil && len(r.Auth.Forward) > 0},
		{"transform.request", r.Transform != nil && !reflect.ValueOf(r.Transform.Request).IsZero()},
		{"transform.response.json", r.Transform != nil && r.Transform.Response.JSON != nil},
	} {
		if k.set {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// checkRedirectHTTP reports what is wrong with the address for plain HTTP.
func (c *Config) checkRedirectHTTP(found *mistakes) {
	const path = "$.redirect_http"
	if c.RedirectHTTP == "" {
		return
	}
	switch _, port, err := net.SplitHostPort(c.RedirectHTTP); {
	case err != nil:
		found.add(path, "%q is not an address; want something like :80", c.RedirectHTTP)
	case port != "0" && (c.RedirectHTTP == c.Listen || c.RedirectHTTP == c.Admin):
		found.add(path, "%q is an address of something else already", c.RedirectHTTP)
	case !c.secure():
		found.add(path, "there is no TLS to send anybody to; it needs tls.cert and tls.key, or tls.acme")
	}
}

// secure reports whether TLS is spoken at the front door.
func (c *Config) secure() bool { return c.TLS.Cert != "" || c.TLS.ACME != nil }

// checkLoops reports the redirects that lead to their own route, which ends only
// when a browser gives up. A host that another server may have is not looked at.
func (c *Config) checkLoops(t *table, found *mistakes) {
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Redirect == nil {
			continue
		}
		l, err := parseLocation(r.Redirect.To)
		if err == nil && (c.loops(t, r, l, "") || c.loops(t, r, l, "/"+anything)) {
			found.add(fmt.Sprintf("$.routes[%d].redirect.to", i), "who follows it comes to the same route again, without end")
		}
	}
}

// anything is a segment that only wildcards match.
const anything = "%7Bany%7D"

// loops reports whether a request for a route comes to it again; tail is what the
// end of its pattern stands for.
func (c *Config) loops(t *table, r *Route, l *location, tail string) bool {
	method := cmp.Or(r.pattern.method, http.MethodGet)
	if !r.Redirect.keepsMethod(method) {
		method = http.MethodGet
	}
	req := r.fulfilled(method)
	host := strings.Replace(cmp.Or(r.pattern.host, "any"), "*.", "any.", 1)
	to, err := l.of(&r.pattern, asked{host, r.pattern.example(tail), r.Redirect.query(req.URL.RawQuery)})
	scheme := "http"
	if c.secure() {
		scheme = "https"
	}
	if err != nil || to.origin != "" && !strings.EqualFold(to.origin, scheme+"://"+host) {
		return false
	}
	if c.Paths.IgnoreCase {
		to.path = strings.ToLower(to.path)
	}
	req.URL.RawQuery = to.query
	next, _ := t.lookup(req, host, to.path)
	return next == r
}

// example returns a path that a pattern matches.
func (p *pattern) example(tail string) string {
	var path strings.Builder
	for _, s := range p.segments {
		path.WriteString("/" + cmp.Or(s.text, anything))
	}
	if p.end == rest {
		path.WriteString(tail)
	}
	return cmp.Or(path.String(), "/")
}
