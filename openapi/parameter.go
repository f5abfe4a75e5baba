package openapi

import (
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// parameter is one parameter of an operation, compiled.
type parameter struct {
	in, name string
	style    string
	explode  bool
	required bool
	empty    bool // allowEmptyValue
	json     bool // its content is JSON
	text     bool // its content is a text
	opaque   bool // its content is something else
	schema   *node
	taken    func(name string) bool // by other parameters; nil: this one takes only its own
}

func (s *schemas) parameter(p place) *parameter {
	m := p.object()
	out := &parameter{in: text(m, "in"), name: text(m, "name"), style: text(m, "style"), required: flag(m, "required"), empty: flag(m, "allowEmptyValue")}
	if out.in == "header" {
		out.name = textproto.CanonicalMIMEHeaderKey(out.name)
	}
	if out.style == "" {
		out.style = map[string]string{"path": "simple", "header": "simple", "query": "form", "cookie": "form"}[out.in]
	}
	out.explode = out.style == "form"
	if explode, ok := m["explode"].(bool); ok {
		out.explode = explode
	}
	out.schema = s.nodes[p.at+"/schema"]
	for media := range object(m, "content") {
		out.json = isJSON(media)
		out.text = strings.HasPrefix(plainMedia(media), "text/")
		out.opaque = !out.json && !out.text
		out.schema = s.nodes[p.at+"/content/"+escapePointer(media)+"/schema"]
	}
	return out
}

// isIgnored reports parameters that mean nothing in a document (OpenAPI 3.1
// §4.8.12.1).
func isIgnored(in, name string) bool {
	return in == "header" && (name == "Accept" || name == "Content-Type" || name == "Authorization")
}

// sent is a request as its parameters see it.
type sent struct {
	request *http.Request
	path    map[string]string // still percent-encoded
	query   []pair
	cookies []pair
}

// check evaluates one parameter.
func (p *parameter) check(e *evaluation, s *sent) {
	e.in, e.field, e.path = p.in, p.name, e.path[:0]
	if isIgnored(p.in, p.name) {
		return
	}
	texts := p.texts(s)
	if len(texts) == 0 {
		if v, ok := p.spread(s, e); ok {
			e.evaluate(p.schema, v)
			return
		}
		if p.required {
			e.mistake("is missing")
		}
		return
	}
	if p.empty && len(texts) == 1 && texts[0] == "" || p.opaque {
		return
	}
	if p.json {
		p.content(e, texts)
		return
	}
	if p.schema == nil {
		return
	}
	if p.text && len(texts) == 1 {
		e.evaluate(p.schema, e.typed(p.schema, p.decodePart(texts[0])))
		return
	}
	if p.style == "label" && !strings.HasPrefix(texts[0], ".") || p.style == "matrix" && !strings.HasPrefix(texts[0], ";") {
		e.mistake("is not written in the style %s", p.style)
		return
	}
	if p.isList() || len(texts) > 1 && p.repeats() {
		p.list(e, texts)
		return
	}
	if len(texts) > 1 {
		e.mistake("occurs more than once")
		return
	}
	if p.schema.only(isObject) {
		p.object(e, texts[0])
		return
	}
	v := e.typed(p.schema, p.plain(texts[0]))
	if p.schema.accepts()&isArray != 0 && !e.fits(p.schema, v) {
		p.list(e, texts)
		return
	}
	e.evaluate(p.schema, v)
}

// repeats reports whether the parameter may occur several times, as a list.
func (p *parameter) repeats() bool {
	return p.in == "query" && p.explode && p.schema.accepts()&isArray != 0
}

func (p *parameter) isList() bool { return p.schema.only(isArray) }

// spreads reports whether the parameter is an object whose fields are parameters
// of their own, so that its own name is never sent.
func (p *parameter) spreads() bool {
	if p.json || p.text || p.opaque {
		return false
	}
	return p.style == "deepObject" || p.in == "query" && p.style == "form" && p.explode && p.schema != nil && p.schema.only(isObject)
}

// texts returns what was sent under the parameter's name, as it was sent.
func (p *parameter) texts(s *sent) []string {
	var all []string
	switch p.in {
	case "path":
		if v, ok := s.path[p.name]; ok {
			all = append(all, v)
		}
	case "query":
		if p.spreads() {
			return nil
		}
		for _, q := range s.query {
			if q.name == p.name {
				all = append(all, q.raw)
			}
		}
	case "header":
		if values := s.request.Header[p.name]; len(values) > 0 {
			return []string{strings.Join(values, ", ")}
		}
		if p.name == "Host" && s.request.Host != "" {
			return []string{s.request.Host}
		}
	case "cookie":
		for _, c := range s.cookies {
			if c.name == p.name {
				all = append(all, c.value)
			}
		}
	}
	return all
}

// plain undoes the percent-encoding of a part.
func (p *parameter) plain(raw string) string {
	switch p.in {
	case "path":
		raw, _ = p.prefixed(raw)
		return decoded(raw)
	case "query":
		if plain, err := url.QueryUnescape(raw); err == nil {
			return plain
		}
	}
	return raw
}

// prefixed takes away what the styles label and matrix begin with.
func (p *parameter) prefixed(raw string) (string, bool) {
	switch p.style {
	case "label":
		return strings.CutPrefix(raw, ".")
	case "matrix":
		return strings.CutPrefix(raw, ";"+p.name+"=")
	}
	return raw, true
}

// content evaluates a parameter whose text is JSON.
func (p *parameter) content(e *evaluation, texts []string) {
	if len(texts) > 1 {
		e.mistake("occurs more than once")
		return
	}
	v, err := parseJSON([]byte(p.plain(texts[0])), maxDepth, maxPairs)
	if err != nil {
		e.mistake("is no JSON: %s", err)
		return
	}
	if p.schema != nil {
		e.evaluate(p.schema, v)
	}
}

func (p *parameter) list(e *evaluation, texts []string) {
	var parts []string
	switch {
	case p.in == "query" && p.explode:
		parts = texts
	case len(texts) > 1:
		e.mistake("occurs more than once")
		return
	default:
		parts = p.split(texts[0])
	}
	list := make([]any, len(parts))
	for i, part := range parts {
		list[i] = e.typed(p.schema.item(i), p.decodePart(part))
	}
	e.evaluate(p.schema, list)
}

// decodePart is plain for a part whose prefix is gone.
func (p *parameter) decodePart(part string) string {
	switch p.in {
	case "path":
		return decoded(part)
	case "query":
		return p.plain(part)
	}
	return strings.TrimSpace(part)
}

// split cuts a text at the separator of its style (RFC 6570, OpenAPI 3.1
// §4.8.12.4). An empty text is an empty list.
func (p *parameter) split(raw string) []string {
	if p.style == "matrix" && p.explode {
		return strings.Split(strings.TrimPrefix(raw, ";"+p.name+"="), ";"+p.name+"=")
	}
	raw, _ = p.prefixed(raw)
	if raw == "" {
		return nil
	}
	switch p.style {
	case "spaceDelimited":
		return strings.Split(strings.ReplaceAll(raw, "%20", "+"), "+")
	case "pipeDelimited":
		return strings.Split(strings.ReplaceAll(strings.ReplaceAll(raw, "%7c", "|"), "%7C", "|"), "|")
	case "label":
		if p.explode {
			return strings.Split(raw, ".")
		}
	}
	return strings.Split(raw, ",")
}

// object evaluates name,value,name,value or name=value,name=value.
func (p *parameter) object(e *evaluation, raw string) {
	parts, object := p.split(raw), map[string]any{}
	if p.style == "matrix" && p.explode {
		parts = strings.Split(strings.TrimPrefix(raw, ";"), ";")
	}
	set := func(name, value string) bool {
		name = p.decodePart(name)
		_, twice := object[name]
		object[name] = e.typed(p.schema.property(name), p.decodePart(value))
		return !twice
	}
	for len(parts) > 0 {
		name, value, ok := strings.Cut(parts[0], "=")
		parts = parts[1:]
		if !p.explode {
			if ok = len(parts) > 0; ok {
				value, parts = parts[0], parts[1:]
			}
		}
		if !ok || !set(name, value) {
			e.mistake("is no list of names and values, each name once")
			return
		}
	}
	e.evaluate(p.schema, object)
}

// typed turns a text into the value that its schema takes. Where several are
// possible, the first that fits.
func (e *evaluation) typed(n *node, text string) any {
	if n == nil {
		return text
	}
	all := readings(n.accepts(), text)
	for _, v := range all[:len(all)-1] {
		if e.fits(n, v) {
			return v
		}
	}
	return all[len(all)-1]
}

// readings returns what a text may mean to a schema of such types, the most
// particular first. It has at least one.
func readings(types typeSet, text string) []any {
	var all []any
	if types&(isInteger|isFraction) != 0 && isNumber(text) {
		all = append(all, json.Number(text))
	}
	if types&isBoolean != 0 && (text == "true" || text == "false") {
		all = append(all, text == "true")
	}
	if types&isNull != 0 && (text == "" || text == "null") {
		all = append(all, nil)
	}
	if types&isString != 0 || len(all) == 0 {
		all = append(all, text)
	}
	return all
}
