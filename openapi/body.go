package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	name   string // as application/json, text/*, */*
	schema *node
}

func (s *schemas) body(op *operation) *body {
	value, ok := op.node["requestBody"]
	if !ok {
		return nil
	}
	p := s.doc.resolve(place{kindBody, value, op.at + "/requestBody"})
	b := &body{required: flag(p.object(), "required")}
	for name := range object(p.object(), "content") {
		kind, _, err := mime.ParseMediaType(name)
		if err != nil {
			kind = strings.ToLower(name)
		}
		b.media = append(b.media, media{kind, s.nodes[p.at+"/content/"+escapePointer(name)+"/schema"]})
	}
	slices.SortFunc(b.media, func(a, c media) int {
		if wild := strings.Count(a.name, "*") - strings.Count(c.name, "*"); wild != 0 {
			return wild
		}
		return compareText(a.name, c.name)
	})
	return b
}

// find returns what a media type is described by.
func (b *body) find(kind string) (media, bool) {
	group, _, _ := strings.Cut(kind, "/")
	for _, m := range b.media {
		if m.name == kind || m.name == group+"/*" || m.name == "*/*" {
			return m, true
		}
	}
	return media{}, false
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
	m, known := c.body.find(kind)
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
	v.evaluateBody(e, m.schema, kind, params, data)
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
func (v *Validator) evaluateBody(e *evaluation, n *node, kind string, params map[string]string, data []byte) {
	var value any
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
		value = e.form(n, fields)
	case kind == kindParts:
		fields, wrong := v.parts(params["boundary"], data)
		if wrong != "" {
			e.mistake("%s", wrong)
			return
		}
		e.left += budget(len(fields))
		value = e.form(n, fields)
	default:
		value = string(data)
	}
	if n != nil {
		e.left += budget(min(v.options.MaxValues, len(data)/2)) // no value is shorter than [1,
		e.evaluate(n, value)
	}
}

// form makes an object of the fields of a form. A field that occurs several times
// is a list.
func (e *evaluation) form(n *node, fields []pair) any {
	form := make(map[string]any, len(fields))
	for _, f := range fields {
		schema := n.property(f.name)
		if schema.only(isArray) {
			list, _ := form[f.name].([]any)
			form[f.name] = append(list, e.typed(schema.item(len(list)), f.value))
			continue
		}
		value := e.typed(schema, f.value)
		if f.json {
			value = part(value)
		}
		if before, twice := form[f.name]; twice {
			list, ok := before.([]any)
			if !ok {
				list = []any{before}
			}
			form[f.name] = append(list, value)
			continue
		}
		form[f.name] = value
	}
	return form
}

// part returns the value of a part of JSON; what cannot be taken stays a text.
func part(value any) any {
	s, _ := value.(string)
	if v, err := parseJSON([]byte(s), maxDepth, maxPairs); err == nil {
		return v
	}
	return value
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
