package openapi

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of a number's text. A longer one costs time out of proportion to its
// length when it is compared exactly: 1e1000000000 is twelve bytes.
const (
	maxDigits   = 1000
	maxExponent = 400
)

// syntaxError is where text stops being what it should be.
type syntaxError struct {
	offset int
	text   string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("at byte %d: %s", e.offset, e.text) }

// reader parses one JSON text (RFC 8259), more strictly than encoding/json: a
// name that occurs twice in an object, a lone surrogate and invalid UTF-8 are
// errors, because two programs may read them differently; depth and the number
// of values are bounded. Numbers stay text.
type reader struct {
	data   []byte
	at     int
	depth  int // how many levels may still open
	values int // how many values may still come
}

// parseJSON returns nil, bool, json.Number, string, []any or map[string]any.
func parseJSON(data []byte, depth, values int) (any, error) {
	r := &reader{data: data, depth: depth, values: values}
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.at < len(data) {
		return nil, r.fail("something follows the end of the value")
	}
	return v, nil
}

func (r *reader) fail(text string) error { return &syntaxError{r.at, text} }

func (r *reader) space() {
	for r.at < len(r.data) {
		switch r.data[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// next skips white space and returns the byte after it, 0 at the end.
func (r *reader) next() byte {
	r.space()
	if r.at == len(r.data) {
		return 0
	}
	return r.data[r.at]
}

func (r *reader) value() (any, error) {
	if r.values--; r.values < 0 {
		return nil, r.fail("it has too many values")
	}
	switch c := r.next(); {
	case c == '{':
		return r.nested(r.object)
	case c == '[':
		return r.nested(r.array)
	case c == '"':
		s, err := r.string()
		return s, err
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return nil, r.word("null")
	case c == 0 && r.at == len(r.data):
		return nil, r.fail("it ends where a value should be")
	}
	return nil, r.fail("no value begins like this")
}

func (r *reader) nested(read func() (any, error)) (any, error) {
	if r.depth--; r.depth < 0 {
		return nil, r.fail("it is nested too deep")
	}
	r.at++ // the opening bracket
	v, err := read()
	r.depth++
	return v, err
}

func (r *reader) word(want string) error {
	if !strings.HasPrefix(string(r.data[r.at:min(len(r.data), r.at+len(want))]), want) {
		return r.fail("no value begins like this")
	}
	r.at += len(want)
	return nil
}

func (r *reader) object() (any, error) {
	object := map[string]any{}
	if r.next() == '}' {
		r.at++
		return object, nil
	}
	for {
		if r.next() != '"' {
			return nil, r.fail("a name should be here")
		}
		start := r.at
		name, err := r.string()
		if err != nil {
			return nil, err
		}
		if _, twice := object[name]; twice {
			return nil, &syntaxError{start, "a name occurs twice in an object"}
		}
		if r.next() != ':' {
			return nil, r.fail("a colon should be here")
		}
		r.at++
		if object[name], err = r.value(); err != nil {
			return nil, err
		}
		if done, err := r.more('}'); done || err != nil {
			return object, err
		}
	}
}

func (r *reader) array() (any, error) {
	array := []any{}
	if r.next() == ']' {
		r.at++
		return array, nil
	}
	for {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		array = append(array, v)
		if done, err := r.more(']'); done || err != nil {
			return array, err
		}
	}
}

// more reads what stands between elements, and reports whether it was the end.
func (r *reader) more(end byte) (done bool, err error) {
	switch r.next() {
	case ',':
		r.at++
		return false, nil
	case end:
		r.at++
		return true, nil
	}
	return false, r.fail("a comma or the end should be here")
}

// string reads a string; most have no escapes and are taken as they stand.
func (r *reader) string() (string, error) {
	start := r.at + 1
	for i := start; i < len(r.data); i++ {
		switch c := r.data[i]; {
		case c == '"':
			text := r.data[start:i]
			if !utf8.Valid(text) {
				return "", r.fail("a string is not UTF-8")
			}
			r.at = i + 1
			return string(text), nil
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			r.at = i
			return "", r.fail("a control character in a string")
		}
	}
	return "", r.fail("a string does not end")
}

// escaped goes on with a string at its first backslash.
func (r *reader) escaped(start, i int) (string, error) {
	out := append([]byte(nil), r.data[start:i]...)
	for i < len(r.data) {
		c := r.data[i]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", r.fail("a string is not UTF-8")
			}
			r.at = i + 1
			return string(out), nil
		case c < ' ':
			return "", r.fail("a control character in a string")
		case c != '\\':
			out = append(out, c)
			i++
		default:
			n, char, ok := escape(r.data[i:])
			if !ok {
				r.at = i
				return "", r.fail("an escape that does not exist, or half a surrogate pair")
			}
			out = utf8.AppendRune(out, char)
			i += n
		}
	}
	return "", r.fail("a string does not end")
}

// escape reads one escape and returns its length and character.
func escape(data []byte) (n int, char rune, ok bool) {
	if len(data) < 2 {
		return 0, 0, false
	}
	if data[1] != 'u' {
		i := strings.IndexByte(`"\/bfnrt`, data[1])
		if i < 0 {
			return 0, 0, false
		}
		return 2, rune("\"\\/\b\f\n\r\t"[i]), true
	}
	first, ok := hex4(data)
	if !ok || !utf16.IsSurrogate(first) {
		return 6, first, ok
	}
	second, ok := hex4(data[6:])
	char = utf16.DecodeRune(first, second)
	return 12, char, ok && char != utf8.RuneError
}

// hex4 reads the four digits of \uXXXX.
func hex4(data []byte) (rune, bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:6]), 16, 32)
	return rune(n), err == nil
}

func (r *reader) number() (any, error) {
	n := numberLength(r.data[r.at:])
	if n == 0 {
		return nil, r.fail("a number is not written as JSON wants it")
	}
	text := string(r.data[r.at : r.at+n])
	if !affordable(text) {
		return nil, r.fail("a number has too many digits")
	}
	r.at += n
	return json.Number(text), nil
}

// numberLength returns how long the number is that data begins with, 0 if it is
// none.
func numberLength(data []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i > from
	}
	has := func(chars string) bool {
		if i < len(data) && strings.IndexByte(chars, data[i]) >= 0 {
			i++
			return true
		}
		return false
	}
	has("-")
	if !has("0") && !digits() {
		return 0
	}
	if has(".") && !digits() {
		return 0
	}
	if has("eE") {
		has("+-")
		if !digits() {
			return 0
		}
	}
	return i
}

// isNumeral reports whether text is one JSON number.
func isNumeral(text string) bool { return text != "" && numberLength([]byte(text)) == len(text) }

// isNumber reports whether text is one JSON number that is cheap to compare.
func isNumber(text string) bool { return isNumeral(text) && affordable(text) }

// affordable reports whether the number of text can be compared exactly at a
// cost in proportion to its length.
func affordable(text string) bool {
	if len(text) <= 4 {
		return true
	}
	if len(text) > maxDigits {
		return false
	}
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return true
	}
	exponent, err := strconv.Atoi(text[i+1:])
	return err == nil && exponent <= maxExponent && exponent >= -maxExponent
}
