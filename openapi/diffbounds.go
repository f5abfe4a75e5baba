package openapi

import (
	"encoding/json"
)

// bounds compares what numbers limit.
func (s *schemaDiff) bounds(where string, x, y map[string]any) {
	s.limit(where, "minimum", edgeOf(x, "minimum", "exclusiveMinimum", 1), edgeOf(y, "minimum", "exclusiveMinimum", 1), 1)
	s.limit(where, "maximum", edgeOf(x, "maximum", "exclusiveMaximum", -1), edgeOf(y, "maximum", "exclusiveMaximum", -1), -1)
	for _, name := range []string{"minLength", "minItems", "minProperties"} {
		if a, b := edgeOf(x, name, "", 1), edgeOf(y, name, "", 1); !a.idle() || !b.idle() {
			s.limit(where, name, a, b, 1)
		}
	}
	if x["contains"] != nil && y["contains"] != nil {
		s.limit(where, "minContains", least(x), least(y), 1)
	}
	for _, name := range []string{"maxLength", "maxItems", "maxProperties", "maxContains"} {
		s.limit(where, name, edgeOf(x, name, "", -1), edgeOf(y, name, "", -1), -1)
	}
	a, had := x["multipleOf"].(json.Number)
	b, has := y["multipleOf"].(json.Number)
	switch {
	case had && has && !equal(a, b):
		s.step(where, a.String(), b.String())
	case has && !had:
		s.narrowed(where, "has to be a multiple of %s", b)
	case had && !has:
		s.widened(where, "need not be a multiple of %s", a)
	}
}

// edge is where what is allowed begins or ends.
type edge struct {
	at   decimal
	text string // as it was written
	open bool   // the number itself is not allowed
}

func (e *edge) String() string {
	switch {
	case e == nil:
		return "none"
	case e.open:
		return e.text + " (exclusive)"
	}
	return e.text
}

// edgeOf returns the stricter of a bound that a value may have and one that it may
// not; up is 1 where a larger one allows less. nil: there is none.
func edgeOf(m map[string]any, closed, open string, up int) *edge {
	var found *edge
	for _, name := range []string{closed, open} {
		n, ok := m[name].(json.Number)
		if !ok {
			continue
		}
		e := &edge{decimalOf(n.String()), n.String(), name == open}
		if found == nil || found.stricter(e, up) > 0 {
			found = e
		}
	}
	return found
}

// stricter returns 1 where other allows less than e, -1 where it allows more.
func (e *edge) stricter(other *edge, up int) int {
	switch order := up * other.at.compare(e.at); {
	case order != 0 || e.open == other.open:
		return order
	case other.open:
		return 1
	}
	return -1
}

// idle reports whether a lowest number of things allows all.
func (e *edge) idle() bool { return e == nil || e.at.sign() == 0 }

// least returns how many items have to be what an array contains: one, where
// nothing is said.
func least(m map[string]any) *edge {
	if e := edgeOf(m, "minContains", "", 1); e != nil {
		return e
	}
	return &edge{at: decimalOf("1"), text: "1"}
}

// limit compares one bound.
func (s *schemaDiff) limit(where, name string, a, b *edge, up int) {
	stricter := 0
	switch {
	case a != nil && b != nil:
		stricter = a.stricter(b, up)
	case b != nil:
		stricter = 1
	case a != nil:
		stricter = -1
	}
	switch stricter {
	case 1:
		s.narrowed(where, "%s was %s and is %s", name, a, b)
	case -1:
		s.widened(where, "%s was %s and is %s", name, a, b)
	}
}

func (s *schemaDiff) step(where, a, b string) {
	finer := func(number, unit string) bool {
		u, ok := rational(unit)
		return ok && u.Sign() != 0 && multiple(number, u)
	}
	if !finer(a, b) {
		s.narrowed(where, "multipleOf was %s and is %s", a, b)
	}
	if !finer(b, a) {
		s.widened(where, "multipleOf was %s and may be %s", a, b)
	}
}

// words compares keywords of which only the presence can be judged.
func (s *schemaDiff) words(where string, x, y map[string]any) {
	for _, name := range []string{"pattern", "format", "contentEncoding", "contentMediaType"} {
		a, b := text(x, name), text(y, name)
		wide := name == "format" && (a == "int32" && b == "int64" || a == "float" && b == "double")
		tight := name == "format" && (a == "int64" && b == "int32" || a == "double" && b == "float")
		switch {
		case a == b:
		case a == "" || tight:
			s.narrowed(where, "%s is %s", name, b)
		case b == "" || wide:
			s.widened(where, "%s is no longer %s", name, a)
		default:
			s.changed(where, "%s was %s and is %s", name, a, b)
		}
	}
	if a, b := flag(x, "uniqueItems"), flag(y, "uniqueItems"); a != b {
		if b {
			s.narrowed(where, "has to have no two equal items")
		} else {
			s.widened(where, "may have equal items")
		}
	}
}
