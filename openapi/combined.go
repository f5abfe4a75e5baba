package openapi

import "github.com/santhosh-tekuri/jsonschema/v6"

// combined evaluates the schemas that look at the same value.
func (e *evaluation) combined(n *node, v any) bool {
	ok := n.ref == nil || e.evaluate(n.ref, v)
	for _, one := range n.allOf {
		if e.hopeless(ok) {
			return false
		}
		ok = e.evaluate(one, v) && ok
	}
	if n.anyOf != nil && !e.hopeless(ok) {
		ok = e.any(n.anyOf, v) && ok
	}
	if n.oneOf != nil && !e.hopeless(ok) {
		ok = e.one(n.oneOf, v) && ok
	}
	if n.not != nil && !e.hopeless(ok) && e.fits(n.not, v) {
		ok = e.mistake("is of a kind that is not allowed")
	}
	if n.when != nil && !e.hopeless(ok) {
		next := n.otherway
		if e.fits(n.when, v) {
			next = n.then
		}
		ok = (next == nil || e.evaluate(next, v)) && ok
	}
	return ok
}

func (e *evaluation) any(alternatives []*node, v any) bool {
	for _, a := range alternatives {
		if e.fits(a, v) {
			return true
		}
	}
	return e.none(alternatives, v)
}

func (e *evaluation) one(alternatives []*node, v any) bool {
	matches := 0
	for _, a := range alternatives {
		if e.fits(a, v) {
			matches++
		}
	}
	switch matches {
	case 0:
		return e.none(alternatives, v)
	case 1:
		return true
	}
	return e.mistake("fits %d alternatives where it has to fit exactly one", matches)
}

// none says what is wrong with a value that fits no alternative: where only one
// of them is for its type, what that one says.
func (e *evaluation) none(alternatives []*node, v any) bool {
	if e.silent > 0 {
		return false
	}
	var near []*node
	for _, a := range alternatives {
		if a.accepts()&typeOf(v) != 0 {
			near = append(near, a)
		}
	}
	if len(near) != 1 {
		return e.mistake("fits none of %d alternatives", len(alternatives))
	}
	if !e.evaluate(near[0], v) {
		return false
	}
	return e.mistake("fits none of %d alternatives", len(alternatives)) // the budget ended between the two
}

// library lets the library evaluate, and words its findings.
func (e *evaluation) library(s *jsonschema.Schema, v any) bool {
	err := s.Validate(v)
	if err == nil {
		return true
	}
	wrong, ok := err.(*jsonschema.ValidationError) //nolint:errorlint // that is what it documents
	if e.silent > 0 {
		return false
	}
	if !ok {
		return e.mistake("does not fit its schema")
	}
	e.leaves(wrong)
	return false
}

func (e *evaluation) leaves(err *jsonschema.ValidationError) {
	for _, cause := range err.Causes {
		if e.full() {
			return
		}
		e.leaves(cause)
	}
	if len(err.Causes) > 0 {
		return
	}
	depth := len(e.path)
	for _, part := range err.InstanceLocation {
		e.path = append(e.path, step{name: part, index: -1})
	}
	keyword := "its schema"
	if path := err.ErrorKind.KeywordPath(); len(path) > 0 {
		keyword = path[0]
	}
	e.mistake("does not satisfy %s", keyword)
	e.path = e.path[:depth]
}
