package openapi

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// maxFaults bounds what one error lists.
const maxFaults = 20

// syntax turns an error of decode into an *Error.
func syntax(name string, data []byte, err error) error {
	fault := Fault{Text: err.Error()}
	var json *syntaxError
	var yaml *placed
	switch {
	case errors.As(err, &json):
		fault = Fault{Line: lineAt(data, json.offset), Text: json.text}
	case errors.As(err, &yaml):
		fault = Fault{Line: yaml.line, Text: yaml.text}
	}
	fault.Text = printable(fault.Text)
	return &Error{Name: name, Faults: []Fault{fault}}
}

func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(offset, len(data))], []byte("\n"))
}

// fail sorts faults by the lines of their pointers. Lines are looked for only
// now: a document without faults does not pay for them.
func (d *Document) fail(faults []Fault) error {
	faults = faults[:min(len(faults), maxFaults)]
	find := d.finder()
	for i := range faults {
		f := &faults[i]
		for at := f.Pointer; f.Line == 0 && find != nil; {
			f.Line = find(at)
			cut := strings.LastIndexByte(at, '/')
			if cut < 0 {
				break
			}
			at = at[:cut]
		}
		f.Text = printable(f.Text)
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return a.Line - b.Line })
	return &Error{Name: d.name, Faults: faults}
}

// finder returns a function that finds the line of a pointer in the source, 0 if
// there is none. JSON is read as the YAML that it also is.
func (d *Document) finder() func(pointer string) int {
	if len(d.source) == 0 {
		return nil
	}
	tree, err := yamlTree(d.source)
	if err != nil || len(tree.Docs) == 0 {
		return nil
	}
	return func(pointer string) int {
		node := ast.Node(tree.Docs[0].Body)
		line := lineOf(node)
		if pointer == "" {
			return line
		}
		for _, part := range strings.Split(pointer[1:], "/") {
			if node, line = below(node, unescapePointer(part)); node == nil {
				return 0
			}
		}
		return line
	}
}

// below returns what a node has under a name, and the line of that.
func below(node ast.Node, name string) (ast.Node, int) {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, pair := range n.Values {
			if key, err := keyOf(pair.Key); err == nil && key == name {
				return pair.Value, lineOf(pair.Key)
			}
		}
	case *ast.MappingValueNode:
		if key, err := keyOf(n.Key); err == nil && key == name {
			return n.Value, lineOf(n.Key)
		}
	case *ast.SequenceNode:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(n.Values) {
			return n.Values[i], lineOf(n.Values[i])
		}
	case *ast.AnchorNode:
		return below(n.Value, name)
	}
	return nil, 0
}

// printable keeps what a document holds from steering a terminal, and short.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
