package openapi

import (
	"encoding/json"
	"slices"
	"strings"
)

// direction is who sends a value.
type direction int

const (
	request direction = iota
	response
)

// schemaDiff compares two schemas of values that go in one direction.
type schemaDiff struct {
	*differ
	dir  direction
	seen map[string]bool // pairs of references, so that recursion ends
}

func (d *differ) schemas(where string, dir direction, a, b any) {
	s := &schemaDiff{d, dir, map[string]bool{}}
	s.compare(where, a, b)
}

// narrowed: fewer values are allowed. That breaks who sends them.
func (s *schemaDiff) narrowed(where, format string, args ...any) {
	s.add(where, s.dir == request, format, args...)
}

// widened: more values are allowed. That breaks who reads them.
func (s *schemaDiff) widened(where, format string, args ...any) {
	s.add(where, s.dir == response, format, args...)
}

func refOf(v any) string {
	m, _ := v.(map[string]any)
	return text(m, "$ref")
}

func (s *schemaDiff) compare(where string, a, b any) {
	if key := refOf(a) + " " + refOf(b); key != " " {
		if s.seen[key] {
			return
		}
		s.seen[key] = true
	}
	x, y := s.before.effective(a), s.after.effective(b)
	if s.nothing(where, x, y) {
		return
	}
	if !s.types(where, x, y) {
		return // of other types, the rest says nothing
	}
	s.enums(where, x, y)
	s.bounds(where, x, y)
	s.words(where, x, y)
	s.fields(where, x, y)
	s.elements(where, x, y)
	s.alternatives(where, "anyOf", x, y)
	s.alternatives(where, "oneOf", x, y)
	s.others(where, x, y)
	if flag(y, "deprecated") && !flag(x, "deprecated") {
		s.add(where, false, "is deprecated")
	}
	if p, q := x["default"], y["default"]; !equal(p, q) {
		s.add(where, false, "has another default")
	}
}

// nothing handles the schema false, which allows no value.
func (s *schemaDiff) nothing(where string, x, y map[string]any) bool {
	was, is := isFalse(x), isFalse(y)
	if is && !was {
		s.narrowed(where, "allows nothing any more")
	}
	if was && !is {
		s.widened(where, "allows something now")
	}
	return was || is
}

func isFalse(m map[string]any) bool {
	not, ok := m["not"].(map[string]any)
	return ok && len(not) == 0
}

// types reports whether the two have a type in common.
func (s *schemaDiff) types(where string, x, y map[string]any) bool {
	a, b := typesOf(x), typesOf(y)
	if a&b == 0 && a|b != 0 {
		s.add(where, true, "its type was %s and is %s", typeText(a), typeText(b))
		return false
	}
	if lost := a &^ b; lost != 0 {
		s.narrowed(where, "its type was %s and is %s", typeText(a), typeText(b))
	}
	if won := b &^ a; won != 0 {
		s.widened(where, "its type was %s and may be %s", typeText(a), typeText(b))
	}
	return true
}

func typeText(t typeSet) string {
	if t == isAny {
		return "anything"
	}
	return strings.Join(t.names(), " or ")
}

func enumOf(m map[string]any) ([]any, bool) {
	if constant, ok := m["const"]; ok {
		return []any{constant}, true
	}
	enum, ok := m["enum"].([]any)
	return enum, ok
}

func (s *schemaDiff) enums(where string, x, y map[string]any) {
	a, had := enumOf(x)
	b, has := enumOf(y)
	switch {
	case !had && !has:
	case !had:
		s.narrowed(where, "allows %s only", listing(b))
	case !has:
		s.widened(where, "allows more than %s", listing(a))
	default:
		if gone := without(a, b); len(gone) > 0 {
			s.narrowed(where, "no longer allows %s", listing(gone))
		}
		if more := without(b, a); len(more) > 0 {
			s.widened(where, "allows %s too", listing(more))
		}
	}
}

func without(all, some []any) []any {
	return slices.DeleteFunc(slices.Clone(all), func(v any) bool {
		return slices.ContainsFunc(some, func(o any) bool { return equal(v, o) })
	})
}

func listing(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		word, _ := json.Marshal(v)
		words[i] = string(word)
	}
	return strings.Join(words, ", ")
}

// bounds compares what numbers limit.
func (s *schemaDiff) bounds(where string, x, y map[string]any) {
	for _, name := range []string{"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"} {
		s.limit(where, name, x, y, 1)
	}
	for _, name := range []string{"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"} {
		s.limit(where, name, x, y, -1)
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

// limit compares one bound; up is 1 where a larger one allows less.
func (s *schemaDiff) limit(where, name string, x, y map[string]any, up int) {
	a, had := x[name].(json.Number)
	b, has := y[name].(json.Number)
	if !had && !has {
		return
	}
	stricter := 0
	switch {
	case had && has:
		stricter = up * decimalOf(b.String()).compare(decimalOf(a.String()))
	case has:
		stricter = 1
	default:
		stricter = -1
	}
	was, is := "none", "none"
	if had {
		was = a.String()
	}
	if has {
		is = b.String()
	}
	switch stricter {
	case 1:
		s.narrowed(where, "%s was %s and is %s", name, was, is)
	case -1:
		s.widened(where, "%s was %s and is %s", name, was, is)
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
			s.add(where, true, "%s was %s and is %s", name, a, b)
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

// others are keywords whose effect is not analysed: any change counts.
func (s *schemaDiff) others(where string, x, y map[string]any) {
	for _, name := range []string{
		"not", "if", "then", "else", "contains", "dependentRequired", "dependentSchemas", "patternProperties", "propertyNames",
		"unevaluatedItems", "unevaluatedProperties", "allOf",
	} {
		a, had := x[name]
		b, has := y[name]
		switch {
		case had && has && !equal(a, b):
			s.add(where, true, "%s changed in a way that cannot be judged", name)
		case has && !had:
			s.narrowed(where, "%s is new", name)
		case had && !has:
			s.widened(where, "%s is gone", name)
		}
	}
}
