package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// routes finds the path of a request among templates: a tree by segments, so that
// a thousand templates cost as little as ten.
type routes struct {
	root  segment
	known map[string]string // shape of a path → its template
}

// segment is a node of the tree: what may come after some segments.
type segment struct {
	literal map[string]*segment
	dynamic []*dynamic
	route   *route
}

// dynamic is a segment with parameters: texts between which they stand.
type dynamic struct {
	texts []string // one more than parameters: a{x}b{y} is "a", "b", ""
	next  segment
}

// route is a path of the document.
type route struct {
	path  string
	names []string // of its parameters, in order
	ops   []*operation
}

// operation returns that of a method; HEAD may be GET's.
func (r *route) operation(method string) *operation {
	if r == nil {
		return nil
	}
	for _, want := range []string{method, http.MethodGet} {
		for _, op := range r.ops {
			if op.Method == want {
				return op
			}
		}
		if method != http.MethodHead {
			break
		}
	}
	return nil
}

// allowed returns the value of Allow.
func (r *route) allowed() string {
	var all []string
	for _, op := range r.ops {
		all = append(all, op.Method)
	}
	if slices.Contains(all, http.MethodGet) && !slices.Contains(all, http.MethodHead) {
		all = append(all, http.MethodHead)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (r *routes) add(path string) (*route, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("a path has to begin with /")
	}
	rt := &route{path: path}
	at, shape := &r.root, ""
	for _, part := range strings.Split(path[1:], "/") {
		literals, names, err := template(part)
		if err != nil {
			return nil, err
		}
		rt.names = append(rt.names, names...)
		shape += "/" + strings.Join(literals, "{}")
		at = at.child(literals)
	}
	if distinct := slices.Compact(slices.Sorted(slices.Values(rt.names))); len(distinct) != len(rt.names) {
		return nil, errors.New("a parameter occurs twice in the path")
	}
	if other, taken := r.known[shape]; taken {
		return nil, fmt.Errorf("it matches the same requests as %s", other)
	}
	if r.known == nil {
		r.known = map[string]string{}
	}
	r.known[shape] = path
	at.route = rt
	return rt, nil
}

// template splits a segment into its texts and the names between them.
func template(part string) (literals, names []string, err error) {
	for {
		open := strings.IndexByte(part, '{')
		if open < 0 {
			break
		}
		shut := strings.IndexByte(part, '}')
		if shut < open+2 {
			return nil, nil, errors.New("a brace without its other one, or nothing between them")
		}
		literals, names = append(literals, part[:open]), append(names, part[open+1:shut])
		part = part[shut+1:]
	}
	if strings.ContainsRune(part, '}') {
		return nil, nil, errors.New("a brace without its other one")
	}
	for i, l := range literals {
		if i > 0 && l == "" {
			return nil, nil, errors.New("two parameters touch: nobody knows where the first ends")
		}
	}
	return append(literals, part), names, nil
}

func (s *segment) child(literals []string) *segment {
	if len(literals) == 1 {
		if s.literal == nil {
			s.literal = map[string]*segment{}
		}
		text := decoded(literals[0])
		if s.literal[text] == nil {
			s.literal[text] = &segment{}
		}
		return s.literal[text]
	}
	for _, d := range s.dynamic {
		if slices.Equal(d.texts, literals) {
			return &d.next
		}
	}
	d := &dynamic{texts: literals}
	s.dynamic = append(s.dynamic, d)
	return &d.next
}

// sort puts segments with more text first, so that {name}.json goes before {name}.
func (r *routes) sort() { r.root.sort() }

func (s *segment) sort() {
	length := func(d *dynamic) int { return len(strings.Join(d.texts, "")) }
	slices.SortFunc(s.dynamic, func(a, b *dynamic) int {
		return cmp.Or(length(b)-length(a), slices.Compare(a.texts, b.texts))
	})
	for _, next := range s.literal {
		next.sort()
	}
	for _, d := range s.dynamic {
		d.next.sort()
	}
}

// decoded undoes percent-encoding. A text that is not encoded right stays.
func decoded(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// maxSegments bounds the search for a path: a longer one matches nothing.
const maxSegments = 64

// find returns the route of a path as it was sent, and the values of its
// parameters, still percent-encoded.
func (r *routes) find(path string) (*route, []string) {
	if !strings.HasPrefix(path, "/") || strings.Count(path, "/") > maxSegments {
		return nil, nil
	}
	s := search{left: 10_000}
	return s.below(&r.root, path[1:], nil)
}

// search walks the tree; left bounds the ways it tries.
type search struct{ left int }

func (s *search) below(at *segment, path string, values []string) (*route, []string) {
	if s.left--; s.left < 0 {
		return nil, nil
	}
	part, rest, more := strings.Cut(path, "/")
	onward := func(next *segment, values []string) (*route, []string) {
		if more {
			return s.below(next, rest, values)
		}
		return next.route, values
	}
	if next, ok := at.literal[decoded(part)]; ok {
		if found, all := onward(next, values); found != nil {
			return found, all
		}
	}
	for _, d := range at.dynamic {
		own, ok := d.match(part)
		if !ok {
			continue
		}
		if found, all := onward(&d.next, append(values[:len(values):len(values)], own...)); found != nil {
			return found, all
		}
	}
	return nil, nil
}

// match returns the values of a segment's parameters; none is empty.
func (d *dynamic) match(part string) ([]string, bool) {
	rest, ok := strings.CutPrefix(part, d.texts[0])
	if !ok {
		return nil, false
	}
	last := len(d.texts) - 1
	values := make([]string, 0, last)
	for i, text := range d.texts[1:] {
		end := len(rest) - len(text)
		if i+1 < last {
			end = strings.Index(rest, text)
		}
		if end < 1 || rest[end:end+len(text)] != text {
			return nil, false
		}
		values = append(values, rest[:end])
		rest = rest[end+len(text):]
	}
	return values, true
}
