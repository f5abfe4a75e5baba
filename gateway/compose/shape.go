package compose

import (
	"errors"
	"iter"
	"maps"
	"slices"
)

// shape says what is kept of an answer, and how it is called.
type shape struct {
	all    bool              // every field, also those that are not in fields
	fields map[string]*shape // by their names in the answer
	name   string            // the new name; "": its own
	taken  map[string]bool   // the names that renamed and joined fields have
	limit  int               // elements; 0: all
	joins  []*part           // that are asked for once for each element
}

// newShape builds what select, rename and limit say.
func newShape(p *Part, add func(key, format string, args ...any)) *shape {
	s := &shape{all: len(p.Select) == 0}
	for _, path := range p.Select {
		if !validPath(path) {
			add("select", "%q is not a path of fields; want something like address.city", path)
			continue
		}
		s.pick(fields(path))
	}
	for _, path := range slices.Sorted(maps.Keys(p.Rename)) {
		names, to := fields(path), p.Rename[path]
		if !validPath(path) || to == "" {
			add("rename", "%q: %q is not a path of fields and a name; want something like items.unit_price: price", path, to)
			continue
		}
		parent, field := s.at(names[:len(names)-1]), s.at(names)
		if field == nil {
			add("rename", "%q is not among the selected fields", path)
			continue
		}
		if !parent.take(to) {
			add("rename", "two fields get the name %q", to)
		}
		field.name = to
	}
	for _, path := range slices.Sorted(maps.Keys(p.Limit)) {
		field := s.at(listPath(path))
		switch {
		case field == nil:
			add("limit", "%q is not among the selected fields", path)
		case p.Limit[path] < 1:
			add("limit", "%q: %d is no limit; it has to be 1 or more", path, p.Limit[path])
		default:
			field.limit = p.Limit[path]
		}
	}
	s.conflicts(add)
	return s
}

func validPath(path string) bool { return path != "" && !slices.Contains(fields(path), "") }

// listPath is a path where "." is the answer itself.
func listPath(path string) []string {
	if path == "." {
		return nil
	}
	return fields(path)
}

// pick keeps what is at a path.
func (s *shape) pick(path []string) {
	for _, name := range path {
		if s.fields[name] == nil {
			s.set(name, &shape{all: s.all})
		}
		s = s.fields[name]
	}
	s.whole()
}

// whole keeps everything, also of the fields that were narrowed before.
func (s *shape) whole() {
	s.all = true
	for _, field := range s.fields {
		field.whole()
	}
}

// at returns the shape at a path; nil if it is not kept.
func (s *shape) at(path []string) *shape {
	for _, name := range path {
		if s.fields[name] == nil {
			if !s.all {
				return nil
			}
			s.set(name, &shape{all: true})
		}
		s = s.fields[name]
	}
	return s
}

func (s *shape) set(name string, field *shape) {
	if s.fields == nil {
		s.fields = map[string]*shape{}
	}
	s.fields[name] = field
}

// take reserves a name; false if it is taken.
func (s *shape) take(name string) bool {
	if s.taken[name] {
		return false
	}
	if s.taken == nil {
		s.taken = map[string]bool{}
	}
	s.taken[name] = true
	return true
}

// conflicts finds fields that are selected under a name that another one gets.
func (s *shape) conflicts(add func(key, format string, args ...any)) {
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if field := s.fields[name]; !s.all && field.name == "" && s.taken[name] {
			add("rename", "%q is selected, and another field gets its name", name)
		}
		s.fields[name].conflicts(add)
	}
}

// names are the keys that a selection leads to, sorted.
func (s *shape) names() []string {
	var out []string
	for name, field := range s.fields {
		out = append(out, or(field.name, name))
	}
	slices.Sort(out)
	return out
}

func (s *shape) plain() bool {
	return s.all && len(s.fields) == 0 && s.limit == 0 && len(s.joins) == 0
}

// list are the elements that the shape keeps.
func (s *shape) list(v value) iter.Seq[value] {
	return func(yield func(value) bool) {
		n := 0
		for e := range v.elements() {
			if !yield(e) {
				return
			}
			if n++; n == s.limit {
				return
			}
		}
	}
}

// items calls a function for each item of the list at a path, in the order in which
// the writer will meet them. Lists on the way are gone through.
func (s *shape) items(v value, path []string, inside bool, do func(value)) error {
	switch {
	case v[0] == '[' && len(path) == 0:
		for e := range s.list(v) {
			do(e)
		}
	case v[0] == '[' && inside:
		for e := range v.elements() {
			if err := s.items(e, path, true, do); err != nil {
				return err
			}
		}
	case v[0] == '[':
		for e := range s.list(v) {
			if err := s.items(e, path, true, do); err != nil {
				return err
			}
		}
	case len(path) > 0:
		return s.fields[path[0]].items(v.field(path[0]), path[1:], false, do)
	case !v.null():
		return errors.New("what it is asked for each item of is not a list")
	}
	return nil
}

// writer puts an answer together, up to a size.
type writer struct {
	out  []byte
	max  int64
	over bool
	run  *run
	met  map[*shape]int // items so far
}

func (w *writer) raw(v []byte) {
	if w.over = w.over || int64(len(w.out)+len(v)) > w.max; !w.over {
		w.out = append(w.out, v...)
	}
}

func (w *writer) text(t string) { w.raw([]byte(t)) }

// put writes what the shape keeps of a value. Inside a list of lists, limits and
// joins are those of the outer one.
func (w *writer) put(v value, s *shape, inside bool) {
	switch {
	case s.plain():
		w.raw(v)
	case v[0] == '[':
		w.list(v, s, inside)
	case v[0] == '{':
		w.text("{")
		w.fields(v, s, false)
		w.text("}")
	case s.all:
		w.raw(v)
	default:
		w.raw(null) // not an object: it has none of the fields
	}
}

func (w *writer) list(v value, s *shape, inside bool) {
	elements := s.list(v)
	if inside {
		elements = v.elements()
	}
	w.text("[")
	more := false
	for e := range elements {
		if more {
			w.text(",")
		}
		if more = true; len(s.joins) > 0 && !inside {
			w.item(e, s)
		} else {
			w.put(e, s, true)
		}
	}
	w.text("]")
}

// item writes an element with what was asked for it.
func (w *writer) item(v value, s *shape) {
	n := w.met[s]
	w.met[s]++
	if first := s.joins[0]; first.as == "." {
		w.answer(first, n)
		return
	}
	if v[0] != '{' {
		w.put(v, s, true)
		return
	}
	w.text("{")
	more := w.fields(v, s, false)
	for _, p := range s.joins {
		if p.as == "-" {
			continue
		}
		if more {
			w.text(",")
		}
		more = true
		w.raw(quoted(p.as))
		w.text(":")
		w.answer(p, n)
	}
	w.text("}")
}

// answer writes what a part has for an item.
func (w *writer) answer(p *part, n int) { w.whole(p, w.run.results[p.index].item(n)) }

// fields writes the fields of an object, and reports whether there are any.
func (w *writer) fields(v value, s *shape, more bool) bool {
	for key, member := range v.members() {
		field := s.fields[key.string()]
		switch {
		case field == nil && !s.all:
			continue
		case (field == nil || field.name == "") && s.taken[key.string()]:
			continue
		}
		if more {
			w.text(",")
		}
		if more = true; field != nil && field.name != "" {
			key = quoted(field.name)
		}
		w.raw(key)
		w.text(":")
		if field == nil {
			w.raw(member)
		} else {
			w.put(member, field, false)
		}
	}
	return more
}
