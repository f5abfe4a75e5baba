package openapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// placed is an error with the line it belongs to.
type placed struct {
	line int
	text string
}

func (e *placed) Error() string { return e.text }

// parseYAML returns what parseJSON does. Aliases are copied out, each copy
// counted, so that a document of a kilobyte cannot become gigabytes.
func parseYAML(data []byte) (any, error) {
	tree, err := yamlTree(data)
	if err != nil {
		return nil, err
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		return nil, &placed{1, "it is empty"}
	}
	if len(tree.Docs) > 1 {
		return nil, &placed{lineOf(tree.Docs[1].Body), "a second YAML document follows the first"}
	}
	c := &converter{anchors: map[string]ast.Node{}, values: maxValues, bytes: 2 * maxSize}
	return c.value(tree.Docs[0].Body, maxDepth)
}

// yamlTree parses what is not nested too deep: the parser is recursive, and a
// stack that overflows ends a Go program. The library's own panics become errors.
func yamlTree(data []byte) (tree *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, &placed{0, "it is not YAML"}
		}
	}()
	tokens := lexer.Tokenize(string(data))
	if err := cmp.Or(shallow(tokens), affordableTokens(tokens)); err != nil {
		return nil, err
	}
	tree, err = parser.Parse(tokens, 0)
	var at yaml.Error
	if errors.As(err, &at) {
		p := &placed{0, at.GetMessage()}
		if t := at.GetToken(); t != nil {
			p.line = t.Position.Line
		}
		return nil, p
	}
	return tree, err
}

func lineOf(node ast.Node) int {
	if node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
		return 0
	}
	return node.GetToken().Position.Line
}

// converter turns a YAML tree into the values that JSON has.
type converter struct {
	anchors map[string]ast.Node
	values  int // how many may still come, copies by aliases included
	bytes   int // how long their texts may be, copied likewise
}

func (c *converter) value(node ast.Node, depth int) (any, error) {
	if c.values--; c.values < 0 {
		return nil, &placed{lineOf(node), "it has too many values, perhaps by aliases of aliases"}
	}
	if depth == 0 {
		return nil, &placed{lineOf(node), "it is nested too deep, or an alias is part of what it names"}
	}
	switch n := node.(type) {
	case *ast.MappingNode:
		return c.mapping(n.Values, depth)
	case *ast.MappingValueNode:
		return c.mapping([]*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, item := range n.Values {
			v, err := c.value(item, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *ast.AnchorNode:
		c.anchors[n.Name.GetToken().Value] = n.Value
		return c.value(n.Value, depth-1)
	case *ast.AliasNode:
		target, err := c.target(n)
		if err != nil {
			return nil, err
		}
		return c.value(target, depth-1)
	case *ast.TagNode:
		return c.tagged(n, depth)
	}
	v, err := c.scalar(node)
	if s, ok := v.(string); ok {
		err = cmp.Or(err, c.longer(node, s))
	}
	return v, err
}

// longer counts a text: an alias of a long one is short, and what is written of
// the document is not.
func (c *converter) longer(node ast.Node, s string) error {
	if c.bytes -= len(s); c.bytes < 0 {
		return &placed{lineOf(node), "its texts are too long together, perhaps by aliases"}
	}
	return nil
}

func (c *converter) target(n *ast.AliasNode) (ast.Node, error) {
	name := n.Value.GetToken().Value
	target, ok := c.anchors[name]
	if !ok || target == nil {
		return nil, &placed{lineOf(n), fmt.Sprintf("alias %q has no anchor before it", name)}
	}
	return target, nil
}

// tagged knows the tags that change nothing, and !!str.
func (c *converter) tagged(n *ast.TagNode, depth int) (any, error) {
	v, err := c.value(n.Value, depth-1)
	if err != nil || n.Start.Value != "!!str" {
		return v, err
	}
	if n.Value == nil || n.Value.GetToken() == nil {
		return "", nil
	}
	return n.Value.GetToken().Value, nil
}

func (c *converter) mapping(pairs []*ast.MappingValueNode, depth int) (any, error) {
	object := make(map[string]any, len(pairs))
	merged := map[string]any{}
	for _, pair := range pairs {
		v, err := c.value(pair.Value, depth-1)
		if err != nil {
			return nil, err
		}
		if pair.Key.Type() == ast.MergeKeyType {
			if !merge(merged, v) {
				return nil, &placed{lineOf(pair.Key), "<< takes mappings"}
			}
			continue
		}
		key, err := keyOf(pair.Key)
		if err = cmp.Or(err, c.longer(pair.Key, key)); err != nil {
			return nil, err
		}
		if _, twice := object[key]; twice {
			return nil, &placed{lineOf(pair.Key), fmt.Sprintf("key %q occurs twice", key)}
		}
		object[key] = v
	}
	merge(object, merged)
	return object, nil
}

// merge adds what into has not, of a mapping or of several, the first first.
func merge(into map[string]any, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if _, ok := into[key]; !ok {
				into[key] = value
			}
		}
		return true
	case []any:
		for _, one := range v {
			if _, ok := one.(map[string]any); !ok || !merge(into, one) {
				return false
			}
		}
		return true
	}
	return false
}

// keyOf returns a key as text: 200 and "200" are the same response.
func keyOf(node ast.MapKeyNode) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, nil
	}
	return "", &placed{lineOf(node), "a key is not a plain text"}
}

func (c *converter) scalar(node ast.Node) (any, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		if plain := n.Token.Type == token.StringType; plain && isNumeral(n.Value) {
			return exact(n, n.Value) // 1e3 is a number to YAML 1.2, not to the library
		}
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.NullNode, nil:
		return nil, nil
	case *ast.IntegerNode:
		return exact(n, fmt.Sprint(n.Value))
	case *ast.FloatNode:
		return exact(n, strconv.FormatFloat(n.Value, 'g', -1, 64))
	}
	return nil, &placed{lineOf(node), "JSON has no such value"}
}

// exact keeps a number's digits where JSON could write them as they stand; else
// (0x1F, 1_000) what they mean.
func exact(node ast.Node, meaning string) (any, error) {
	for _, text := range []string{node.GetToken().Value, meaning} {
		if isNumber(text) {
			return json.Number(text), nil
		}
	}
	return nil, &placed{lineOf(node), "a number has too many digits, or JSON has no such number"}
}
