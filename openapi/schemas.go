package openapi

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// base is the address of the schemas for the library. Nothing is read from it.
const base = "https://banyan.invalid/openapi"

// schemas compiles the schemas of a document for requests.
//
// All of them become one resource whose $defs they are: the library's cost to
// compile a schema that it meets at an odd place grows with all the others.
type schemas struct {
	doc      *Document
	options  *Options
	names    map[string]string // pointer → name in $defs
	pointers map[string]string // and back
	nodes    map[string]*node  // by pointer
	faults   []Fault
}

func compile(d *Document, o *Options) (*schemas, error) {
	s := &schemas{doc: d, options: o, names: map[string]string{}, pointers: map[string]string{}, nodes: map[string]*node{}}
	var tops []place
	walk(place{kindDocument, d.root, ""}, func(p place) bool {
		if p.kind != kindSchema {
			return true
		}
		name := "s" + strconv.Itoa(len(tops))
		s.names[p.at], s.pointers[name] = name, p.at
		tops = append(tops, p)
		return false
	})
	defs := make(map[string]any, len(tops))
	for _, p := range tops {
		defs[s.names[p.at]] = s.prepare(p)
	}
	if len(s.faults) == 0 {
		s.build(tops, defs)
	}
	if len(s.faults) > 0 {
		return nil, d.fail(s.faults)
	}
	return s, nil
}

func (s *schemas) fault(at, format string, args ...any) {
	if len(s.faults) < maxFaults {
		s.faults = append(s.faults, Fault{Pointer: at, Text: fmt.Sprintf(format, args...)})
	}
}

// prepare returns a copy of a schema as it holds for requests.
func (s *schemas) prepare(p place) any {
	clone := cloneValue(p.value)
	walk(place{kindSchema, clone, p.at}, func(sub place) bool {
		if m := sub.object(); m != nil {
			s.patterns(sub.at, m)
			original, _ := lookup(s.doc.root, sub.at)
			s.unneeded(object(map[string]any{"": original}, ""), m)
			if ref := sub.ref(); ref != "" {
				m["$ref"] = "#" + (&url.URL{Fragment: "/$defs/" + s.moved(ref[1:])}).EscapedFragment()
			}
			for _, name := range []string{"$schema", "examples", "example", "default", "title", "description", "deprecated", "discriminator", "xml", "externalDocs", "$comment", "$anchor", "$dynamicAnchor"} {
				delete(m, name)
			}
		}
		return true
	})
	return clone
}

// moved returns where a pointer of the document is among the $defs.
func (s *schemas) moved(pointer string) string {
	pointer = canonicalPointer(pointer)
	for cut := len(pointer); cut > 0; cut = strings.LastIndexByte(pointer[:cut], '/') {
		if name, ok := s.names[pointer[:cut]]; ok {
			return name + pointer[cut:]
		}
	}
	return "missing"
}

// unneeded drops what only answers have to have: fields that are readOnly
// (OpenAPI 3.0.3 §4.7.24.1; 3.1 leaves it open). Which are, the schema may say
// itself, or what it refers to, or its allOf; that holds inside the allOf, too.
func (s *schemas) unneeded(original, m map[string]any) {
	if !demanding(m) {
		return
	}
	whole := s.doc.effective(original)
	for name, field := range object(whole, "properties") {
		if flag(s.doc.effective(field), "readOnly") {
			drop(m, name)
		}
	}
}

// demanding reports whether a schema requires something, itself or in allOf.
func demanding(m map[string]any) bool {
	return m["required"] != nil || slices.ContainsFunc(items(m, "allOf"), func(v any) bool {
		part, _ := v.(map[string]any)
		return demanding(part)
	})
}

// drop makes a field one that is not required.
func drop(m map[string]any, name string) {
	if required := items(m, "required"); required != nil {
		m["required"] = slices.DeleteFunc(required, func(v any) bool { return v == name })
	}
	for _, v := range items(m, "allOf") {
		part, _ := v.(map[string]any)
		drop(part, name)
	}
}

// patterns reports patterns that RE2 cannot compile, where they stand.
func (s *schemas) patterns(at string, m map[string]any) {
	check := func(pattern string) {
		if _, err := s.regexp(pattern); err != nil {
			s.fault(at, "the pattern %q cannot be checked in linear time: %s", pattern, reason(err))
		}
	}
	if p, ok := m["pattern"].(string); ok {
		check(p)
	}
	for _, p := range slices.Sorted(maps.Keys(object(m, "patternProperties"))) {
		check(p)
	}
}

func reason(err error) string { return strings.TrimPrefix(err.Error(), "error parsing regexp: ") }

// regexp compiles a pattern of ECMA-262 as one of RE2, which never backtracks.
func (s *schemas) regexp(pattern string) (jsonschema.Regexp, error) {
	re, err := compilePattern(pattern)
	if err == nil {
		return verbatim{re, pattern}, nil
	}
	if s.options.SkipPatterns {
		return anything{pattern}, nil
	}
	return nil, err
}

// verbatim is a pattern that is shown as it stands in the document.
type verbatim struct {
	*regexp.Regexp
	pattern string
}

func (v verbatim) String() string { return v.pattern }

// anything stands for a pattern that is not checked.
type anything struct{ pattern string }

func (a anything) String() string        { return a.pattern }
func (anything) MatchString(string) bool { return true }

func (s *schemas) build(tops []place, defs map[string]any) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nowhere{})
	c.UseRegexpEngine(s.regexp)
	if !s.options.IgnoreFormats {
		c.AssertFormat()
	}
	for _, f := range formats() {
		c.RegisterFormat(f)
	}
	if err := c.AddResource(base, map[string]any{"$defs": defs}); err != nil {
		s.fault("", "%s", err)
		return
	}
	made := nodes{}
	for _, p := range tops {
		compiled, err := c.Compile(base + "#/$defs/" + s.names[p.at])
		if err != nil {
			s.wrong(p.at, err)
			return // the library stops at the first too: it checks the whole resource
		}
		s.nodes[p.at] = made.of(compiled)
	}
	state := map[*node]int{}
	for _, p := range tops {
		if s.nodes[p.at].endless(state) {
			s.fault(p.at, "the schema refers to itself without an end")
			return
		}
	}
	for _, n := range made {
		n.accepts()
		if n.additional != nil {
			n.additional.accepts()
		}
	}
}

// wrong words an error of the library, and says where.
func (s *schemas) wrong(at string, err error) {
	var invalid *jsonschema.SchemaValidationError
	var leaf *jsonschema.ValidationError
	if !errors.As(err, &invalid) || !errors.As(invalid.Err, &leaf) {
		s.fault(at, "%s", strings.ReplaceAll(err.Error(), base, ""))
		return
	}
	leaf = firstLeaf(leaf)
	where := leaf.InstanceLocation
	if len(where) > 1 && where[0] == "$defs" {
		at, where = s.pointers[where[1]], where[2:]
	}
	for _, part := range where {
		at += "/" + escapePointer(part)
	}
	s.fault(at, "it is no schema of JSON Schema 2020-12: %s", strings.TrimSpace(afterColon(leaf.Error())))
}

// firstLeaf returns the finding whose place comes first: the library lists them in
// the order of a map.
func firstLeaf(err *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		return err
	}
	leaves := make([]*jsonschema.ValidationError, len(err.Causes))
	for i, cause := range err.Causes {
		leaves[i] = firstLeaf(cause)
	}
	return slices.MinFunc(leaves, func(a, b *jsonschema.ValidationError) int {
		return slices.Compare(a.InstanceLocation, b.InstanceLocation)
	})
}

// afterColon drops "at '/pointer': " of the library's text.
func afterColon(text string) string {
	if i := strings.LastIndex(text, "': "); i >= 0 {
		return text[i+3:]
	}
	return text
}

// nowhere refuses to load anything: neither files nor networks are read.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, errors.New("only references into the document are followed")
}

// cloneValue copies what parseJSON returns.
func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = cloneValue(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = cloneValue(item)
		}
		return out
	}
	return v
}
