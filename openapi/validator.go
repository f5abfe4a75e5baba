package openapi

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// Validator checks requests against a document. It never changes and may be used
// by any number of goroutines and handlers.
type Validator struct {
	doc     *Document
	options *Options
	calls   map[*operation]*call
}

// call is an operation, compiled.
type call struct {
	op         *operation
	parameters []*parameter
	inQuery    bool     // some are in the query
	inCookie   bool     // or in cookies
	keys       []string // API keys in the query
	body       *body
}

// NewValidator compiles the schemas of a document. The error is an *Error where
// the document is at fault.
func NewValidator(doc *Document, o *Options) (*Validator, error) {
	if doc == nil {
		return nil, fmt.Errorf("openapi: validator: %w: there is no document", banyan.ErrInvalid)
	}
	o = o.defaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	s, err := compile(doc, o)
	if err != nil {
		return nil, err
	}
	v := &Validator{doc: doc, options: o, calls: map[*operation]*call{}}
	keys := doc.queryKeys()
	for _, op := range doc.ops {
		c := &call{op: op, keys: keys, body: s.body(op)}
		for _, p := range op.parameters {
			made := s.parameter(p)
			c.parameters = append(c.parameters, made)
			c.inQuery = c.inQuery || made.in == "query"
			c.inCookie = c.inCookie || made.in == "cookie"
		}
		c.share()
		v.calls[op] = c
	}
	if len(s.faults) > 0 {
		return nil, doc.fail(s.faults)
	}
	return v, nil
}

// share gives objects that take any name what no other parameter does.
func (c *call) share() {
	for _, p := range c.parameters {
		if !p.takesAll() {
			continue
		}
		p.taken = func(name string) bool {
			return slices.Contains(c.keys, name) || slices.ContainsFunc(c.parameters, func(other *parameter) bool { return other != p && other.has(name) })
		}
	}
}

// queryKeys returns the names of API keys that are sent in the query.
func (d *Document) queryKeys() []string {
	var names []string
	schemes := object(object(d.root, "components"), "securitySchemes")
	for name := range schemes {
		m := d.resolve(place{kindSecurity, schemes[name], ""}).object()
		if text(m, "type") == "apiKey" && text(m, "in") == "query" {
			names = append(names, text(m, "name"))
		}
	}
	return names
}

// Handler returns a handler that passes on what keeps the contract and answers
// the rest. What it passes on has the body that was sent, byte for byte.
func (v *Validator) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checked, p := v.Check(r)
		if p != nil {
			v.options.Answer(w, r, p)
			return
		}
		next.ServeHTTP(w, checked)
	})
}

// Check checks one request. It returns the request to go on with – its body was
// read and is there again –, or the answer to a request that does not keep the
// contract.
func (v *Validator) Check(r *http.Request) (*http.Request, *Problem) {
	route, values := v.route(r)
	op := route.operation(r.Method)
	if op == nil {
		return v.undescribed(r, route)
	}
	c := v.calls[op]
	e := &evaluation{left: budget(0)}
	v.parameters(e, c, r, route, values)
	r, refused := v.checkBody(e, c, r)
	if refused != nil {
		return nil, refused
	}
	if e.settle(); len(e.mistakes) > 0 {
		p := problem(http.StatusBadRequest, fmt.Sprintf("The request is not what %s %s takes.", op.Method, op.Path))
		p.Errors = e.mistakes
		return nil, p
	}
	return r, nil
}

// route finds the path without the base path.
func (v *Validator) route(r *http.Request) (*route, []string) {
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), v.options.BasePath)
	if !ok {
		return nil, nil
	}
	return v.doc.routes.find(path) // nothing, where the base path ended inside a word
}

func (v *Validator) undescribed(r *http.Request, route *route) (*http.Request, *Problem) {
	if v.options.Operations == Pass {
		return r, nil
	}
	if route == nil {
		p := problem(http.StatusNotFound, "There is nothing at this path.")
		p.Kind = "not-found"
		return nil, p
	}
	p := problem(http.StatusMethodNotAllowed, "This path does not have the method.")
	p.allow = route.allowed()
	return nil, p
}

func (v *Validator) parameters(e *evaluation, c *call, r *http.Request, route *route, values []string) {
	s := &sent{request: r}
	if len(values) > 0 {
		s.path = make(map[string]string, len(values))
		for i, name := range route.names {
			s.path[name] = values[i]
		}
	}
	strict := v.options.Query == Refuse && r.URL.RawQuery != ""
	if c.inQuery || strict {
		var wrong string
		if s.query, wrong = pairs(r.URL.RawQuery, maxPairs); wrong != "" {
			e.in = "query"
			e.mistake("%s", wrong)
			return
		}
	}
	if c.inCookie {
		s.cookies = cookies(r)
	}
	for _, p := range c.parameters {
		p.check(e, s)
	}
	e.settle()
	if strict {
		unknownQuery(e, c.parameters, c.keys, s.query)
	}
}

// mediaType returns the media type of a request in lower case, and its
// parameters.
func mediaType(r *http.Request) (string, map[string]string, bool) {
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return "", nil, false
	}
	kind, params, err := mime.ParseMediaType(values[0])
	return kind, params, err == nil
}
