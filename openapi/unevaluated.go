package openapi

import (
	"maps"
	"slices"
)

// reached is what of an object or array its schemas looked at, for
// unevaluatedProperties and unevaluatedItems. Schemas that did not fit count for
// nothing (JSON Schema 2020-12 §11).
type reached struct {
	names  map[string]bool
	before int          // items before this
	picked map[int]bool // other items, by contains
}

func (r *reached) field(name string) {
	if r == nil {
		return
	}
	if r.names == nil {
		r.names = map[string]bool{}
	}
	r.names[name] = true
}

func (r *reached) items(before int) {
	if r != nil {
		r.before = max(r.before, before)
	}
}

func (r *reached) item(i int) {
	if r == nil {
		return
	}
	if r.picked == nil {
		r.picked = map[int]bool{}
	}
	r.picked[i] = true
}

func (r *reached) add(more *reached) {
	for name := range more.names {
		r.field(name)
	}
	r.items(more.before)
	for i := range more.picked {
		r.item(i)
	}
}

// fitsHere is fits for a schema of the value at hand: where it fits, what it looked
// at counts.
func (e *evaluation) fitsHere(n *node, v any) bool {
	outer := e.reached
	if outer == nil {
		return e.fits(n, v)
	}
	own := &reached{}
	e.reached = own
	e.silent++
	ok := e.evaluate(n, v)
	e.silent--
	if e.reached = outer; ok {
		e.left -= len(own.names) / fieldsPerNode
		outer.add(own)
	}
	return ok
}

// complete evaluates a schema that also says something of what no other keyword
// looked at.
func (e *evaluation) complete(n *node, v any) bool {
	outer := e.reached
	e.reached = &reached{}
	ok := e.keywords(n, v)
	if ok {
		ok = e.rest(n, v)
	}
	if outer != nil && ok {
		outer.add(e.reached)
	}
	e.reached = outer
	return ok
}

// rest evaluates what is left.
func (e *evaluation) rest(n *node, v any) bool {
	ok := true
	switch v := v.(type) {
	case map[string]any:
		if n.otherFields == nil {
			break
		}
		e.left -= len(v) / fieldsPerNode
		left := slices.DeleteFunc(slices.Collect(maps.Keys(v)), func(name string) bool { return e.reached.names[name] })
		slices.Sort(left)
		for _, name := range left {
			if e.hopeless(ok) {
				return false
			}
			ok = e.other(step{name: name, index: -1}, n.otherFields, v[name]) && ok
			e.reached.field(name)
		}
	case []any:
		if n.otherItems == nil {
			break
		}
		for i := e.reached.before; i < len(v) && !e.hopeless(ok); i++ {
			if !e.reached.picked[i] {
				ok = e.other(step{index: i}, n.otherItems, v[i]) && ok
			}
		}
		e.reached.items(len(v))
	}
	return ok
}

func (e *evaluation) other(s step, n *node, v any) bool {
	if !n.refuse {
		return e.at(s, n, v)
	}
	e.path = append(e.path, s)
	e.mistake("does not satisfy its schema")
	e.path = e.path[:len(e.path)-1]
	return false
}
