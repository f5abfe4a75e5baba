package openapi

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
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
	seen map[[sha256.Size]byte]bool // pairs of schemas, so that recursion ends
	less bool                       // fewer values are allowed than before, perhaps
	more bool                       // more are, perhaps
	cut  bool                       // there was too much to compare
}

func (d *differ) schemas(where string, dir direction, a, b any) {
	s := &schemaDiff{differ: d, dir: dir, seen: map[[sha256.Size]byte]bool{}}
	s.compare(where, a, b, maxDepth)
}

// narrowed: fewer values are allowed. That breaks who sends them.
func (s *schemaDiff) narrowed(where, format string, args ...any) {
	s.less = true
	s.add(where, s.dir == request, format, args...)
}

// widened: more values are allowed. That breaks who reads them.
func (s *schemaDiff) widened(where, format string, args ...any) {
	s.more = true
	s.add(where, s.dir == response, format, args...)
}

// changed: some values are allowed no more, and others now. That breaks both.
func (s *schemaDiff) changed(where, format string, args ...any) {
	s.less, s.more = true, true
	s.add(where, true, format, args...)
}

func refOf(v any) string {
	m, _ := v.(map[string]any)
	return text(m, "$ref")
}

// once reports whether two schemas are to be compared: not, where they were or are
// being. Schemas without parts from elsewhere are no larger than their text.
func (s *schemaDiff) once(a, b any) bool {
	if !composed(a) && !composed(b) {
		return true
	}
	key := sha256.Sum256(appendKey(appendKey(nil, a), b))
	if s.seen[key] {
		return false
	}
	s.seen[key] = true
	return true
}

// kept reports whether both are one reference that leads to the same: most of a
// document does not change.
func (s *schemaDiff) kept(a, b any) bool {
	m, _ := a.(map[string]any)
	ref := refOf(a)
	if ref == "" || len(m) > 1 || !equal(a, b) {
		return false
	}
	same, known := s.unchanged[ref]
	if known {
		return same
	}
	t := &twins{s.differ, map[string]bool{}}
	s.unchanged[ref] = t.equal(a, b)
	if s.unchanged[ref] {
		for below := range t.seen {
			s.unchanged[below] = true
		}
	}
	return s.unchanged[ref]
}

func composed(v any) bool {
	m, _ := v.(map[string]any)
	for _, keyword := range []string{"$ref", "allOf", "anyOf", "oneOf"} {
		if m[keyword] != nil {
			return true
		}
	}
	return false
}

// flat returns two schemas without references and allOf. It reports whether that
// was possible within the bounds; else they count as changed.
func (s *schemaDiff) flat(where string, a, b any, depth int) (x, y map[string]any, ok bool) {
	whole := false
	if s.left > 0 && depth > 0 {
		f := &flattener{doc: s.before, left: maxParts}
		x = f.effective(a, maxDepth)
		g := &flattener{doc: s.after, left: maxParts}
		y = g.effective(b, maxDepth)
		s.left -= maxParts - f.left + maxParts - g.left
		whole = !f.cut && !g.cut
	}
	if !whole && !s.cut {
		s.cut = true
		s.changed(where, "is too large to be compared")
	}
	return x, y, whole
}

func (s *schemaDiff) compare(where string, a, b any, depth int) {
	if s.kept(a, b) || !s.once(a, b) {
		return
	}
	x, y, ok := s.flat(where, a, b, depth)
	if !ok || s.nothing(where, x, y) || s.split(where, x, y, depth) || !s.types(where, x, y) {
		return // of other types, the rest says nothing
	}
	s.enums(where, x, y)
	s.bounds(where, x, y)
	s.words(where, x, y)
	s.fields(where, x, y, depth)
	s.elements(where, x, y, depth)
	s.alternatives(where, "anyOf", x, y, depth)
	s.alternatives(where, "oneOf", x, y, depth)
	s.discriminators(where, x, y)
	s.others(where, x, y, depth)
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
		s.changed(where, "its type was %s and is %s", typeText(a), typeText(b))
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

// enumOf returns the values that an enum and a const leave.
func enumOf(m map[string]any) ([]any, bool) {
	enum, ok := m["enum"].([]any)
	if constant, has := m["const"]; has {
		return both(enum, constant), true
	}
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

// others are keywords whose effect is not analysed: any change counts.
func (s *schemaDiff) others(where string, x, y map[string]any, depth int) {
	s.patterned(where, x, y, depth)
	s.leftOver(where, x, y)
	for _, name := range []string{
		"not", "if", "then", "else", "contains", "dependentRequired", "dependentSchemas", "propertyNames",
		"unevaluatedItems", "unevaluatedProperties", "allOf",
	} {
		a, had := x[name]
		b, has := y[name]
		switch {
		case had && has && !s.same(a, b):
			s.changed(where, "%s changed in a way that cannot be judged", name)
		case has && !had:
			s.narrowed(where, "%s is new", name)
		case had && !has:
			s.widened(where, "%s is gone", name)
		}
	}
}

// leftOver finds where what no other keyword looks at may have become more or
// less, and something is said of it.
func (s *schemaDiff) leftOver(where string, x, y map[string]any) {
	for _, rule := range []struct {
		keyword string
		others  []string
	}{
		{"additionalProperties", []string{"patternProperties"}},
		{"unevaluatedProperties", []string{"additionalProperties", "patternProperties", "dependentSchemas", "if", "allOf"}},
		{"unevaluatedItems", []string{"items", "prefixItems", "contains", "if", "allOf"}},
	} {
		if x[rule.keyword] == nil && y[rule.keyword] == nil {
			continue
		}
		if slices.ContainsFunc(rule.others, func(other string) bool { return extent(x, other) != extent(y, other) }) {
			s.changed(where, "what is left to %s changed", rule.keyword)
		}
	}
}

// extent tells how far a keyword looks: at which names, or at how many items.
func extent(m map[string]any, keyword string) string {
	switch v := m[keyword].(type) {
	case nil:
		return ""
	case []any:
		return strings.Repeat("i", len(v))
	case map[string]any:
		if children(kindSchema)[keyword].shape == byName {
			return strings.Join(slices.Sorted(maps.Keys(v)), " ")
		}
	}
	return keyword
}

// patterned compares what is said of fields by patterns of their names.
func (s *schemaDiff) patterned(where string, x, y map[string]any, depth int) {
	a, b := object(x, "patternProperties"), object(y, "patternProperties")
	for _, pattern := range slices.Sorted(maps.Keys(a)) {
		if _, still := b[pattern]; still {
			s.compare(beneath(where, pattern), a[pattern], b[pattern], depth-1)
		} else {
			s.widened(beneath(where, pattern), "is gone")
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(b)) {
		if _, had := a[pattern]; !had {
			s.narrowed(beneath(where, pattern), "is new")
		}
	}
}

// same reports whether two schemas say the same, with what they refer to.
func (s *schemaDiff) same(a, b any) bool {
	t := &twins{s.differ, map[string]bool{}}
	return t.equal(a, b)
}

// twins follows references in two documents.
type twins struct {
	*differ
	seen map[string]bool
}

func (t *twins) equal(a, b any) bool {
	if list, ok := a.([]any); ok {
		other, ok := b.([]any)
		return ok && slices.EqualFunc(list, other, t.equal)
	}
	m, ok := a.(map[string]any)
	n, ok2 := b.(map[string]any)
	if !ok || !ok2 {
		return equal(a, b)
	}
	if t.left--; t.left < 0 {
		return false
	}
	if ref := refOf(a); ref != "" && ref == refOf(b) && !t.seen[ref] {
		t.seen[ref] = true
		p, _ := lookup(t.before.root, ref[1:])
		q, _ := lookup(t.after.root, ref[1:])
		if !t.equal(p, q) {
			return false
		}
	}
	return maps.EqualFunc(said(m), said(n), t.equal)
}

// said drops the texts for readers. A field of such a name has a schema, which is
// no text.
func said(m map[string]any) map[string]any {
	for _, name := range []string{"title", "description", "$comment"} {
		if text(m, name) != "" {
			m = maps.Clone(m)
			delete(m, name)
		}
	}
	return m
}
