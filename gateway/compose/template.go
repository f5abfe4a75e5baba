package compose

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// source is where a value comes from.
type source int

const (
	fromPath source = iota
	fromQuery
	fromHeader
	fromItem
	fromPart
)

// sources by the name that templates give them. It is read only.
var sources = map[string]source{"path": fromPath, "query": fromQuery, "header": fromHeader, "item": fromItem}

// ref is a value in braces.
type ref struct {
	text     string // as written, for errors
	from     source
	name     string   // of the wildcard, parameter, header or part
	fields   []string // of an item or part
	optional bool
	fallback string
	part     *part // of fromPart, once it is known
	sibling  bool  // the part has the same for_each
}

// perItem reports whether the value may differ from item to item.
func (r *ref) perItem() bool { return r.from == fromItem || r.sibling }

// given reports whether the value comes from the request.
func (r *ref) given() bool { return r.from < fromItem }

// piece is a literal, or a value.
type piece struct {
	literal string
	ref     *ref
}

type param struct {
	name  string // escaped
	value []piece
}

// template makes the path and query of a call.
type template struct {
	segments [][]piece
	params   []param
	pieces   []piece
	refs     []*ref
}

// parseTemplate reads "/users/{path.user}/cart?limit={query.limit}".
func parseTemplate(text string) (*template, error) {
	if !strings.HasPrefix(text, "/") {
		return nil, fmt.Errorf("%q does not begin with /", text)
	}
	pieces, err := cut(text)
	if err != nil {
		return nil, err
	}
	t := &template{}
	path, query := split(pieces)
	t.segments = divide(path, "/")[1:]
	for _, p := range divide(query, "&") {
		if len(p) == 0 {
			continue // no query at all, or &&
		}
		name, value, ok := strings.Cut(p[0].literal, "=")
		if !ok || name == "" {
			return nil, errors.New("a parameter has to be NAME=VALUE, and its name cannot have a value in braces")
		}
		p[0].literal = value
		t.params = append(t.params, param{name, slices.DeleteFunc(p, func(p piece) bool { return p.ref == nil && p.literal == "" })})
	}
	t.pieces = pieces
	for _, p := range pieces {
		if p.ref != nil {
			t.refs = append(t.refs, p.ref)
		}
	}
	return t, t.check()
}

// cut separates the values from what is round them.
func cut(text string) ([]piece, error) {
	var pieces []piece
	for text != "" {
		literal, rest, found := strings.Cut(text, "{")
		if err := plain(literal); err != nil {
			return nil, err
		}
		pieces = append(pieces, piece{literal: literal})
		if !found {
			break
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("a { has no }")
		}
		r, err := parseRef(inside)
		if err != nil {
			return nil, err
		}
		pieces, text = append(pieces, piece{ref: r}), after
	}
	return pieces, nil
}

// plain refuses what a URL cannot have.
func plain(literal string) error {
	if !http1.IsURLText(literal) {
		return fmt.Errorf("%q has characters that a URL cannot have; write them as %%XX", literal)
	}
	return nil
}

var (
	token    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	partName = regexp.MustCompile("^[A-Za-z_][A-Za-z0-9_-]*$")
)

// parseRef reads what is in braces.
func parseRef(text string) (*ref, error) {
	r := &ref{text: "{" + text + "}"}
	text, r.fallback, r.optional = strings.Cut(text, "?")
	first, rest, more := strings.Cut(text, ".")
	from, known := sources[first]
	if !known {
		from = fromPart
	}
	switch r.from, r.name = from, rest; from {
	case fromPath, fromQuery, fromHeader:
		if rest == "" {
			return nil, fmt.Errorf("%s has no name; want {%s.NAME}", r.text, first)
		}
		return r, r.checkHeader()
	case fromPart:
		if r.name = first; !partName.MatchString(first) || !more {
			return nil, fmt.Errorf("%s is not a value; want {path.NAME}, {query.NAME}, {header.NAME} or {PART.FIELD}", r.text)
		}
	}
	if r.fields = fields(rest); more && slices.Contains(r.fields, "") || more && rest == "" {
		return nil, fmt.Errorf("%s has a field without a name", r.text)
	}
	return r, nil
}

// checkHeader keeps credentials out of URLs, which end in logs.
func (r *ref) checkHeader() error {
	if r.from != fromHeader {
		return nil
	}
	switch strings.ToLower(r.name) {
	case "authorization", "cookie", "proxy-authorization":
		return fmt.Errorf("%s would put a credential into a URL; the service sees the header itself", r.text)
	}
	if !token.MatchString(r.name) {
		return fmt.Errorf("%q is not a header's name", r.name)
	}
	return nil
}

// fields splits a path of fields; "" is none.
func fields(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, ".")
}

// split returns what is before and after the first question mark.
func split(pieces []piece) (path, query []piece) {
	for i, p := range pieces {
		if before, after, found := strings.Cut(p.literal, "?"); found {
			path = append(slices.Clone(pieces[:i]), piece{literal: before})
			return path, append([]piece{{literal: after}}, pieces[i+1:]...)
		}
	}
	return pieces, nil
}

// divide splits at a separator in the literals.
func divide(pieces []piece, separator string) [][]piece {
	out := [][]piece{nil}
	last := func(p piece) {
		if p.ref != nil || p.literal != "" {
			out[len(out)-1] = append(out[len(out)-1], p)
		}
	}
	for _, p := range pieces {
		if p.ref != nil {
			last(p)
			continue
		}
		for i, literal := range strings.Split(p.literal, separator) {
			if i > 0 {
				out = append(out, nil)
			}
			last(piece{literal: literal})
		}
	}
	return out
}

// check refuses paths that are not what they seem.
func (t *template) check() error {
	for i, segment := range t.segments {
		if len(segment) == 0 && i < len(t.segments)-1 {
			return errors.New("the path has //")
		}
		var text string
		for _, p := range segment {
			if p.ref != nil && p.ref.optional && p.ref.fallback == "" {
				return fmt.Errorf("%s is a part of the path and cannot be left out; give it a default, {…?DEFAULT}, or drop the ?", p.ref.text)
			}
			if text += p.literal; p.ref != nil {
				text += http1.Escape(or(p.ref.fallback, "x"))
			}
		}
		if decoded, err := url.PathUnescape(text); err != nil || dots(decoded) {
			return errors.New("the path has . or .. for a segment")
		}
	}
	return nil
}

// dots reports whether some server could read a segment as "." or "..": many
// decode a slash before they divide, or take a backslash for one.
func dots(segment string) bool {
	for s := range strings.FieldsFuncSeq(segment, func(r rune) bool { return r == '/' || r == '\\' }) {
		if s == "." || s == ".." {
			return true
		}
	}
	return false
}

// maxTarget is how long a path and query may be, in bytes: what every server
// takes (RFC 9110 §4.1).
const maxTarget = 8000

// target is the path and query of a call, both escaped.
type target struct{ path, query string }

var (
	errDots = errors.New("a value would be . or .. for a segment")
	errLong = errors.New("the URL would be too long")
)

// blame makes an error the client's if all values are.
func blame(err error, pieces []piece) error {
	for _, p := range pieces {
		if p.ref != nil && !p.ref.given() {
			return err
		}
	}
	return &failure{status: http.StatusBadRequest, detail: err.Error()}
}

// target puts values into their places. The function returns none for one that is
// left out, and several for a batch.
func (t *template) target(separator string, get func(*ref) ([]string, error)) (target, error) {
	var path, query strings.Builder
	for _, segment := range t.segments {
		path.WriteByte('/')
		var literal strings.Builder
		for _, p := range segment {
			text := p.literal
			if p.ref != nil {
				values, err := get(p.ref)
				if err != nil {
					return target{}, err
				}
				text = http1.Escape(values[0])
			}
			literal.WriteString(text)
		}
		if decoded, err := url.PathUnescape(literal.String()); err != nil || dots(decoded) {
			return target{}, blame(errDots, segment)
		}
		path.WriteString(literal.String())
	}
	for _, p := range t.params {
		if err := p.add(&query, separator, get); err != nil {
			return target{}, err
		}
	}
	if path.Len()+query.Len() > maxTarget {
		return target{}, blame(errLong, t.pieces)
	}
	return target{path.String(), query.String()}, nil
}

func (p param) add(query *strings.Builder, separator string, get func(*ref) ([]string, error)) error {
	if len(p.value) == 1 && p.value[0].ref != nil {
		values, err := get(p.value[0].ref)
		if err != nil || len(values) == 0 {
			return err
		}
		p.write(query, values, separator)
		return nil
	}
	var text strings.Builder
	for _, piece := range p.value {
		if piece.ref == nil {
			text.WriteString(piece.literal)
			continue
		}
		values, err := get(piece.ref)
		if err != nil || len(values) == 0 {
			return err
		}
		text.WriteString(http1.Escape(values[0]))
	}
	p.start(query)
	query.WriteString(text.String())
	return nil
}

func (p param) start(query *strings.Builder) {
	if query.Len() > 0 {
		query.WriteByte('&')
	}
	query.WriteString(p.name)
	query.WriteByte('=')
}

// write adds one value, or the values of a batch.
func (p param) write(query *strings.Builder, values []string, separator string) {
	for i, v := range values {
		switch {
		case i == 0 || separator == "&":
			p.start(query)
		case separator == ",":
			query.WriteByte(',')
		default:
			query.WriteString(http1.Escape(separator))
		}
		query.WriteString(http1.Escape(v))
	}
}
