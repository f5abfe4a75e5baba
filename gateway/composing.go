package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/banyanhq/banyan/gateway/compose"
	"github.com/banyanhq/banyan/resilience"
)

// composed returns the handler of a route whose answer is made of several
// services' answers.
func (s *state) composed(r *Route, p *resilience.Policy) (http.Handler, error) {
	upstream := func(name string) http.RoundTripper {
		u := s.upstreams[name]
		if u == nil {
			return nil
		}
		return &partCaller{forwarder: newForwarder(r, u, p), upstream: u, state: s}
	}
	options := &compose.Options{Credentials: identified, Failed: func(req *http.Request, part string, err error) {
		s.log.Warn("a part of an answer failed", "route", r.Name, "part", part, "trace", arrivalOf(req.Context()).trace.id(), "error", err.Error())
	}}
	return compose.New(r.Name, r.Compose, upstream, options)
}

// partCaller calls an upstream for a part of an answer, as a forwarder would.
type partCaller struct {
	*forwarder
	upstream *upstream
	state    *state
}

// RoundTrip implements http.RoundTripper.
func (c *partCaller) RoundTrip(call *http.Request) (*http.Response, error) {
	out := call.WithContext(call.Context())
	out.Host = arrivalOf(call.Context()).host
	out.Header = c.header(out)
	if until, ok := call.Context().Deadline(); ok {
		out.Header[resilience.HeaderTimeout] = []string{strconv.FormatInt(max(time.Until(until).Milliseconds(), 1), 10)}
	}
	out.URL = &url.URL{Scheme: "http", Host: out.Host, Opaque: call.URL.EscapedPath(), RawQuery: call.URL.RawQuery}
	if c.route.Host != "" {
		out.Host = c.route.Host
	}
	resp, err := c.calls.RoundTrip(out)
	if err == nil && c.state.collector != nil {
		c.state.collector.part(c.upstream, call.Method, call.URL.EscapedPath())
	}
	return resp, err
}

// each calls fn with every wildcard of a pattern and its value in a path that it
// matches.
func (p *pattern) each(path string, fn func(name, value string)) {
	rest := strings.TrimPrefix(path, "/")
	for _, s := range p.segments {
		text, after, _ := strings.Cut(rest, "/")
		if s.name != "" {
			fn(s.name, unescape(text))
		}
		rest = after
	}
	if p.rest != "" {
		fn(p.rest, unescape(rest))
	}
}

// wildcards returns the names that a pattern has values for.
func (p *pattern) wildcards() map[string]bool {
	names := map[string]bool{}
	for _, s := range p.segments {
		if s.name != "" {
			names[s.name] = true
		}
	}
	if p.rest != "" {
		names[p.rest] = true
	}
	return names
}

// checkCompose reports what is wrong with a composed route. Whether its pattern
// has the wildcards that it needs is checked when that is parsed.
func (r *Route) checkCompose(path string, c *Config, found *mistakes) {
	switch {
	case r.To != "":
		found.add(path+".to", `the route has "compose" besides; its parts say where they go`)
	case r.StripPrefix != "" || r.AddPrefix != "" || r.Path != "":
		found.add(path, "path, strip_prefix and add_prefix are for a path that is forwarded; the parts of compose have their own")
	case r.Fallback != nil:
		found.add(path+".fallback", "the parts of compose have defaults of their own")
	case r.Timeout != 0:
		found.add(path+".timeout", "a composed route has the timeout of compose")
	}
	for _, m := range r.Compose.Check() {
		found.add(path+".compose."+m.Path, "%s", m.Text)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Compose.Parts)) {
		if to := r.Compose.Parts[name].To; to != "" {
			if _, ok := c.Upstreams[to]; !ok {
				found.add(path+".compose.parts."+name+".to", "there is no upstream %q%s", to, suggest(to, c.Upstreams))
			}
		}
	}
}

// checkWildcards reports the wildcards that the parts of a route need and its
// pattern does not have.
func (r *Route) checkWildcards(path string, found *mistakes) {
	known := r.pattern.wildcards()
	for _, name := range r.Compose.Wildcards() {
		if !known[name] {
			found.add(path+".match", "the parts need {path.%s}, and the match has no wildcard of that name%s", name, suggest(name, known))
		}
	}
}

// upstreams names where the requests of a route go.
func (r *Route) upstreams() string {
	if r.Redirect != nil {
		return r.Redirect.String()
	}
	if r.Compose == nil {
		return r.To
	}
	names := map[string]bool{}
	for _, p := range r.Compose.Parts {
		names[p.To] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), ", ")
}
