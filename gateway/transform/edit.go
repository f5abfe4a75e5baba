package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

var errNotJSON = errors.New("the body is not JSON that is read in one way only")

// edit returns an edited body. It goes through valid text once and leaves
// scalars as they are, so that no number is rounded.
func (e *editor) edit(body []byte) ([]byte, error) {
	if !utf8.Valid(body) || !json.Valid(body) { // RFC 8259 §8.1; 10,000 levels at most
		return nil, errNotJSON
	}
	t := &text{in: body, out: make([]byte, 0, len(body))}
	places := make([]place, len(e.paths))
	for i := range e.paths {
		places[i] = place{&e.paths[i], 0}
	}
	if e.selects && !t.container() {
		return nil, errNotJSON // all of it would have to go
	}
	t.value(places, !e.selects)
	return t.out, t.err
}

// text is valid JSON that is being copied.
type text struct {
	in  []byte
	pos int
	out []byte
	err error
}

// peek returns the next byte that is not white space.
func (t *text) peek() byte {
	for t.in[t.pos] == ' ' || t.in[t.pos] == '\t' || t.in[t.pos] == '\n' || t.in[t.pos] == '\r' {
		t.pos++
	}
	return t.in[t.pos]
}

func (t *text) container() bool { return t.peek() == '{' || t.peek() == '[' }

// value copies a value that has places. whole says that nothing is left out
// because it is not selected.
func (t *text) value(places []place, whole bool) {
	switch {
	case len(places) == 0 && whole:
		t.copy()
	case t.peek() == '{':
		t.object(places, whole)
	case t.peek() == '[':
		t.array(places, whole)
	default:
		t.copy()
	}
}

func (t *text) array(places []place, whole bool) {
	t.pos++
	t.out = append(t.out, '[')
	start := len(t.out)
	for t.peek() != ']' {
		if t.peek() == ',' {
			t.pos++
			continue
		}
		if !whole && !t.container() {
			t.skip()
			continue
		}
		if len(t.out) > start {
			t.out = append(t.out, ',')
		}
		t.value(places, whole)
	}
	t.pos++
	t.out = append(t.out, ']')
}

// member of an object as it was written.
type member struct {
	name       string
	start, end int // in out, with the comma before it
	renamed    bool
}

// object is being copied.
type object struct {
	*text
	start   int     // of the members, in out
	done    []*path // of opSet
	names   []string
	members []member // those with these names
}

func (t *text) object(places []place, whole bool) {
	t.pos++
	t.out = append(t.out, '{')
	o := &object{text: t, start: len(t.out)}
	for _, p := range places {
		if p.op == opRename && p.last() {
			o.names = append(o.names, p.text)
		}
	}
	for t.peek() != '}' {
		if t.peek() == ',' {
			t.pos++
			continue
		}
		o.member(places, whole)
	}
	t.pos++
	for _, p := range places {
		if p.op == opSet && p.last() && !slices.Contains(o.done, p.path) {
			o.set(p.path)
		}
	}
	o.settle()
	t.out = append(t.out, '}')
}

// member copies a member, or does not.
func (o *object) member(places []place, whole bool) {
	from := o.pos
	o.skip()
	key := o.in[from:o.pos]
	name := o.name(key)
	o.peek()
	o.pos++ // the colon
	next, h := step(places, name)
	whole = whole || h.selected
	switch {
	case h.removed:
		o.skip()
		return
	case h.set != nil:
		o.skip()
		if !slices.Contains(o.done, h.set) {
			o.set(h.set)
		}
		return
	case !whole && (!selecting(next) || !o.container()):
		o.skip()
		return
	}
	if h.rename != nil {
		name, key = h.rename.text, quote(h.rename.text)
	}
	o.write(name, key, h.rename != nil, func() { o.value(next, whole) })
}

// set writes a member with a value of the rules.
func (o *object) set(p *path) {
	o.done = append(o.done, p)
	name := p.segments[len(p.segments)-1]
	o.write(name, quote(name), false, func() { o.out = append(o.out, p.text...) })
}

func (o *object) write(name string, key []byte, renamed bool, value func()) {
	m := member{name: name, start: len(o.out), renamed: renamed}
	if len(o.out) > o.start {
		o.out = append(o.out, ',')
	}
	o.out = append(append(o.out, key...), ':')
	value()
	m.end = len(o.out)
	if slices.Contains(o.names, name) {
		o.members = append(o.members, m)
	}
}

// settle takes out what has the new name of another member, in one pass: there may
// be very many.
func (o *object) settle() {
	var taken []string // at most as many as there are rules
	for _, m := range o.members {
		if m.renamed && !slices.Contains(taken, m.name) {
			taken = append(taken, m.name)
		}
	}
	if len(taken) == 0 {
		return
	}
	end, from := o.start, o.start // what is kept so far, and where more may be kept
	keep := func(to int) {
		end += copy(o.out[end:], o.out[from:to])
	}
	for _, m := range o.members {
		if !m.renamed && slices.Contains(taken, m.name) {
			keep(m.start)
			from = m.end
		}
	}
	keep(len(o.out))
	o.out = o.out[:end]
	if end > o.start && o.out[o.start] == ',' {
		o.out = slices.Delete(o.out, o.start, o.start+1)
	}
}

// name returns what a key means. Servers disagree about NUL and about halves of
// surrogates (RFC 8259 §8.2), so that a rule could be got past with them.
func (o *object) name(key []byte) string {
	if bytes.IndexByte(key, '\\') < 0 {
		return string(key[1 : len(key)-1])
	}
	var s string
	if json.Unmarshal(key, &s) != nil || strings.ContainsAny(s, "\x00\ufffd") {
		o.err = errNotJSON
	}
	return s
}

func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string: it cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// skip goes over a value, or a key.
func (t *text) skip() { t.over(nil) }

// copy copies a value without white space.
func (t *text) copy() { t.over(func(b []byte) { t.out = append(t.out, b...) }) }

// over goes over a value token by token.
func (t *text) over(token func([]byte)) {
	depth := 0
	for {
		c, from := t.peek(), t.pos
		t.token(c)
		if token != nil {
			token(t.in[from:t.pos])
		}
		switch c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

// token goes over one token that begins with c.
func (t *text) token(c byte) {
	t.pos++
	switch c {
	case '{', '}', '[', ']', ',', ':':
	case '"':
		for t.in[t.pos] != '"' {
			if t.in[t.pos] == '\\' {
				t.pos++
			}
			t.pos++
		}
		t.pos++
	default:
		for t.pos < len(t.in) && bytes.IndexByte([]byte(",]} \t\r\n"), t.in[t.pos]) < 0 {
			t.pos++
		}
	}
}
