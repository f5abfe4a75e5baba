package auth

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/banyanhq/banyan"
)

// maxDepth bounds the nesting of claims, so that nothing that walks them later
// can be made to recurse without end.
const maxDepth = 32

// Claims are the claims of a credential. They cannot be changed: what Get
// returns is the caller's own copy.
//
// A value is a string, bool, nil, int64, float64, []any or map[string]any. A
// whole number that fits is an int64, one that does not is an encoding/json
// Number, so that no digit of an id is lost; everything else is a float64.
type Claims struct{ m map[string]any }

// NewClaims copies claims. It is for tests and for credentials that are not
// tokens; an error of kind banyan.ErrInvalid names a value that JSON cannot hold.
func NewClaims(m map[string]any) (Claims, error) {
	data, err := stdjson.Marshal(m)
	if err != nil {
		return Claims{}, fmt.Errorf("auth: copy claims: %w: %w", banyan.ErrInvalid, err)
	}
	claims, reason := decodeClaims(data)
	if reason != "" {
		return Claims{}, fmt.Errorf("auth: copy claims: %w: %s", banyan.ErrInvalid, reason)
	}
	return claims, nil
}

// Get returns a claim by its name.
func (c Claims) Get(name string) (any, bool) {
	v, ok := c.m[name]
	return clone(v), ok
}

// Find returns a claim by a path: "realm_access.roles" is roles in the object
// realm_access. A claim whose whole name is the path wins, so that names that
// are URLs work too.
func (c Claims) Find(path string) (any, bool) {
	if v, ok := c.m[path]; ok {
		return clone(v), true
	}
	var at any = c.m
	for part := range strings.SplitSeq(path, ".") {
		object, _ := at.(map[string]any)
		v, ok := object[part]
		if !ok {
			return nil, false
		}
		at = v
	}
	return clone(at), true
}

// All iterates over the claims in no particular order.
func (c Claims) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for name, v := range c.m {
			if !yield(name, clone(v)) {
				return
			}
		}
	}
}

// Len is the number of claims.
func (c Claims) Len() int { return len(c.m) }

// text returns a claim that is a string, or "".
func (c Claims) text(name string) string {
	s, _ := c.m[name].(string)
	return s
}

func (c Claims) has(name string) bool {
	_, ok := c.m[name]
	return ok
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	}
	return v
}

// decodeClaims reads a JSON object. Names that occur twice are refused at every
// depth and names are case-sensitive: that is why the decoder is go-jose's and
// not encoding/json, which takes the last of two and "EXP" for "exp" (RFC 7519 §4,
// RFC 8725 §3.10: two parsers that disagree are an attack).
func decodeClaims(data []byte) (Claims, Reason) {
	if !utf8.Valid(data) || tooDeep(data) {
		return Claims{}, ReasonMalformed
	}
	var raw map[string]any
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.SetNumberType(json.UnmarshalJSONNumber)
	if err := dec.Decode(&raw); err != nil || raw == nil {
		return Claims{}, ReasonMalformed
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Claims{}, ReasonMalformed // something follows the object
	}
	for name, v := range raw {
		n, ok := number(v)
		if !ok {
			return Claims{}, ReasonMalformed
		}
		raw[name] = n
	}
	return Claims{raw}, ""
}

// tooDeep counts brackets outside strings before any parser recurses into them.
func tooDeep(data []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// number turns the numbers in v, which it changes, into what Claims promises. It
// reports false for a number that is none (1e400).
func number(v any) (any, bool) {
	ok := true
	switch v := v.(type) {
	case json.Number:
		return exact(string(v))
	case map[string]any:
		for k, e := range v {
			if v[k], ok = number(e); !ok {
				return nil, false
			}
		}
	case []any:
		for i, e := range v {
			if v[i], ok = number(e); !ok {
				return nil, false
			}
		}
	}
	return v, true
}

func exact(text string) (any, bool) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, false
	}
	if !strings.ContainsAny(text, ".eE") {
		return stdjson.Number(text), true
	}
	return f, true
}
