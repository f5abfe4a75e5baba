package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hidden reports fields that do not go in this direction.
func (s *schemaDiff) hidden(doc *Document, v any) bool {
	m := doc.effective(v)
	return s.dir == request && flag(m, "readOnly") || s.dir == response && flag(m, "writeOnly")
}

func (s *schemaDiff) fields(where string, x, y map[string]any) {
	a, b := object(x, "properties"), object(y, "properties")
	must, needs := texts(x, "required"), texts(y, "required")
	for _, name := range slices.Sorted(maps.Keys(a)) {
		at := beneath(where, name)
		if s.hidden(s.before, a[name]) {
			continue
		}
		if _, still := b[name]; !still {
			s.fieldGone(at)
			continue
		}
		if !s.hidden(s.after, b[name]) {
			s.compare(at, a[name], b[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, had := a[name]; !had && !s.hidden(s.after, b[name]) {
			required := s.dir == request && slices.Contains(needs, name)
			s.add(beneath(where, name), required, "%s", map[bool]string{true: "is new and required", false: "is new"}[required])
		}
	}
	s.requiredFields(where, a, b, must, needs)
	s.open(where, x, y)
}

func beneath(where, name string) string {
	if strings.Contains(where, " /") {
		return where + "/" + escapePointer(name)
	}
	return where + " /" + escapePointer(name)
}

func (s *schemaDiff) fieldGone(at string) {
	if s.dir == request {
		s.add(at, true, "is gone: what clients send has no effect, or is refused")
		return
	}
	s.add(at, true, "is gone")
}

// requiredFields compares what has to be there, for fields that both have or
// neither describes.
func (s *schemaDiff) requiredFields(where string, a, b map[string]any, must, needs []string) {
	for _, name := range needs {
		_, had := a[name]
		_, has := b[name]
		if !slices.Contains(must, name) && had == has && !(has && s.hidden(s.after, b[name])) {
			s.narrowed(beneath(where, name), "is required now")
		}
	}
	for _, name := range must {
		_, had := a[name]
		_, has := b[name]
		if !slices.Contains(needs, name) && had == has && !(had && s.hidden(s.before, a[name])) {
			s.widened(beneath(where, name), "is no longer required")
		}
	}
}

// open compares what is said of fields without a name.
func (s *schemaDiff) open(where string, x, y map[string]any) {
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
		s.add(where, false, "allows other fields") // readers skip what they do not know
	case was && is:
		s.compare(beneath(where, "*"), anyIfNil(a), anyIfNil(b))
	}
}

func anyIfNil(v any) any {
	if v == nil {
		return true
	}
	return v
}

func (s *schemaDiff) elements(where string, x, y map[string]any) {
	a, b := items(x, "prefixItems"), items(y, "prefixItems")
	for i := range max(len(a), len(b)) {
		s.compare(beneath(where, fmt.Sprint(i)), element(a, i, x["items"]), element(b, i, y["items"]))
	}
	if x["items"] != nil || y["items"] != nil {
		s.compare(beneath(where, "*"), anyIfNil(x["items"]), anyIfNil(y["items"]))
	}
}

func element(prefix []any, i int, rest any) any {
	if i < len(prefix) {
		return prefix[i]
	}
	return anyIfNil(rest)
}

// alternatives pairs those that are the same, then the rest in their order.
func (s *schemaDiff) alternatives(where, keyword string, x, y map[string]any) {
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
		s.compare(where, a[i], b[j])
		a, b = slices.Delete(a, i, i+1), slices.Delete(b, j, j+1)
		i--
	}
	for len(a) > 0 && len(b) > 0 && len(a) == len(b) {
		s.compare(where, a[0], b[0])
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
