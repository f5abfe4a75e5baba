package transform

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// rules are compiled Fields. Lists are sorted by name, so that the outcome does
// not depend on the order of a map.
type rules struct {
	kind     kind
	remove   []string
	rename   []pair
	set, add []valued
}

type pair struct{ from, to string }

type valued struct {
	name  string
	value template
}

// compile takes checked Fields.
func (f *Fields) compile(k kind) *rules {
	name := func(n string) string {
		if k == query {
			return n
		}
		return http.CanonicalHeaderKey(n)
	}
	r := &rules{kind: k}
	for _, n := range f.Remove {
		r.remove = append(r.remove, name(n))
	}
	for _, from := range slices.Sorted(maps.Keys(f.Rename)) {
		r.rename = append(r.rename, pair{name(from), name(f.Rename[from])})
	}
	values := func(m map[string]string) (list []valued) {
		for _, n := range slices.Sorted(maps.Keys(m)) {
			t, _ := parseTemplate(m[n], k) // checked
			list = append(list, valued{name(n), t})
		}
		return list
	}
	r.set, r.add = values(f.Set), values(f.Add)
	return r
}

func (r *rules) empty() bool {
	return len(r.remove)+len(r.rename)+len(r.set)+len(r.add) == 0
}

// change is a rule with its value for one request.
type change struct {
	name, value string
	drop        bool // what is there
	none        bool // there is no value
}

var errUnfit = errors.New("a part of the request does not fit into a header")

// changes expands the values of set and add.
func (r *rules) changes(s *source) ([]change, error) {
	list := make([]change, 0, len(r.set)+len(r.add))
	for i, v := range slices.Concat(r.set, r.add) {
		text, ok := s.value(v.value)
		if r.kind != query && !http1.IsFieldValue(text) {
			return nil, errUnfit
		}
		list = append(list, change{v.name, text, i < len(r.set), !ok})
	}
	return list, nil
}

// apply changes a header.
func (r *rules) apply(h http.Header, changes []change) {
	r.hide(h)
	for _, p := range r.rename {
		if values := take(h, p.from); len(values) > 0 {
			take(h, p.to)
			h[p.to] = values
		}
	}
	for _, c := range changes {
		if c.drop {
			take(h, c.name)
		}
		if !c.none {
			h[c.name] = append(h[c.name][:len(h[c.name]):len(h[c.name])], c.value)
		}
	}
}

// hide does only what Remove says; for informational answers and trailers.
func (r *rules) hide(h http.Header) {
	for _, n := range r.remove {
		take(h, n)
		take(h, http.TrailerPrefix+n)
	}
}

// take removes a header in whatever case a handler wrote it.
func take(h http.Header, name string) []string {
	values, ok := h[name]
	if ok {
		delete(h, name)
	}
	for n, v := range h {
		if len(n) == len(name) && strings.EqualFold(n, name) {
			values = append(values[:len(values):len(values)], v...)
			delete(h, n)
		}
	}
	return values
}

var errQuery = errors.New("the query cannot be read in one way only")

// parameter of a query, as it stands there.
type parameter struct{ name, raw string }

// applyQuery changes a query. What no rule names keeps its bytes and its place. A
// query that servers read in different ways is refused: a rule must not be
// circumvented by a semicolon, or by an escape that is none.
func (r *rules) applyQuery(raw string, changes []change) (string, error) {
	var list []parameter
	for item := range strings.SplitSeq(raw, "&") {
		if item == "" {
			continue
		}
		name, _, _ := strings.Cut(item, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(item, ";") {
			return "", errQuery
		}
		list = append(list, parameter{name, item})
	}
	without := func(name string) {
		list = slices.DeleteFunc(list, func(p parameter) bool { return p.name == name })
	}
	for _, n := range r.remove {
		without(n)
	}
	for _, p := range r.rename {
		list = renameParameter(list, p)
	}
	for _, c := range changes {
		if c.drop {
			without(c.name)
		}
		if !c.none {
			list = append(list, parameter{c.name, url.QueryEscape(c.name) + "=" + url.QueryEscape(c.value)})
		}
	}
	items := make([]string, len(list))
	for i, p := range list {
		items[i] = p.raw
	}
	return strings.Join(items, "&"), nil
}

func renameParameter(list []parameter, p pair) []parameter {
	there := slices.ContainsFunc(list, func(q parameter) bool { return q.name == p.from })
	if !there {
		return list
	}
	list = slices.DeleteFunc(list, func(q parameter) bool { return q.name == p.to && p.to != p.from })
	for i, q := range list {
		if q.name == p.from {
			_, value, found := strings.Cut(q.raw, "=")
			raw := url.QueryEscape(p.to)
			if found {
				raw += "=" + value
			}
			list[i] = parameter{p.to, raw}
		}
	}
	return list
}

// harden adds the attributes that a Set-Cookie lacks.
func (c *Cookies) harden(h http.Header) {
	lines := h["Set-Cookie"]
	if c == nil || len(lines) == 0 {
		return
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		if c.SameSite != "" && !attribute(line, "SameSite") {
			line += "; SameSite=" + c.SameSite
		}
		if c.Secure && !attribute(line, "Secure") {
			line += "; Secure"
		}
		if c.HTTPOnly && !attribute(line, "HttpOnly") {
			line += "; HttpOnly"
		}
		out[i] = line
	}
	h["Set-Cookie"] = out
}

// attribute reports whether a Set-Cookie has one (RFC 6265 §5.2). The first part
// is the cookie itself.
func attribute(line, name string) bool {
	_, rest, _ := strings.Cut(line, ";")
	for item := range strings.SplitSeq(rest, ";") {
		key, _, _ := strings.Cut(item, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return true
		}
	}
	return false
}
