package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// Bounds of a document.
const (
	maxSize   = 16 << 20  // bytes
	maxDepth  = 100       // levels of nesting
	maxValues = 1_000_000 // values, with those that YAML aliases copy
)

// Document is an OpenAPI document that was read and checked. It never changes
// and may be used by any number of goroutines.
type Document struct {
	name   string
	spoken string // the version it was written in
	source []byte // for the lines of later errors
	root   map[string]any
	ops    []*operation
	routes *routes
}

// Operation is one operation of a document.
type Operation struct {
	// Method is in upper case.
	Method string `json:"method"`
	// Path is the template, as /orders/{number}.
	Path string `json:"path"`
	// ID is the operationId, "" without one.
	ID      string   `json:"id,omitempty"`
	Summary string   `json:"summary,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	// Audience is the extension x-audience, of the operation or else of its path:
	// a text or a list of them.
	Audience   []string `json:"audience,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
}

// operation is an Operation with what the document says of it.
type operation struct {
	Operation
	at         string // pointer
	node       map[string]any
	parameters []place // resolved; its own, then those of the path
}

// Load reads a document from a file.
func Load(name string) (*Document, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("openapi: load: %w", err)
	}
	if info.Size() > maxSize {
		return nil, tooLarge(name)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("openapi: load: %w", err)
	}
	return Parse(name, data)
}

func tooLarge(name string) error {
	return &Error{Name: name, Faults: []Fault{{Text: fmt.Sprintf("it is larger than %d bytes", maxSize)}}}
}

// Parse reads a document: OpenAPI 3.0 or 3.1, as JSON or YAML. The name is for
// errors. The error is an *Error with everything that was found.
func Parse(name string, data []byte) (*Document, error) {
	if len(data) > maxSize {
		return nil, tooLarge(name)
	}
	root, err := decode(data)
	if err != nil {
		return nil, syntax(name, data, err)
	}
	return build(name, slices.Clone(data), root)
}

// decode reads JSON if it begins like a JSON object, else YAML.
func decode(data []byte) (any, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJSON(data, maxDepth, maxValues)
	}
	return parseYAML(data)
}

// build checks a tree and makes it a document. The tree becomes the document's.
func build(name string, source []byte, tree any) (*Document, error) {
	root, ok := tree.(map[string]any)
	if !ok {
		return nil, &Error{Name: name, Faults: []Fault{{Line: 1, Text: "it is not an object"}}}
	}
	d := &Document{name: name, source: source, root: root}
	c := &checker{doc: d, kinds: map[string]kind{}}
	c.version()
	if len(c.faults) == 0 {
		c.structure()
	}
	if len(c.faults) == 0 {
		if strings.HasPrefix(d.spoken, "3.0") {
			upgrade(root)
		}
		c.operations()
	}
	if len(c.faults) > 0 {
		return nil, d.fail(c.faults)
	}
	return d, nil
}

// Name returns the name that Parse was given.
func (d *Document) Name() string { return d.name }

// Title returns the title of the API.
func (d *Document) Title() string { return text(d.info(), "title") }

// Version returns the version of the API.
func (d *Document) Version() string { return text(d.info(), "version") }

// OpenAPI returns the version of OpenAPI that the document was written in.
func (d *Document) OpenAPI() string { return d.spoken }

func (d *Document) info() map[string]any { return object(d.root, "info") }

// MarshalJSON writes the document as OpenAPI 3.1, the names of each object
// sorted: the same document gives the same bytes. Numbers are those of the source.
func (d *Document) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d.root); err != nil {
		return nil, fmt.Errorf("openapi: write %s: %w", d.name, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// Operations returns all operations, by path and then by method.
func (d *Document) Operations() []Operation {
	all := make([]Operation, len(d.ops))
	for i, op := range d.ops {
		all[i] = op.copy()
	}
	return all
}

func (o *operation) copy() Operation {
	op := o.Operation
	op.Tags, op.Audience = slices.Clone(op.Tags), slices.Clone(op.Audience)
	return op
}

// Find returns the operation that a request is for. The path is that of the
// request as it was sent, percent-encoded; a template's parameter takes one
// segment, and text goes before parameters: /orders/new before /orders/{number}.
// HEAD finds GET where the document has no HEAD.
func (d *Document) Find(method, path string) (Operation, bool) {
	route, _ := d.routes.find(path)
	op := route.operation(method)
	if op == nil {
		return Operation{}, false
	}
	return op.copy(), true
}

// resolve follows references until something else.
func (d *Document) resolve(p place) place {
	for range maxDepth {
		ref := p.ref()
		if ref == "" {
			return p
		}
		at := strings.TrimPrefix(ref, "#")
		value, _ := lookup(d.root, at)
		p = place{p.kind, value, at}
	}
	return p
}

// text returns a field that is a text, else "".
func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

// object returns a field that is an object, else nil.
func object(m map[string]any, name string) map[string]any {
	o, _ := m[name].(map[string]any)
	return o
}

// items returns a field that is a list, else nil.
func items(m map[string]any, name string) []any {
	l, _ := m[name].([]any)
	return l
}

// flag reports whether a field is true.
func flag(m map[string]any, name string) bool {
	b, _ := m[name].(bool)
	return b
}

// texts returns a field that is a text or a list of texts.
func texts(m map[string]any, name string) []string {
	if s := text(m, name); s != "" {
		return []string{s}
	}
	var all []string
	for _, item := range items(m, name) {
		if s, ok := item.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// Error is what is wrong with a document. It is banyan.ErrInvalid.
type Error struct {
	// Name is what Parse was given.
	Name string
	// Faults are at most 20, in the order of their lines.
	Faults []Fault
}

// Fault is one thing that is wrong.
type Fault struct {
	// Line counts from 1; 0 is unknown.
	Line int `json:"line,omitempty"`
	// Pointer names the place in the document (RFC 6901).
	Pointer string `json:"pointer,omitempty"`
	Text    string `json:"text"`
}

// Error implements error: a line for each fault.
func (e *Error) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = "openapi: " + e.Name
		if f.Line > 0 {
			lines[i] += fmt.Sprintf(":%d", f.Line)
		}
		if f.Pointer != "" {
			lines[i] += ": " + f.Pointer
		}
		lines[i] += ": " + f.Text
	}
	return strings.Join(lines, "\n")
}

// Is makes an Error banyan.ErrInvalid.
func (e *Error) Is(target error) bool { return target == banyan.ErrInvalid } //nolint:errorlint // that is what Is is for
