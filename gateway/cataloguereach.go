package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// rewriting makes the path that clients ask for from one of a document.
type rewriting struct{ strip, prefix string }

func (w rewriting) apply(path string) string {
	return w.prefix + strings.TrimPrefix(path, w.strip)
}

// rewritings returns how clients ask a route for an operation of a document: the
// route's own rewriting the other way round. A path without the prefix that a
// route strips goes through as it is, so there may be two.
func (r *Route) rewritings(base, path string) []rewriting {
	if r.Path != "" {
		return nil
	}
	rest, ok := strings.CutPrefix(base+path, r.AddPrefix)
	if !ok || !strings.HasPrefix(rest, "/") {
		return nil
	}
	from := func(prefix string) rewriting {
		if below, ok := strings.CutPrefix(base, r.AddPrefix); ok {
			return rewriting{prefix: prefix + below}
		}
		return rewriting{strip: strings.TrimPrefix(r.AddPrefix, base), prefix: prefix}
	}
	all := []rewriting{from(r.StripPrefix)}
	if p := r.StripPrefix; p != "" && rest != p && !strings.HasPrefix(rest, p+"/") {
		all = append(all, from(""))
	}
	return all
}

// probe are routes that rewrite alike and have the same conditions: what a request
// for one of them needs is the same, whichever of them takes it.
type probe struct {
	*Route // one of them
	all    map[*Route]bool
}

// probes returns those of routes.
func probes(routes []*Route) []probe {
	var all []probe
	index := map[string]int{}
	for _, r := range routes {
		key := fmt.Sprintf("%q %q %q %q %q %q", r.StripPrefix, r.AddPrefix, r.Path, r.pattern.host, r.Headers, r.Query)
		i, known := index[key]
		if !known {
			i = len(all)
			index[key] = i
			all = append(all, probe{r, map[*Route]bool{}})
		}
		all[i].all[r] = true
	}
	return all
}

// reached reports whether the requests for a template come to a route, those that
// fulfil its conditions at least. A parameter is a segment that no literal of a
// match is equal to.
func (r probe) reached(s *state, method, template string) bool {
	found, _ := s.lookup(r.fulfilled(method), strings.Replace(r.pattern.host, "*.", "any.", 1), canonicalTemplate(template))
	return r.all[found]
}

// fulfilled returns a request with what the conditions of a route want.
func (r *Route) fulfilled(method string) *http.Request {
	req := &http.Request{Method: method, Header: http.Header{}, URL: &url.URL{}}
	for name, want := range r.Headers {
		req.Header.Set(name, fulfilling(want))
	}
	query := url.Values{}
	for name, want := range r.Query {
		query.Set(name, fulfilling(want))
	}
	req.URL.RawQuery = query.Encode()
	return req
}

// fulfilling returns a value that a condition wants.
func fulfilling(want string) string {
	if want == "*" {
		return "x" // any
	}
	return want
}

// canonicalTemplate returns a template with its literal segments as they stand in
// canonical paths. Segments with parameters stay as they are: no canonical path has
// braces, so that only a wildcard matches them.
func canonicalTemplate(template string) string {
	parts := strings.Split(template, "/")
	for i, part := range parts {
		if canonical, err := Canonical("/"+part, PathRules{Semicolon: true}); err == nil && !strings.Contains(part, "{") {
			parts[i] = canonical[1:]
		}
	}
	return strings.Join(parts, "/")
}

// shape is a template without the names of its parameters: two of the same shape
// match the same requests.
func shape(template string) string {
	var out strings.Builder
	inside := false
	for _, c := range template {
		if c == '}' {
			inside = false
		}
		if !inside {
			out.WriteRune(c)
		}
		inside = inside || c == '{'
	}
	return out.String()
}

// conditions tells how many there are for a client: those with fewer come first.
func (r *Route) conditions() int {
	n := len(r.Headers) + len(r.Query)
	if r.pattern.host != "" {
		n++
	}
	return n
}
