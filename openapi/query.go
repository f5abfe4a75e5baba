package openapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// pair is one name=value of a query or a form; the value also as it was sent,
// since its separators count before it is decoded.
type pair struct {
	name, value, raw string
	json             bool // the value is a part of JSON
}

// maxPairs bounds a query.
const maxPairs = 1000

// pairs reads a query or form. Unlike url.ParseQuery it leaves nothing out: what
// one program skips another may read.
func pairs(text string, most int) ([]pair, string) {
	if text == "" {
		return nil, ""
	}
	if strings.Count(text, "&") >= most {
		return nil, "has too many fields"
	}
	var all []pair
	for part := range strings.SplitSeq(text, "&") {
		if part == "" {
			continue
		}
		rawName, raw, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(rawName)
		value, err2 := url.QueryUnescape(raw)
		if err != nil || err2 != nil {
			return nil, "is not percent-encoded as it has to be"
		}
		all = append(all, pair{name: name, value: value, raw: raw})
	}
	return all, ""
}

// cookies reads the cookies of a request (RFC 6265 §4.2.1). Unlike net/http it
// leaves none out: what one program skips another may read.
func cookies(r *http.Request) []pair {
	var all []pair
	for _, line := range r.Header["Cookie"] {
		for part := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
			if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
				value = value[1 : n-1]
			}
			if name != "" {
				all = append(all, pair{name: strings.TrimRight(name, " \t"), value: strings.TrimLeft(value, " \t")})
			}
		}
	}
	return all
}

// spread collects an object whose fields are parameters of their own: style form
// with explode, or deepObject.
func (p *parameter) spread(s *sent, e *evaluation) (any, bool) {
	if p.schema == nil || !p.spreads() {
		return nil, false
	}
	object, right := map[string]any{}, true
	for _, q := range s.query {
		name, ok := p.fieldOf(q.name)
		switch {
		case !ok && (p.taken == nil || p.taken(q.name)):
		case p.style == "deepObject":
			right = e.put(p.schema, object, strings.Split(name, "]["), q.value) && right
		default:
			right = e.put(p.schema, object, []string{q.name}, q.value) && right
		}
	}
	if !right {
		e.mistake("has a field more than once")
	}
	return object, len(object) > 0 && right
}

// put sets a field of an object, or one of a field that is an object itself:
// OpenAPI leaves open how deepObject goes deeper, programs read a[b][c] alike. It
// reports whether there was nothing in its place.
func (e *evaluation) put(n *node, object map[string]any, path []string, value string) bool {
	name, field := path[0], n.property(path[0])
	list := field.only(isArray)
	if len(path) > 1 && (!list || path[1] != "") {
		below, ok := object[name].(map[string]any)
		if _, taken := object[name]; !ok && taken || len(path) > maxDepth {
			return false
		}
		if below == nil {
			below = map[string]any{}
			object[name] = below
		}
		return e.put(field, below, path[1:], value)
	}
	before, twice := object[name]
	if list {
		items, ok := before.([]any)
		object[name] = append(items, e.typed(field.item(len(items)), value))
		return ok || !twice
	}
	object[name] = e.typed(field, value)
	return !twice
}

// fieldOf returns the field of the parameter that a name of the query means.
func (p *parameter) fieldOf(name string) (string, bool) {
	if p.style == "deepObject" {
		rest, ok := strings.CutPrefix(name, p.name+"[")
		field, shut := strings.CutSuffix(rest, "]")
		return field, ok && shut
	}
	if p.schema == nil || !p.spreads() {
		return "", false
	}
	known := p.schema.find(func(n *node) *node { return n.properties[name] })
	return name, known != nil
}

// takesAll reports whether any name of the query may be a field of the parameter.
func (p *parameter) takesAll() bool {
	if p.schema == nil || p.style == "deepObject" || !p.spreads() {
		return false
	}
	return p.schema.find(func(n *node) *node {
		if n.properties != nil && n.additional == nil || n.additional != nil && n.additional.refuse {
			return nil
		}
		return n
	}) != nil
}

// unknownQuery records parameters of the query that nobody described.
func unknownQuery(e *evaluation, parameters []*parameter, keys []string, query []pair) {
	if slices.ContainsFunc(parameters, (*parameter).takesAll) {
		return
	}
	e.in, e.path = "query", e.path[:0]
	told := map[string]bool{}
	for _, q := range query {
		known := slices.Contains(keys, q.name) || slices.ContainsFunc(parameters, func(p *parameter) bool { return p.has(q.name) })
		if !known && !told[q.name] && !e.full() {
			told[q.name] = true
			e.field = printable(q.name)
			e.mistake("is not known")
		}
	}
}

// has reports whether a name of the query belongs to the parameter.
func (p *parameter) has(name string) bool {
	if p.in != "query" {
		return false
	}
	if p.name == name && !p.spreads() {
		return true
	}
	_, ok := p.fieldOf(name)
	return ok
}
