package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hidden reports fields that do not go in this direction.
func (s *schemaDiff) hidden(doc *Document, v any) bool {
	if s.left < 0 {
		return false
	}
	f := &flattener{doc: doc, left: maxParts}
	m := f.effective(v, maxDepth)
	s.left -= maxParts - f.left
	return s.dir == request && flag(m, "readOnly") || s.dir == response && flag(m, "writeOnly")
}

// visible returns the fields that go in this direction, and which of the required
// ones do.
func (s *schemaDiff) visible(doc *Document, m map[string]any) (fields map[string]any, required map[string]bool) {
	fields = map[string]any{}
	required = map[string]bool{}
	for _, name := range texts(m, "required") {
		required[name] = true
	}
	for name, v := range object(m, "properties") {
		if !s.hidden(doc, v) {
			fields[name] = v
			continue
		}
		delete(required, name)
	}
	return fields, required
}

func (s *schemaDiff) fields(where string, x, y map[string]any, depth int) {
	a, must := s.visible(s.before, x)
	b, needs := s.visible(s.after, y)
	for _, name := range slices.Sorted(maps.Keys(a)) {
		at := beneath(where, name)
		if _, still := b[name]; !still {
			s.fieldGone(at)
			continue
		}
		s.compare(at, a[name], b[name], depth-1)
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, had := a[name]; !had {
			s.fieldNew(beneath(where, name), needs[name] && !must[name])
		}
	}
	s.requiredFields(where, a, b, must, needs)
	s.open(where, x, y, depth)
}

func beneath(where, name string) string {
	if strings.Contains(where, " /") {
		return where + "/" + escapePointer(name)
	}
	return where + " /" + escapePointer(name)
}

func (s *schemaDiff) fieldGone(at string) {
	if s.dir == request {
		s.changed(at, "is gone: what clients send has no effect, or is refused")
		return
	}
	s.changed(at, "is gone")
}

func (s *schemaDiff) fieldNew(at string, required bool) {
	if required = required && s.dir == request; required {
		s.less = true
	}
	s.add(at, required, "%s", map[bool]string{true: "is new and required", false: "is new"}[required])
}

// requiredFields compares what has to be there, for fields that both have or
// neither describes.
func (s *schemaDiff) requiredFields(where string, a, b map[string]any, must, needs map[string]bool) {
	described := func(name string) bool {
		_, had := a[name]
		_, has := b[name]
		return had != has
	}
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if !must[name] && !described(name) {
			s.narrowed(beneath(where, name), "is required now")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(must)) {
		if !needs[name] && !described(name) {
			s.widened(beneath(where, name), "is no longer required")
		}
	}
}

// open compares what is said of fields without a name.
func (s *schemaDiff) open(where string, x, y map[string]any, depth int) {
	a, had := x["additionalProperties"]
	b, has := y["additionalProperties"]
	if !had && !has {
		return
	}
	was, is := !had || a != false, !has || b != false
	switch {
	case was && !is:
		s.narrowed(where, "allows no other fields")
	case is && !was:
		s.more = true
		s.add(where, false, "allows other fields") // readers skip what they do not know
	case was && is:
		s.compare(beneath(where, "*"), anyIfNil(a), anyIfNil(b), depth-1)
	}
}

func anyIfNil(v any) any {
	if v == nil {
		return true
	}
	return v
}

func (s *schemaDiff) elements(where string, x, y map[string]any, depth int) {
	a, b := items(x, "prefixItems"), items(y, "prefixItems")
	for i := range max(len(a), len(b)) {
		s.compare(beneath(where, fmt.Sprint(i)), element(a, i, x["items"]), element(b, i, y["items"]), depth-1)
	}
	if x["items"] != nil || y["items"] != nil {
		s.compare(beneath(where, "*"), anyIfNil(x["items"]), anyIfNil(y["items"]), depth-1)
	}
}

func element(prefix []any, i int, rest any) any {
	if i < len(prefix) {
		return prefix[i]
	}
	return anyIfNil(rest)
}
