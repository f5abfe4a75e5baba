package gateway

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/banyanhq/banyan/internal/nearest"
)

// misfits finds every key that is not known, value that has not the shape of its
// key, and duration that is none. The YAML library stops at the first one, has no
// line for some, and takes a number without a unit for nanoseconds.
func misfits(tree *ast.File) []Place {
	var m misfit
	for _, doc := range tree.Docs {
		m.look(doc.Body, reflect.TypeFor[Config]())
	}
	return m.found
}

type misfit struct{ found []Place }

func (m *misfit) add(node ast.Node, format string, args ...any) {
	at := node.GetToken().Position
	m.found = append(m.found, Place{Line: at.Line, Column: at.Column, Text: fmt.Sprintf(format, args...)})
}

// look looks at a node that becomes a value of a type.
func (m *misfit) look(node ast.Node, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n := node.(type) {
	case *ast.AnchorNode:
		m.look(n.Value, t)
	case *ast.MappingNode:
		m.mapping(n, n.Values, t)
	case *ast.MappingValueNode:
		m.mapping(n, []*ast.MappingValueNode{n}, t)
	case *ast.SequenceNode:
		m.sequence(n, t)
	case *ast.NullNode, *ast.AliasNode, *ast.TagNode:
	case ast.ScalarNode:
		m.scalar(n, t)
	}
}

func (m *misfit) mapping(node ast.Node, pairs []*ast.MappingValueNode, t reflect.Type) {
	if t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		hint := ""
		if len(pairs) > 0 {
			node = pairs[0].Key
			switch key := node.GetToken().Value; {
			case strings.HasPrefix(key, "http"):
				hint = "; between brackets or braces a URL needs quotes"
			case t.Kind() == reflect.String && strings.Trim(key, "0123456789abcdefABCDEF:") == "":
				hint = "; between brackets or braces an address of IPv6 needs quotes"
			}
		}
		m.add(node, "want %s, not keys with values%s", shapeOf(t), hint)
		return
	}
	for _, pair := range pairs {
		key := pair.Key.GetToken().Value
		if in := typeOfKey(t, key); in != nil {
			if _, none := pair.Value.(*ast.NullNode); none && needsValue(in) {
				m.add(pair.Key, "%q has no value; give it one, or leave it out", key)
			}
			m.look(pair.Value, in)
		} else if _, merged := pair.Key.(*ast.MergeKeyNode); !merged {
			m.add(pair.Key, "unknown key %q%s", key, suggestKey(key, t))
		}
	}
}

// needsValue reports whether a key of a type means something: without a value it
// would be as if it were not there, and auth that is not there lets everybody in.
func needsValue(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Struct, reflect.Slice, reflect.Map:
		return true
	}
	return false
}

func (m *misfit) sequence(node *ast.SequenceNode, t reflect.Type) {
	if t.Kind() != reflect.Slice {
		m.add(node, "want %s, not a list", shapeOf(t))
		return
	}
	for _, value := range node.Values {
		m.look(value, t.Elem())
	}
}

func (m *misfit) scalar(node ast.ScalarNode, t reflect.Type) {
	switch text := node.GetToken().Value; {
	case t == reflect.TypeFor[time.Duration]():
		if _, err := time.ParseDuration(text); err != nil {
			m.add(node, "%q is not a duration; want something like 30s or 1m30s", text)
		}
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Struct && t != reflect.TypeFor[Upstream]() && t != reflect.TypeFor[Redirect]():
		m.add(node, "want %s, not one value", shapeOf(t))
	}
}

// shapeOf says what values of a type look like in a file.
func shapeOf(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 30s"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.Struct, reflect.Map:
		return "keys with values"
	case reflect.Slice:
		return `a list such as [a, b], or lines that begin with "- "`
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// typeOfKey returns the type of what a mapping has under a key; nil: unknown.
func typeOfKey(t reflect.Type, key string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	return keysOf(t)[key]
}

// keysOf a struct, with their types.
func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for field := range t.Fields() {
		if key := field.Tag.Get("yaml"); key != "" && key != "-" {
			keys[key] = field.Type
		}
	}
	return keys
}

// suggestKey says what may be meant by a key that a struct does not have: one of
// its own, else the same one in another place, else any of its own.
func suggestKey(given string, t reflect.Type) string {
	known := keysOf(t)
	if nearest.To(given, slices.Collect(maps.Keys(known))) != "" {
		return suggest(given, known)
	}
	if homes := homesOf(given, reflect.TypeFor[Config](), ""); len(homes) > 0 {
		return " here; it belongs into " + strings.Join(homes[:min(len(homes), 3)], " or ")
	}
	return suggest(given, known)
}

// homesOf a key are the paths of what has it, such as "routes.compose", those of
// the least depth first.
func homesOf(key string, t reflect.Type, path string) []string {
	var homes, below []string
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return homesOf(key, t.Elem(), path)
	case reflect.Struct:
	default:
		return nil
	}
	keys := keysOf(t)
	if _, ok := keys[key]; ok {
		if path == "" {
			path = "the file itself"
		}
		homes = append(homes, path)
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		in := name
		if path != "" && path != "the file itself" {
			in = path + "." + name
		}
		below = append(below, homesOf(key, keys[name], in)...)
	}
	slices.SortStableFunc(below, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
	return append(homes, below...)
}
