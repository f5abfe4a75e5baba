package openapi

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
)

// body is what an operation takes as its body, compiled.
type body struct {
	required bool
	media    []media // the most particular first
}

type media struct {
	name   string            // as application/json, text/*, */*
	params map[string]string // that it has to have
	schema *node
	parts  map[string]*parameter // fields of a form that are written in a way of their own
}

func (s *schemas) body(op *operation) *body {
	value, ok := op.node["requestBody"]
	if !ok {
		return nil
	}
	p := s.doc.resolve(place{kindBody, value, op.at + "/requestBody"})
	b := &body{required: flag(p.object(), "required")}
	content := object(p.object(), "content")
	for _, name := range slices.Sorted(maps.Keys(content)) {
		kind, params, err := mime.ParseMediaType(name)
		if err != nil {
			kind = strings.ToLower(name)
		}
		delete(params, "charset") // it is UTF-8 for all that is checked
		at := p.at + "/content/" + escapePointer(name)
		m := media{name: kind, params: params, schema: s.nodes[at+"/schema"]}
		if kind == kindForm {
			m.parts = s.parts(at+"/encoding", object(object(content, name), "encoding"), m.schema)
		}
		b.media = append(b.media, m)
	}
	slices.SortStableFunc(b.media, func(a, c media) int {
		return cmp.Or(strings.Count(a.name, "*")-strings.Count(c.name, "*"), compareText(a.name, c.name), len(c.params)-len(a.params))
	})
	return b
}

// parts are the fields of a form that its encoding says something of.
func (s *schemas) parts(at string, encoding map[string]any, n *node) map[string]*parameter {
	parts := map[string]*parameter{}
	for _, name := range slices.Sorted(maps.Keys(encoding)) {
		e := object(encoding, name)
		p := &parameter{in: "query", name: name, style: cmp.Or(text(e, "style"), "form"), schema: n.property(name)}
		p.explode = p.style == "form"
		if explode, ok := e["explode"].(bool); ok {
			p.explode = explode
		}
		if p.style == "deepObject" {
			s.fault(at+"/"+escapePointer(name), "the style deepObject of a field of a form is not supported")
		}
		parts[name] = p
	}
	return parts
}

// find returns what a media type is described by. Of several with its name it is
// the one with its parameters, or else the first: a parameter that is left out
// must not lead to a wider description.
func (b *body) find(kind string, params map[string]string) (media, bool) {
	group, _, _ := strings.Cut(kind, "/")
	var found *media
	for i, m := range b.media {
		switch {
		case found != nil && m.name != found.name:
			return *found, true
		case m.name != kind && m.name != group+"/*" && m.name != "*/*":
		case m.fits(params):
			return m, true
		case found == nil:
			found = &b.media[i]
		}
	}
	if found == nil {
		return media{}, false
	}
	return *found, true
}

func (m media) fits(params map[string]string) bool {
	for name, want := range m.params {
		if params[name] != want {
			return false
		}
	}
	return true
}

// isJSON reports whether a media type is JSON (RFC 6839 §3.1).
func isJSON(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

const (
	kindForm  = "application/x-www-form-urlencoded"
	kindParts = "multipart/form-data"
)

// checked reports whether bodies of a media type are looked into.
func (m media) checked(kind string) bool {
	return isJSON(kind) || m.schema != nil && (kind == kindForm || kind == kindParts || strings.HasPrefix(kind, "text/"))
}

// checkBody checks the body and returns a request that has it still.
func (v *Validator) checkBody(e *evaluation, c *call, r *http.Request) (*http.Request, *Problem) {
	e.in, e.field, e.path = "body", "", e.path[:0]
	sent, empty, err := peek(r)
	if err != nil {
		return nil, v.unread(err)
	}
	if empty {
		if c.body != nil && c.body.required {
			e.mistake("is missing")
		}
		return r, nil
	}
	if r.ContentLength > v.options.MaxBody {
		return nil, v.tooLong()
	}
	if c.body == nil {
		if v.options.Body == Refuse {
			return nil, problem(http.StatusUnsupportedMediaType, "This operation takes no body.")
		}
		return v.bounded(r, sent), nil
	}
	kind, params, ok := mediaType(r)
	m, known := c.body.find(kind, params)
	if !ok || !known {
		return nil, problem(http.StatusUnsupportedMediaType, "The media type of the body is not one that this operation takes: "+c.body.names()+".")
	}
	if !m.checked(kind) {
		return v.bounded(r, sent), nil
	}
	if p := readable(r, params); p != nil {
		return nil, p
	}
	data, err := io.ReadAll(io.LimitReader(sent, v.options.MaxBody+1))
	if err != nil {
		return nil, v.unread(err)
	}
	if int64(len(data)) > v.options.MaxBody {
		return nil, v.tooLong()
	}
	v.evaluateBody(e, m, kind, params, data)
	return again(r, data), nil
}

func (b *body) names() string {
	names := make([]string, len(b.media))
	for i, m := range b.media {
		names[i] = m.name
	}
	return strings.Join(names, ", ")
}

// readable refuses encodings that would hide the body from the check (RFC 9110
// §15.5.16).
func readable(r *http.Request, params map[string]string) *Problem {
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return problem(http.StatusUnsupportedMediaType, "The body has to be sent without a Content-Encoding.")
		}
	}
	if set := params["charset"]; set != "" && !strings.EqualFold(set, "utf-8") && !strings.EqualFold(set, "us-ascii") {
		return problem(http.StatusUnsupportedMediaType, "The body has to be UTF-8.")
	}
	return nil
}

func (v *Validator) tooLong() *Problem {
	return problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", v.options.MaxBody))
}

func (v *Validator) unread(err error) *Problem {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return problem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is longer than %d bytes.", long.Limit))
	}
	return problem(http.StatusBadRequest, "The body could not be read to its end.")
}

// peek finds out whether there is a body, and returns it. Of one of unknown
// length it reads a byte and puts it back.
func peek(r *http.Request) (sent io.Reader, empty bool, err error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, true, nil
	}
	if r.ContentLength > 0 {
		return r.Body, false, nil
	}
	first := make([]byte, 1)
	switch _, err := io.ReadFull(r.Body, first); {
	case errors.Is(err, io.EOF):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	return io.MultiReader(bytes.NewReader(first), r.Body), false, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// again returns the request with a body that was read, copied only now: trailers
// come with the body's end. Its length stays what the client said: unknown, where
// it came in chunks.
func again(r *http.Request, data []byte) *http.Request {
	return withBody(r, &readCloser{bytes.NewReader(data), r.Body})
}

func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	copied := *r
	copied.Body = body
	return &copied
}

// bounded lets a body through that is not looked into, but not more of it than
// is allowed.
func (v *Validator) bounded(r *http.Request, sent io.Reader) *http.Request {
	return withBody(r, http.MaxBytesReader(nil, &readCloser{sent, r.Body}, v.options.MaxBody))
}

// evaluateBody reads a body by its media type and checks it.
func (v *Validator) evaluateBody(e *evaluation, m media, kind string, params map[string]string, data []byte) {
	var value any
	n := m.schema
	switch {
	case isJSON(kind):
		parsed, err := parseJSON(data, maxDepth, v.options.MaxValues)
		if err != nil {
			e.mistake("is no JSON that can be taken, %s", err)
			return
		}
		value = parsed
	case kind == kindForm:
		fields, wrong := pairs(string(data), v.options.MaxValues)
		if wrong != "" {
			e.mistake("%s", wrong)
			return
		}
		e.left += budget(len(fields))
		value = e.form(m, fields)
	case kind == kindParts:
		fields, wrong := v.parts(params["boundary"], data)
		if wrong != "" {
			e.mistake("%s", wrong)
			return
		}
		e.left += budget(len(fields))
		value = e.form(m, fields)
	default:
		value = string(data)
	}
	if n != nil {
		e.left += budget(min(v.options.MaxValues, len(data)/2)) + len(data) // no value is shorter than [1,
		e.evaluate(n, value)
	}
}

// form makes an object of the fields of a form. A field that occurs several times
// is a list.
func (e *evaluation) form(m media, fields []pair) any {
	form := make(map[string]any, len(fields))
	for _, f := range fields {
		schema := m.schema.property(f.name)
		before, twice := form[f.name]
		list, many := before.([]any)
		switch p := m.parts[f.name]; {
		case schema.only(isArray) && p != nil && !p.explode && !twice:
			form[f.name] = e.separated(p, f.raw)
		case schema.only(isArray):
			value := e.fieldValue(schema.item(len(list)), f)
			if whole, ok := value.([]any); ok && f.json && !twice {
				form[f.name] = whole
			} else {
				form[f.name] = append(list, value)
			}
		case many:
			form[f.name] = append(list, e.fieldValue(schema, f))
		case twice:
			form[f.name] = []any{before, e.fieldValue(schema, f)}
		default:
			form[f.name] = e.fieldValue(schema, f)
		}
	}
	return form
}

// separated is a list that stands in one field.
func (e *evaluation) separated(p *parameter, raw string) any {
	list := []any{}
	for i, part := range p.split(raw) {
		list = append(list, e.typed(p.schema.item(i), p.decodePart(part)))
	}
	return list
}

// fieldValue returns the value of a field: JSON where it says so, or where it has to be
// an object (OpenAPI 3.1 §4.8.15). What cannot be taken stays a text.
func (e *evaluation) fieldValue(n *node, f pair) any {
	if f.json || n.only(isObject) {
		if v, err := parseJSON([]byte(f.value), maxDepth, maxPairs); err == nil {
			return v
		}
	}
	return e.typed(n, f.value)
}

// parts reads multipart/form-data (RFC 7578).
func (v *Validator) parts(boundary string, data []byte) ([]pair, string) {
	if boundary == "" {
		return nil, "has no boundary"
	}
	if !bytes.Contains(data, []byte("--"+boundary+"--")) { // the library takes a text without parts for one that ended
		return nil, "is no multipart/form-data"
	}
	in := multipart.NewReader(bytes.NewReader(data), boundary)
	var all []pair
	for len(all) < min(v.options.MaxValues, maxPairs) {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all, ""
		}
		if err != nil {
			return nil, "is no multipart/form-data"
		}
		value, err := io.ReadAll(part)
		if err != nil {
			return nil, "is no multipart/form-data"
		}
		all = append(all, pair{name: part.FormName(), value: string(value), json: isJSON(part.Header.Get("Content-Type"))})
	}
	return nil, "has too many parts"
}
