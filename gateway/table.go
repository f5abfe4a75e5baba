package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// table finds the route of a request. It is read only once it is built.
//
// Precedence. The most specific host wins: a name, then the longest "*.name",
// then none. Then the path, segment by segment from the left: text before a
// wildcard, and a longer pattern before one that takes the rest. Then the
// method: a named one before any. Then the conditions: more before fewer. A
// request that no condition or method lets into a pattern goes on to the next
// less specific one. Two routes that none of this orders are a conflict.
type table struct {
	hosts     map[string]*node
	wildcards map[string]*node // by what follows "*."
	anyHost   *node
}

// node is the part of the paths that begin with the same segments.
type node struct {
	literals map[string]*node
	wildcard *node
	ends     [3][]*Route // by ending, the most specific first
}

func newTable() *table {
	return &table{hosts: map[string]*node{}, wildcards: map[string]*node{}, anyHost: &node{}}
}

// root returns the tree of a pattern's host.
func (t *table) root(host string) *node {
	trees, name := t.hosts, host
	if host == "" {
		return t.anyHost
	}
	if below, ok := strings.CutPrefix(host, "*."); ok {
		trees, name = t.wildcards, below
	}
	if trees[name] == nil {
		trees[name] = &node{}
	}
	return trees[name]
}

// add puts a route in, or says which one it is in conflict with.
func (t *table) add(r *Route) error {
	root := t.root(r.pattern.host)
	if other := root.conflict(&r.pattern, r, 0); other != nil && other.title() == r.title() {
		return fmt.Errorf("match %q is in conflict with %q of route %q: they are the same", r.Match, other.Match, other.Name)
	} else if other != nil {
		return fmt.Errorf("match %q is in conflict with %q of route %q: some requests match both, and neither is more specific", r.Match, other.Match, other.Name)
	}
	n := root
	for _, s := range r.pattern.segments {
		n = n.child(s)
	}
	end := &n.ends[r.pattern.end]
	*end = append(*end, r)
	slices.SortStableFunc(*end, func(a, b *Route) int { return b.specific() - a.specific() })
	return nil
}

func (n *node) child(s segment) *node {
	if s.text == "" {
		if n.wildcard == nil {
			n.wildcard = &node{}
		}
		return n.wildcard
	}
	if n.literals == nil {
		n.literals = map[string]*node{}
	}
	if n.literals[s.text] == nil {
		n.literals[s.text] = &node{}
	}
	return n.literals[s.text]
}

// conflict returns a route of the tree that matches requests of r which neither
// is more specific for. Only branches that can share a path are visited.
func (n *node) conflict(p *pattern, r *Route, depth int) *Route {
	for _, end := range n.ends {
		for _, other := range end {
			if other.conflicts(r) {
				return other
			}
		}
	}
	for text, child := range n.literals {
		if depth < len(p.segments) && (p.segments[depth].text == "" || p.segments[depth].text == text) || depth >= len(p.segments) && p.end == rest {
			if other := child.conflict(p, r, depth+1); other != nil {
				return other
			}
		}
	}
	if n.wildcard != nil && (depth < len(p.segments) || p.end == rest) {
		return n.wildcard.conflict(p, r, depth+1)
	}
	return nil
}

// lookup returns the route of a request. If there is none, allowed are the
// methods that the path has one for.
func (t *table) lookup(r *http.Request, host, path string) (*Route, []string) {
	q := query{request: r, path: path}
	var few [4]*node // no memory for most
	for _, root := range t.roots(few[:0], host) {
		if found := root.find(&q, 1); found != nil {
			return found, nil
		}
	}
	slices.Sort(q.allowed)
	return nil, slices.Compact(q.allowed)
}

// roots appends the trees for a host, the most specific first.
func (t *table) roots(roots []*node, host string) []*node {
	if n := t.hosts[host]; n != nil {
		roots = append(roots, n)
	}
	for rest := host; len(t.wildcards) > 0; {
		_, below, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		if n := t.wildcards[below]; n != nil {
			roots = append(roots, n)
		}
		rest = below
	}
	return append(roots, t.anyHost)
}

// query is one lookup.
type query struct {
	request *http.Request
	path    string
	allowed []string
}

// find looks for the route of path[at:]; path[at-1] is a slash. A node is asked
// with every path that begins with its segments.
func (n *node) find(q *query, at int) *Route {
	if at > len(q.path) { // the path ends without a slash
		return n.first(q, exact, rest)
	}
	if at == len(q.path) { // it ends with one
		return n.first(q, slash, exact, rest)
	}
	text, next := q.path[at:], len(q.path)+1
	if i := strings.IndexByte(text, '/'); i >= 0 {
		text, next = text[:i], at+i+1
	}
	if child := n.literals[text]; child != nil {
		if found := child.find(q, next); found != nil {
			return found
		}
	}
	if n.wildcard != nil {
		if found := n.wildcard.find(q, next); found != nil {
			return found
		}
	}
	return n.first(q, rest)
}

// first returns the first route of some endings that lets the request in, or for
// which nobody can say whether it does.
func (n *node) first(q *query, ends ...ending) *Route {
	for _, e := range ends {
		for _, r := range n.ends[e] {
			if !r.conditionsHold(q.request) && !r.unclear(q.request) {
				continue
			}
			if r.takes(q.request.Method) {
				return r
			}
			q.allowed = append(q.allowed, r.pattern.method)
		}
	}
	return nil
}
