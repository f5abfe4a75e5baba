package openapi

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// compareText orders texts; strings.Compare under a name of its own, for slices.
func compareText(a, b string) int { return strings.Compare(a, b) }

// equal reports whether two values are the same to JSON Schema: 1, 1.0 and 1e0
// are one number.
func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && (a == b || decimalOf(a.String()) == decimalOf(b.String()))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	}
	switch b.(type) {
	case json.Number, []any, map[string]any:
		return false
	}
	return a == b
}

// distinct reports whether no two items are equal, in time that grows with their
// size and not with its square; and what the size was.
func distinct(list []any) (ok bool, size int) {
	seen := make(map[string]bool, len(list))
	for _, v := range list {
		key := string(appendKey(nil, v))
		if size += len(key); seen[key] {
			return false, size
		}
		seen[key] = true
	}
	return true, size
}

// appendKey writes a value so that equal values, and no others, give equal bytes.
func appendKey(out []byte, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		d := decimalOf(v.String())
		return append(strconv.AppendInt(append(strconv.AppendInt(append(out, 'd'), int64(d.sign()), 10), d.digits...), int64(d.size)+1e9, 10), ';')
	case string:
		return append(strconv.AppendInt(append(out, 's'), int64(len(v)), 10), ":"+v...)
	case bool:
		return strconv.AppendBool(out, v)
	case []any:
		out = append(out, '[')
		for _, item := range v {
			out = appendKey(out, item)
		}
		return append(out, ']')
	case map[string]any:
		out = append(out, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			out = appendKey(appendKey(out, name), v[name])
		}
		return append(out, '}')
	}
	return append(out, 'n')
}
