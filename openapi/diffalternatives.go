package openapi

import (
	"maps"
	"slices"
	"strings"
)

// split compares one schema with alternatives that took its place, or the other
// way round: where it is one of them still, the others are new, or gone.
func (s *schemaDiff) split(where string, x, y map[string]any, depth int) bool {
	a, b := alternativesOnly(x), alternativesOnly(y)
	switch {
	case len(a) == 0 && len(b) > 1 && !hasAlternatives(x):
		for _, one := range b {
			if t := s.try(where, x, one, depth-1); !t.less {
				s.take(t)
				s.widened(where, "may be one of %d alternatives", len(b))
				return true
			}
		}
	case len(b) == 0 && len(a) > 1 && !hasAlternatives(y):
		for _, one := range a {
			if t := s.try(where, one, y, depth-1); !t.more {
				s.take(t)
				s.narrowed(where, "has to be one of what were %d alternatives", len(a))
				return true
			}
		}
	}
	return false
}

// try compares without saying so.
func (s *schemaDiff) try(where string, a, b any, depth int) *schemaDiff {
	quiet := *s.differ
	quiet.changes = nil
	t := &schemaDiff{differ: &quiet, dir: s.dir, seen: maps.Clone(s.seen)}
	t.compare(where, a, b, depth)
	s.left = quiet.left
	return t
}

// take says what was found after all.
func (s *schemaDiff) take(t *schemaDiff) {
	s.changes = append(s.changes, t.changes...)
	s.less, s.more, s.seen = s.less || t.less, s.more || t.more, t.seen
}

func hasAlternatives(m map[string]any) bool { return m["anyOf"] != nil || m["oneOf"] != nil }

// alternativesOnly returns the alternatives of a schema that says nothing else of
// values.
func alternativesOnly(m map[string]any) []any {
	var found []any
	for name := range m {
		switch name {
		case "anyOf", "oneOf":
			if found != nil {
				return nil
			}
			found = items(m, name)
		case "title", "description", "default", "example", "examples", "deprecated", "discriminator", "readOnly", "writeOnly", "$comment", "xml", "externalDocs":
		default:
			if !strings.HasPrefix(name, "x-") {
				return nil
			}
		}
	}
	return found
}

// discriminators compares how a value says which alternative it is.
func (s *schemaDiff) discriminators(where string, x, y map[string]any) {
	a, b := object(x, "discriminator"), object(y, "discriminator")
	if a == nil || b == nil {
		return // without one, alternatives are told by their schemas
	}
	if p, q := text(a, "propertyName"), text(b, "propertyName"); p != q {
		s.changed(where, "its kind was said by %s and is said by %s", p, q)
		return
	}
	old, now := kindsOf(x, a), kindsOf(y, b)
	for _, value := range slices.Sorted(maps.Keys(old)) {
		if _, still := now[value]; !still {
			s.narrowed(where, "kind %q is gone", value)
		}
	}
	for _, value := range slices.Sorted(maps.Keys(now)) {
		if _, had := old[value]; !had {
			s.widened(where, "kind %q is new", value)
		}
	}
}

// kindsOf returns the values of a discriminator: those of its mapping, and the
// names of the alternatives that are not in it (OpenAPI 3.1 §4.8.25).
func kindsOf(m, discriminator map[string]any) map[string]string {
	kinds, mapped := map[string]string{}, map[string]bool{}
	for value, target := range object(discriminator, "mapping") {
		name, _ := target.(string)
		kinds[value] = name
		mapped[lastPart(name)] = true
	}
	for _, keyword := range []string{"oneOf", "anyOf"} {
		for _, one := range items(m, keyword) {
			if name := lastPart(refOf(one)); name != "" && !mapped[name] {
				kinds[name] = name
			}
		}
	}
	return kinds
}

// lastPart returns what follows the last slash.
func lastPart(ref string) string { return unescapePointer(ref[strings.LastIndexByte(ref, '/')+1:]) }

// alternatives pairs those that are the same, then the rest in their order.
func (s *schemaDiff) alternatives(where, keyword string, x, y map[string]any, depth int) {
	a, b := slices.Clone(items(x, keyword)), slices.Clone(items(y, keyword))
	switch {
	case len(a) == 0 && len(b) == 0:
		return
	case len(a) == 0:
		s.narrowed(where, "has to fit one of %d alternatives", len(b))
		return
	case len(b) == 0:
		s.widened(where, "need not fit one of %d alternatives", len(a))
		return
	}
	for i := 0; i < len(a); i++ {
		j := slices.IndexFunc(b, func(v any) bool { return sameAlternative(a[i], v) })
		if j < 0 {
			continue
		}
		s.compare(where, a[i], b[j], depth-1)
		a, b = slices.Delete(a, i, i+1), slices.Delete(b, j, j+1)
		i--
	}
	for len(a) > 0 && len(b) > 0 && len(a) == len(b) {
		s.compare(where, a[0], b[0], depth-1)
		a, b = a[1:], b[1:]
	}
	if len(a) > 0 {
		s.narrowed(where, "lost %d alternatives", len(a))
	}
	if len(b) > 0 {
		s.widened(where, "has %d new alternatives", len(b))
	}
}

func sameAlternative(a, b any) bool {
	if ref := refOf(a); ref != "" || refOf(b) != "" {
		return ref == refOf(b)
	}
	x, _ := a.(map[string]any)
	y, _ := b.(map[string]any)
	if t := text(x, "title"); t != "" || text(y, "title") != "" {
		return t == text(y, "title")
	}
	return equal(a, b)
}
