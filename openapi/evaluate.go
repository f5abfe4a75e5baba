package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMistakes is how many mistakes of a request are listed. Evaluation ends with
// the last: a body with a million mistakes costs no more than one with twenty.
const maxMistakes = 20

// evaluation checks values against nodes. Its texts say what was wanted and never
// what was there: a value may be a secret.
type evaluation struct {
	mistakes []Mistake
	in       string // of the mistakes
	field    string
	path     []step
	silent   int      // > 0: only whether it fits
	left     int      // nodes that may still be evaluated
	spent    bool     // some were not: nothing that was found since counts
	reached  *reached // nil: nobody asks
}

// What takes about as long as to evaluate a node.
const (
	fieldsPerNode = 4  // fields of an object to go through
	matchPerNode  = 2  // bytes of a text to match with a pattern
	equalPerNode  = 32 // bytes of a value to compare with others
)

// step is a name of an object, or an index of an array.
type step struct {
	name  string
	index int // -1 for a name
}

// budget is how many nodes may be evaluated for a value of so many values:
// alternatives of alternatives take time that grows with a power of the depth.
func budget(values int) int { return 100_000 + 100*values }

// settle makes sure that a request that was not checked to the end is refused: to
// not and if, what did not fit for want of time looks like what does not fit.
func (e *evaluation) settle() {
	if e.spent && len(e.mistakes) == 0 {
		e.mistake("takes too long to check")
	}
}

func (e *evaluation) full() bool { return len(e.mistakes) >= maxMistakes }

// mistake records one, unless nobody wants to know. It returns false.
func (e *evaluation) mistake(format string, args ...any) bool {
	if e.silent == 0 && !e.full() {
		e.mistakes = append(e.mistakes, Mistake{In: e.in, Field: e.field, Pointer: e.pointer(), Text: printable(fmt.Sprintf(format, args...))})
	}
	return false
}

func (e *evaluation) pointer() string {
	var out strings.Builder
	for _, s := range e.path {
		out.WriteByte('/')
		if s.index >= 0 {
			out.WriteString(strconv.Itoa(s.index))
		} else {
			out.WriteString(escapePointer(s.name))
		}
	}
	return printable(out.String())
}

// hopeless reports whether there is no use in going on after a mistake.
func (e *evaluation) hopeless(ok bool) bool { return !ok && (e.silent > 0 || e.full()) }

// fits evaluates without a record.
func (e *evaluation) fits(n *node, v any) bool {
	outer := e.reached
	e.reached = nil
	e.silent++
	ok := e.evaluate(n, v)
	e.silent--
	e.reached = outer
	return ok
}

func (e *evaluation) evaluate(n *node, v any) bool {
	if e.left--; e.left < 0 || e.spent {
		e.spent = true
		return e.mistake("takes too long to check")
	}
	if n.otherFields != nil || n.otherItems != nil {
		return e.complete(n, v)
	}
	return e.keywords(n, v)
}

// keywords evaluates all but unevaluatedProperties and unevaluatedItems.
func (e *evaluation) keywords(n *node, v any) bool {
	if n.refuse {
		return e.mistake("is not allowed")
	}
	if n.types != isAny && typeOf(v)&n.types == 0 {
		return e.mistake("has to be %s", strings.Join(n.types.names(), " or "))
	}
	if n.enum != nil && !slices.ContainsFunc(n.enum, func(want any) bool { return equal(v, want) }) {
		return e.mistake("%s", oneOfText(n.enum))
	}
	ok := true
	if n.format != nil && n.format.Validate(v) != nil {
		ok = e.mistake("is no valid %s", n.format.Name)
	}
	if e.hopeless(ok) {
		return false
	}
	switch v := v.(type) {
	case string:
		ok = e.text(n, v) && ok
	case json.Number:
		ok = e.number(n, v.String()) && ok
	case []any:
		ok = e.array(n, v) && ok
	case map[string]any:
		ok = e.object(n, v) && ok
	}
	if e.hopeless(ok) {
		return false
	}
	return e.combined(n, v) && ok
}

// oneOfText lists what is possible, as long as it is short.
func oneOfText(enum []any) string {
	words := make([]string, 0, len(enum))
	for _, v := range enum {
		if word, err := json.Marshal(v); err == nil {
			words = append(words, string(word))
		}
	}
	if len(words) == 1 {
		return "has to be " + words[0]
	}
	return "has to be one of " + strings.Join(words, ", ")
}

func (e *evaluation) text(n *node, v string) bool {
	ok := true
	if n.minLength != nil || n.maxLength != nil {
		length := utf8.RuneCountInString(v)
		if n.minLength != nil && length < *n.minLength {
			ok = e.mistake("has to have at least %d characters", *n.minLength)
		}
		if n.maxLength != nil && length > *n.maxLength {
			return e.mistake("has to have at most %d characters", *n.maxLength) // whose length nobody wants is not searched
		}
	}
	if n.pattern != nil {
		e.left -= len(v) / matchPerNode
		if !n.pattern.MatchString(v) {
			ok = e.mistake("has to match %s", n.pattern)
		}
	}
	return ok
}

func (e *evaluation) number(n *node, v string) bool {
	ok := true
	if n.minimum != nil || n.maximum != nil || n.above != nil || n.below != nil {
		d := decimalOf(v)
		if n.minimum != nil && d.compare(*n.minimum) < 0 {
			ok = e.mistake("has to be at least %s", n.minimum)
		}
		if n.above != nil && d.compare(*n.above) <= 0 {
			ok = e.mistake("has to be more than %s", n.above)
		}
		if n.maximum != nil && d.compare(*n.maximum) > 0 {
			ok = e.mistake("has to be at most %s", n.maximum)
		}
		if n.below != nil && d.compare(*n.below) >= 0 {
			ok = e.mistake("has to be less than %s", n.below)
		}
	}
	if n.multipleOf != nil && !multiple(v, n.multipleOf) {
		ok = e.mistake("has to be a multiple of %s", decimalOfRat(n.multipleOf))
	}
	return ok
}

func (e *evaluation) array(n *node, list []any) bool {
	ok := e.count(len(list), n.minItems, n.maxItems, "items")
	if n.unique {
		different, size := distinct(list)
		if e.left -= size / equalPerNode; !different {
			ok = e.mistake("has to have no two equal items")
		}
	}
	for i, v := range list {
		if e.hopeless(ok) {
			return false
		}
		next := n.rest
		if i < len(n.prefix) {
			next = n.prefix[i]
		}
		if next != nil {
			ok = e.at(step{index: i}, next, v) && ok
		}
	}
	if n.rest != nil {
		e.reached.items(len(list))
	}
	e.reached.items(min(len(list), len(n.prefix)))
	if n.contains != nil {
		ok = e.containing(n, list) && ok
	}
	return ok
}

func (e *evaluation) at(s step, n *node, v any) bool {
	outer := e.reached
	e.reached = nil
	e.path = append(e.path, s)
	ok := e.evaluate(n, v)
	e.path = e.path[:len(e.path)-1]
	e.reached = outer
	return ok
}

func (e *evaluation) count(n int, least, most *int, what string) bool {
	ok := true
	if least != nil && n < *least {
		ok = e.mistake("has to have at least %d %s", *least, what)
	}
	if most != nil && n > *most {
		ok = e.mistake("has to have at most %d %s", *most, what)
	}
	return ok
}

func (e *evaluation) containing(n *node, list []any) bool {
	matches := 0
	for i, v := range list {
		if e.fits(n.contains, v) {
			matches++
			e.reached.item(i)
		}
	}
	least := 1
	if n.minContains != nil {
		least = *n.minContains
	}
	return e.count(matches, &least, n.maxContains, "items of the kind that it has to contain")
}

func (e *evaluation) object(n *node, object map[string]any) bool {
	ok := e.count(len(object), n.minProperties, n.maxProperties, "fields")
	for _, name := range n.required {
		if _, has := object[name]; !has {
			ok = e.mistake("has no field %q, which is required", name)
		}
	}
	if n.properties == nil && n.patterns == nil && n.additional == nil && n.propertyNames == nil {
		return e.dependent(n, object) && ok
	}
	e.left -= len(object) / fieldsPerNode
	if e.silent > 0 {
		if !e.tagged(n, object) {
			return false
		}
		for name, v := range object {
			if !ok {
				return false
			}
			ok = e.property(n, name, v)
		}
		return ok && e.dependent(n, object)
	}
	return e.loud(n, object) && ok
}

// tagged looks at the fields that tell alternatives apart before all others: what
// is inside of the wrong one is not gone through.
func (e *evaluation) tagged(n *node, object map[string]any) bool {
	for _, name := range n.tags {
		if v, has := object[name]; has && !e.fits(n.properties[name], v) {
			return false
		}
	}
	return true
}

// loud evaluates the fields in the order of their names only when one of them is
// wrong: mistakes are listed in the same order each time, and what is right is
// not slowed down.
func (e *evaluation) loud(n *node, object map[string]any) bool {
	wrong := []string{}
	for name, v := range object {
		e.silent++
		if !e.property(n, name, v) {
			wrong = append(wrong, name)
		}
		e.silent--
	}
	slices.Sort(wrong)
	for _, name := range wrong {
		if e.full() {
			break
		}
		e.property(n, name, object[name])
	}
	return e.dependent(n, object) && len(wrong) == 0
}

func (e *evaluation) property(n *node, name string, v any) bool {
	ok := n.propertyNames == nil || e.fits(n.propertyNames, name)
	at := step{name: name, index: -1}
	if !ok {
		e.path = append(e.path, at)
		e.mistake("has a name that is not allowed")
		e.path = e.path[:len(e.path)-1]
	}
	next, known := n.properties[name]
	if known {
		ok = e.at(at, next, v) && ok
	}
	for _, p := range n.patterns {
		if p.name.MatchString(name) {
			known = true
			ok = e.at(at, p.node, v) && ok
		}
	}
	if !known && n.additional != nil {
		known = true
		ok = e.at(at, n.additional, v) && ok
	}
	if known {
		e.reached.field(name)
	}
	return ok
}

func (e *evaluation) dependent(n *node, object map[string]any) bool {
	ok := true
	for _, name := range slices.Sorted(maps.Keys(n.needs)) {
		if _, has := object[name]; !has {
			continue
		}
		for _, needed := range n.needs[name] {
			if _, has := object[needed]; !has {
				ok = e.mistake("has no field %q, which is required with %q", needed, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.implies)) {
		if _, has := object[name]; has {
			ok = e.evaluate(n.implies[name], object) && ok
		}
	}
	return ok
}
