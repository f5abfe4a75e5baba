package openapi

import (
	"encoding/json"
	"maps"
	"slices"
)

// flattener puts together what is spread over references and allOf. left bounds
// how many schemas it takes for one: each may name two others, and so on.
type flattener struct {
	doc  *Document
	left int
	cut  bool // it was not enough
}

// maxParts is how many schemas are put together for one.
const maxParts = 10_000

// effective returns a schema without references and without what allOf spreads
// over several: its keywords in one object. What cannot be put together stays in
// allOf.
func (d *Document) effective(v any) map[string]any {
	f := &flattener{doc: d, left: maxParts}
	return f.effective(v, maxDepth)
}

func (f *flattener) effective(v any, depth int) map[string]any {
	if allowed, ok := v.(bool); ok && !allowed {
		return map[string]any{"not": map[string]any{}}
	}
	m, _ := v.(map[string]any)
	out := make(map[string]any, len(m))
	for name, value := range m {
		if name != "$ref" && name != "allOf" {
			out[name] = own(name, value)
		}
	}
	if f.left--; f.left < 0 || depth == 0 {
		f.cut = f.cut || m["$ref"] != nil || m["allOf"] != nil
		return out
	}
	if ref, ok := m["$ref"].(string); ok {
		target, _ := lookup(f.doc.root, ref[1:])
		combine(out, f.effective(target, depth-1))
	}
	for _, part := range items(m, "allOf") {
		combine(out, f.effective(part, depth-1))
	}
	f.unwrapNull(out, depth)
	return out
}

// unwrapNull makes "this or null" a schema of two types, as the keyword type says
// it.
func (f *flattener) unwrapNull(out map[string]any, depth int) {
	for _, keyword := range []string{"anyOf", "oneOf"} {
		alternatives := items(out, keyword)
		if len(alternatives) != 2 {
			continue
		}
		at := slices.IndexFunc(alternatives, func(v any) bool {
			m, _ := v.(map[string]any)
			return text(m, "type") == "null"
		})
		if at < 0 {
			continue
		}
		other := f.effective(alternatives[1-at], depth-1)
		if other["type"] == nil {
			continue
		}
		delete(out, keyword)
		other["type"] = append(namesOf(typesOf(other)), "null")
		if enum := items(other, "enum"); enum != nil {
			other["enum"] = append(slices.Clone(enum), nil)
		}
		combine(out, other)
	}
}

func namesOf(t typeSet) []any {
	var all []any
	for _, name := range t.names() {
		all = append(all, name)
	}
	return all
}

// combine adds the keywords of a schema that holds as well.
func combine(out, more map[string]any) {
	for name, value := range more {
		mine, both := out[name]
		if !both {
			out[name] = own(name, value)
			continue
		}
		if merged, ok := conjunction(name, mine, value); ok {
			out[name] = merged
		} else if !equal(mine, value) {
			rest, _ := out["allOf"].([]any)
			out["allOf"] = append(rest, map[string]any{name: value})
		}
	}
}

// own copies what combine adds to: the document never changes, and a copy for each
// of many parts would take time by their square.
func own(name string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		if name == "properties" {
			return maps.Clone(v)
		}
	case []any:
		if name == "required" || name == "allOf" {
			return slices.Clone(v)
		}
	}
	return value
}

// conjunction returns the value of a keyword that says what both do.
func conjunction(name string, a, b any) (any, bool) {
	switch name {
	case "title", "description", "default", "examples", "readOnly", "writeOnly", "deprecated", "discriminator":
		return a, true
	case "required":
		x, _ := a.([]any)
		y, _ := b.([]any)
		return append(x, y...), true
	case "type":
		set := typesOf(map[string]any{"type": a}) & typesOf(map[string]any{"type": b})
		return namesOf(set), set != 0
	case "properties":
		return properties(a, b), true
	case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
		return extreme(a, b, 1)
	case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
		return extreme(a, b, -1)
	}
	return nil, false
}

// properties adds those of b to a.
func properties(a, b any) map[string]any {
	out, _ := a.(map[string]any)
	more, _ := b.(map[string]any)
	for name, value := range more {
		if mine, both := out[name]; both && !equal(mine, value) {
			value = map[string]any{"allOf": []any{mine, value}}
		}
		if out != nil {
			out[name] = value
		}
	}
	return out
}

// extreme returns the larger number for want 1, the smaller for -1.
func extreme(a, b any, want int) (any, bool) {
	x, ok := a.(json.Number)
	y, ok2 := b.(json.Number)
	if !ok || !ok2 {
		return nil, false
	}
	if decimalOf(x.String()).compare(decimalOf(y.String())) == want {
		return a, true
	}
	return b, true
}

// typesOf returns the types that a schema without references allows.
func typesOf(m map[string]any) typeSet {
	if names := texts(m, "type"); len(names) > 0 {
		var set typeSet
		for _, name := range names {
			set |= typeNamed(name)
		}
		return set
	}
	if enum, ok := enumOf(m); ok {
		var set typeSet
		for _, v := range enum {
			set |= typeOf(v)
		}
		return set
	}
	return isAny
}
