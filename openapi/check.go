package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// checker collects what is wrong with a document. It refuses what would make two
// readers understand different things, not what is merely untidy.
type checker struct {
	doc    *Document
	kinds  map[string]kind // of every place, by pointer
	refs   []place
	length int // of the pointers in kinds
	faults []Fault
}

// Bounds of pointers. A long name before many others would take a copy of it for
// each.
const (
	maxPointer  = 2000      // bytes of one
	maxPointers = 256 << 20 // bytes of all
)

func (c *checker) fault(at, format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, Fault{Pointer: at, Text: fmt.Sprintf(format, args...)})
	}
}

var spokenVersion = regexp.MustCompile(`^3\.[01]\.\d+(-.*)?$`)

func (c *checker) version() {
	root := c.doc.root
	c.doc.spoken = text(root, "openapi")
	if n, ok := root["openapi"].(json.Number); ok {
		c.fault("/openapi", "the version has to be a text with three parts, as \"3.1.0\": it is the number %s", n)
		return
	}
	switch {
	case c.doc.spoken == "" && root["swagger"] != nil:
		c.fault("/swagger", "this is Swagger 2.0: convert it to OpenAPI 3.0 or 3.1")
	case c.doc.spoken == "":
		c.fault("", "it has no field openapi: it is not an OpenAPI document")
	case !spokenVersion.MatchString(c.doc.spoken):
		c.fault("/openapi", "OpenAPI %q is not known: 3.0 and 3.1 are", c.doc.spoken)
	}
}

// structure checks every object by its kind, then the references.
func (c *checker) structure() {
	walk(place{kindDocument, c.doc.root, ""}, c.visit)
	for _, p := range c.refs {
		c.reference(p)
	}
	if len(c.faults) == 0 {
		for _, p := range c.refs {
			c.chain(p)
		}
	}
}

func (c *checker) visit(p place) bool {
	if !c.affordable(p) {
		return false
	}
	c.kinds[p.at] = p.kind
	if _, ok := p.value.(bool); ok && p.kind == kindSchema {
		return true
	}
	m := p.object()
	if m == nil {
		c.fault(p.at, "a %s has to be an object", p.kind)
		return false
	}
	if _, ok := m["$ref"]; ok {
		c.refs = append(c.refs, p)
		if p.kind == kindPathItem {
			c.beside(p.at, m)
		}
		if p.kind != kindSchema {
			return true
		}
	}
	c.shapes(p, m)
	switch p.kind {
	case kindInfo:
		c.info(p.at, m)
	case kindParameter:
		c.parameter(p.at, m)
	case kindSchema:
		c.schema(p.at, m)
	case kindSecurity:
		c.word(p.at, m, "type", "apiKey", "http", "mutualTLS", "oauth2", "openIdConnect")
	case kindDocument:
		if m["info"] == nil {
			c.fault("", "it has no info with title and version")
		}
	}
	return true
}

// affordable refuses what has too long a name.
func (c *checker) affordable(p place) bool {
	c.length += len(p.at)
	if c.length > maxPointers {
		c.fault("", "its names are too long together")
		return false
	}
	for name := range p.object() {
		if len(p.at)+len(name) > maxPointer {
			c.fault(p.at, "a name in it is too long: with those above, %d bytes are allowed", maxPointer)
			return false
		}
	}
	return true
}

// beside refuses what would hold for requests beside the reference of a path
// item: OpenAPI leaves open which of the two counts (3.1 §4.8.9).
func (c *checker) beside(at string, m map[string]any) {
	for _, name := range append(methods(), "parameters") {
		if _, ok := m[name]; ok {
			c.fault(at, "%s beside $ref: nobody knows which of the two counts", name)
		}
	}
}

// shapes checks that what walk goes into is a list or a map where it should be.
func (c *checker) shapes(p place, m map[string]any) {
	fields := children(p.kind)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		field, known := fields[name]
		if !known {
			continue
		}
		value := m[name]
		_, isList := value.([]any)
		_, isMap := value.(map[string]any)
		if field.shape == list && !isList {
			c.fault(p.at+"/"+name, "%s has to be a list", name)
		}
		if field.shape == byName && !isMap {
			c.fault(p.at+"/"+name, "%s has to be an object", name)
		}
	}
}

// info takes the version 1.0 that YAML makes a number.
func (c *checker) info(at string, m map[string]any) {
	for _, name := range []string{"title", "version"} {
		if n, ok := m[name].(json.Number); ok {
			m[name] = n.String()
		}
		if _, ok := m[name].(string); !ok {
			c.fault(at, "info has no %s, or it is not a text", name)
		}
	}
}

func (c *checker) parameter(at string, m map[string]any) {
	if text(m, "name") == "" {
		c.fault(at, "a parameter has no name")
	}
	c.word(at, m, "in", "path", "query", "header", "cookie")
	_, schema := m["schema"]
	if content := object(m, "content"); schema && content != nil || content != nil && len(content) != 1 {
		c.fault(at, "a parameter has either a schema or content with one media type")
	}
	if text(m, "in") == "path" && !flag(m, "required") {
		c.fault(at, "a parameter in the path has to be required")
	}
	styles := map[string][]string{
		"path": {"simple", "label", "matrix"}, "query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
		"header": {"simple"}, "cookie": {"form"},
	}
	if _, ok := m["style"]; ok && styles[text(m, "in")] != nil {
		c.word(at, m, "style", styles[text(m, "in")]...)
	}
}

func (c *checker) word(at string, m map[string]any, name string, allowed ...string) {
	if !slices.Contains(allowed, text(m, name)) {
		c.fault(at, "%s is %q; one of %s is possible here", name, text(m, name), strings.Join(allowed, ", "))
	}
}

// schema refuses what would reach outside the document or change what a
// reference means. Whether the keywords are right, the compiler of schemas says.
func (c *checker) schema(at string, m map[string]any) {
	for _, name := range []string{"$id", "$dynamicRef", "$recursiveRef"} {
		if _, ok := m[name]; ok {
			c.fault(at, "%s is not supported: name schemas in components and refer to #/components/schemas/…", name)
		}
	}
	if s := text(m, "$schema"); s != "" && !strings.HasPrefix(s, "https://json-schema.org/draft/2020-12/") && !strings.HasPrefix(s, "https://spec.openapis.org/oas/3.1/") {
		c.fault(at, "$schema is %q: JSON Schema 2020-12 is known only", s)
	}
}

// reference checks that a reference stays in the document and names something of
// its own kind. Files and networks are never read: whoever can change a document
// could make the gateway fetch anything (SSRF).
func (c *checker) reference(p place) {
	ref, ok := p.object()["$ref"].(string)
	switch {
	case !ok:
		c.fault(p.at, "$ref has to be a text")
		return
	case !strings.HasPrefix(ref, "#/"):
		c.fault(p.at, "$ref %q: only references into this document are followed, as #/components/…; bundle it first", ref)
		return
	}
	target, ok := c.target(ref[1:])
	if !ok {
		c.fault(p.at, "$ref %q names nothing in this document", ref)
		return
	}
	p.object()["$ref"] = "#" + target
	if k, ok := c.kinds[canonicalPointer(target)]; !ok || k != p.kind {
		c.fault(p.at, "$ref %q names no %s", ref, p.kind)
	}
}

// target returns the pointer of a fragment that names something: as it stands, or
// else without the percent-encoding that URIs ask for (RFC 6901 §6).
func (c *checker) target(fragment string) (string, bool) {
	if _, ok := lookup(c.doc.root, fragment); ok {
		return fragment, true
	}
	plain := decoded(fragment)
	_, ok := lookup(c.doc.root, plain)
	return plain, ok
}

// canonicalPointer writes a pointer as walk does.
func canonicalPointer(pointer string) string {
	parts := strings.Split(pointer, "/")
	for i := range parts {
		parts[i] = escapePointer(unescapePointer(parts[i]))
	}
	return strings.Join(parts, "/")
}

// chain refuses references that lead only to one another, or on and on: each of
// many would have to be followed through all the others.
func (c *checker) chain(p place) {
	seen := map[string]bool{}
	for at := p; at.ref() != "" && len(c.faults) < maxFaults; {
		target := at.ref()[1:]
		if seen[target] {
			c.fault(p.at, "$ref %q leads back to itself", p.ref())
			return
		}
		if len(seen) == maxDepth {
			c.fault(p.at, "$ref %q leads through more than %d others", p.ref(), maxDepth)
			return
		}
		seen[target] = true
		value, _ := lookup(c.doc.root, target)
		at = place{p.kind, value, target}
	}
}

// operations lists the operations and checks their parameters and paths.
func (c *checker) operations() {
	d := c.doc
	d.routes = &routes{}
	ids := map[string]string{}
	paths := object(d.root, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if extension(kindPathItem, path) {
			continue
		}
		at := "/paths/" + escapePointer(path)
		item := d.resolve(place{kindPathItem, paths[path], at})
		rt, err := d.routes.add(path)
		if err != nil {
			c.fault(at, "%s", err)
			continue
		}
		for _, method := range methods() {
			node := object(item.object(), method)
			if node == nil {
				continue
			}
			op := c.operation(path, method, item, node)
			rt.ops = append(rt.ops, op)
			d.ops = append(d.ops, op)
			if first, twice := ids[op.ID]; twice && op.ID != "" {
				c.fault(op.at, "operationId %q is also that of %s", op.ID, first)
			}
			ids[op.ID] = op.Method + " " + op.Path
			c.templated(op, rt)
		}
	}
	d.routes.sort()
}

func (c *checker) operation(path, method string, item place, node map[string]any) *operation {
	op := &operation{at: item.at + "/" + method, node: node}
	op.Operation = Operation{
		Method: strings.ToUpper(method), Path: path, ID: text(node, "operationId"), Summary: text(node, "summary"),
		Tags: texts(node, "tags"), Audience: texts(node, "x-audience"), Deprecated: flag(node, "deprecated"),
	}
	if op.Audience == nil {
		op.Audience = texts(item.object(), "x-audience")
	}
	seen := map[string]bool{}
	for _, from := range []place{{kindOperation, node, op.at}, item} {
		own := map[string]bool{}
		for i, v := range items(from.object(), "parameters") {
			p := c.doc.resolve(place{kindParameter, v, fmt.Sprintf("%s/parameters/%d", from.at, i)})
			key := parameterKey(p.object())
			if own[key] {
				c.fault(from.at, "parameter %s occurs twice", key)
			}
			if own[key] = true; !seen[key] {
				seen[key] = true
				op.parameters = append(op.parameters, p)
			}
		}
	}
	return op
}

// parameterKey is what makes a parameter unique: names of headers know no case.
func parameterKey(m map[string]any) string {
	name := text(m, "name")
	if text(m, "in") == "header" {
		name = strings.ToLower(name)
	}
	return text(m, "in") + " " + name
}

// templated refuses parameters of the path that the path does not have: every
// request would lack them.
func (c *checker) templated(op *operation, rt *route) {
	for _, p := range op.parameters {
		m := p.object()
		if text(m, "in") == "path" && !slices.Contains(rt.names, text(m, "name")) {
			c.fault(op.at, "the path has no {%s}", text(m, "name"))
		}
	}
}
