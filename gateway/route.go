package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// title names a route that has no name.
func (r *Route) title() string {
	var conditions []string
	for name, want := range r.Headers {
		conditions = append(conditions, http.CanonicalHeaderKey(name)+": "+want)
	}
	for name, want := range r.Query {
		conditions = append(conditions, "?"+name+"="+want)
	}
	if len(conditions) == 0 {
		return r.Match
	}
	slices.Sort(conditions)
	return r.Match + " (" + strings.Join(conditions, ", ") + ")"
}

// takes reports whether a route takes a method. A route for GET takes HEAD too.
func (r *Route) takes(method string) bool {
	m := r.pattern.method
	return m == "" || m == method || m == http.MethodGet && method == http.MethodHead
}

// specific orders routes of the same path.
func (r *Route) specific() int {
	n := len(r.Headers) + len(r.Query)
	switch r.pattern.method {
	case "":
	case http.MethodHead:
		n += 2000
	default:
		n += 1000
	}
	return n
}

// unclear reports whether the headers and the query that a route has conditions on
// are read differently by different servers: the gateway would take the request for
// one that another route lets in, and the upstream for the one that is meant here.
// Some take the last of two values, some cut a query at semicolons, and what is no
// escape is text to most.
func (r *Route) unclear(req *http.Request) bool {
	for name, want := range r.Headers {
		if want != "*" && several(req.Header[http.CanonicalHeaderKey(name)]) {
			return true
		}
	}
	if len(r.Query) == 0 {
		return false
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return true
	}
	for name, want := range r.Query {
		if want != "*" && several(query[name]) {
			return true
		}
	}
	return false
}

// several reports whether values differ.
func several(values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return v != values[0] })
}

// conditionsHold reports whether the headers and the query are as the route has
// it.
func (r *Route) conditionsHold(req *http.Request) bool {
	for name, want := range r.Headers {
		values := req.Header[http.CanonicalHeaderKey(name)]
		if len(values) == 0 || want != "*" && values[0] != want {
			return false
		}
	}
	if len(r.Query) == 0 {
		return true
	}
	query, _ := url.ParseQuery(req.URL.RawQuery) // what is broken is unclear
	for name, want := range r.Query {
		if !query.Has(name) || want != "*" && query.Get(name) != want {
			return false
		}
	}
	return true
}

// conflicts reports whether some requests match both routes, and nothing says
// which one is meant.
func (r *Route) conflicts(other *Route) bool {
	switch comparePaths(&r.pattern, &other.pattern) {
	case overlap:
		return r.shareMethods(other) && !r.excludes(other)
	case equal:
		return r.specific() == other.specific() && r.pattern.method == other.pattern.method && !r.excludes(other)
	}
	return false
}

func (r *Route) shareMethods(other *Route) bool {
	a, b := r.pattern.method, other.pattern.method
	return a == "" || b == "" || a == b || a == http.MethodGet && b == http.MethodHead || a == http.MethodHead && b == http.MethodGet
}

// excludes reports whether no request fulfils the conditions of both.
func (r *Route) excludes(other *Route) bool {
	return differ(r.Headers, other.Headers, http.CanonicalHeaderKey) || differ(r.Query, other.Query, func(s string) string { return s })
}

// differ reports whether two sets of conditions want different values of one
// thing.
func differ(a, b map[string]string, key func(string) string) bool {
	for name, want := range a {
		for other, wanted := range b {
			if key(name) == key(other) && want != "*" && wanted != "*" && want != wanted {
				return true
			}
		}
	}
	return false
}
