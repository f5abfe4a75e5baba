package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unicode/utf8"
)

// maxDepth is how deep the answer of a service may be nested.
const maxDepth = 100

// value is JSON text without white space that parse has accepted. It is never
// decoded as a whole: what is passed on is passed on byte for byte.
type value []byte

var null = value("null")

// parse accepts JSON that has one reading only (RFC 8259 §4 and §8.1, RFC 7493
// §2.3): UTF-8, and no field twice.
func parse(text []byte) (value, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	var out bytes.Buffer
	out.Grow(len(text))
	if err := json.Compact(&out, text); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	v := value(out.Bytes())
	if _, err := v.check(0, 0); err != nil {
		return nil, err
	}
	return v, nil
}

// check reads the value at i, and returns where it ends.
func (v value) check(i, depth int) (int, error) {
	open := v[i]
	if open != '{' && open != '[' {
		return v.end(i), nil
	}
	if depth == maxDepth {
		return 0, fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	var seen names
	for i++; v[i] != open+2; { // ] and } are two after [ and {
		if v[i] == ',' {
			i++
		}
		if open == '{' {
			colon := v.end(i)
			if !seen.add(v[i:colon].string()) {
				return 0, errors.New("it has an object with a field twice")
			}
			i = colon + 1
		}
		end, err := v.check(i, depth+1)
		if err != nil {
			return 0, err
		}
		i = end
	}
	return i + 1, nil
}

// names is a set that is cheap while it is small.
type names struct {
	few  []string
	many map[string]bool
}

func (n *names) add(name string) bool {
	if n.many == nil && len(n.few) < 16 {
		if slices.Contains(n.few, name) {
			return false
		}
		n.few = append(n.few, name)
		return true
	}
	if n.many == nil {
		n.many = map[string]bool{}
		for _, f := range n.few {
			n.many[f] = true
		}
	}
	if n.many[name] {
		return false
	}
	n.many[name] = true
	return true
}

// end returns where the value at i ends.
func (v value) end(i int) int {
	depth := 0
	for ; i < len(v); i++ {
		switch v[i] {
		case '"':
			if i = v.quote(i); depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i // of the object or list round a number or word
			}
			if depth == 0 {
				return i + 1
			}
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// quote returns the closing quote of the string at i.
func (v value) quote(i int) int {
	for i++; v[i] != '"'; i++ {
		if v[i] == '\\' {
			i++
		}
	}
	return i
}

// members are the fields of an object: the name, in quotes, and the value.
func (v value) members() iter.Seq2[value, value] {
	return func(yield func(value, value) bool) {
		if v[0] != '{' {
			return
		}
		for i := 1; v[i] != '}'; {
			if v[i] == ',' {
				i++
			}
			colon := v.end(i)
			end := v.end(colon + 1)
			if !yield(v[i:colon], v[colon+1:end]) {
				return
			}
			i = end
		}
	}
}

// elements of a list; none if it is something else.
func (v value) elements() iter.Seq[value] {
	return func(yield func(value) bool) {
		if v[0] != '[' {
			return
		}
		for i := 1; v[i] != ']'; {
			if v[i] == ',' {
				i++
			}
			end := v.end(i)
			if !yield(v[i:end]) {
				return
			}
			i = end
		}
	}
}

// at returns what is at a path of fields; null if there is nothing.
func (v value) at(path []string) value {
	for _, name := range path {
		v = v.field(name)
	}
	return v
}

func (v value) field(name string) value {
	for key, member := range v.members() {
		if key.is(name) {
			return member
		}
	}
	return null
}

// is reports whether a string is the name.
func (v value) is(name string) bool {
	if inside := v[1 : len(v)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return string(inside) == name
	}
	return v.string() == name
}

// string decodes a string.
func (v value) string() string {
	if inside := v[1 : len(v)-1]; bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	var text string
	_ = json.Unmarshal(v, &text) // parse has accepted it
	return text
}

// text is what a string, number or boolean says; others say nothing.
func (v value) text() (text string, scalar bool) {
	switch v[0] {
	case '"':
		return v.string(), true
	case '{', '[':
		return "", false
	}
	if v.null() {
		return "", true
	}
	return string(v), true
}

func (v value) null() bool { return v[0] == 'n' }

func quoted(name string) value {
	text, _ := json.Marshal(name) // a string: it cannot fail
	return text
}
