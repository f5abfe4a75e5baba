package app

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/nearest"
)

// source is a configuration file, for errors that show the offending line.
type source struct {
	name  string
	lines []string
}

// fail returns an error at a place in the file, with the line.
func (s source) fail(at *token.Position, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if at == nil || at.Line < 1 || at.Line > len(s.lines) {
		return fmt.Errorf("app: config: %s: %w: %s", s.name, banyan.ErrInvalid, text)
	}
	line := shown(strings.TrimRight(s.lines[at.Line-1], "\r"))
	number := fmt.Sprintf("%5d | ", at.Line)
	caret := strings.Repeat(" ", len(number)+max(min(at.Column-1, len(line)), 0)) + "^"
	return fmt.Errorf("app: config: %s:%d:%d: %w: %s\n%s%s\n%s", s.name, at.Line, at.Column, banyan.ErrInvalid, text, number, line, caret)
}

// shown returns a line of a file as an error may show it: without passwords in
// URLs, and without the value of a key that is not one of ours or a slip of the
// pen, because a service's own settings may be secrets.
func shown(line string) string {
	key, _, isPair := strings.Cut(line, ":")
	name := strings.Trim(key, " \t\"'")
	if !isPair || nearest.To(name, knownKeys()) != "" {
		return mask(line)
	}
	return key + ": " + masked
}

// fromYAML applies a file. It walks the syntax tree and not a decoded struct, so
// that every mistake has a place and every key is known.
func (c *Config) fromYAML(name string, data []byte) error {
	src := source{name: name, lines: strings.Split(string(data), "\n")}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil {
			return src.fail(at.GetToken().Position, "%s", maskLines(at.GetMessage()))
		}
		return src.fail(nil, "%s", maskLines(err.Error()))
	}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType:
		case i > 0:
			return src.fail(doc.Body.GetToken().Position, "a second document; put all keys into one")
		default:
			if err := c.fromMapping(src, doc.Body); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Config) fromMapping(src source, body ast.Node) error {
	seen := map[string]bool{}
	return eachPair(src, body, "", func(key string, at *token.Position, value ast.Node) error {
		if seen[key] {
			return src.fail(at, "key %q appears twice", key)
		}
		seen[key] = true
		if key == "settings" {
			return eachPair(src, value, "settings.", func(name string, at *token.Position, v ast.Node) error {
				text, err := scalar(src, "settings."+name, at, v)
				if err == nil {
					c.setting(name, text)
				}
				return err
			})
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		if i < 0 {
			return src.fail(at, "unknown key %q; %s", key, suggestKey(key))
		}
		text, err := scalar(src, key, at, value)
		if err != nil {
			return err
		}
		if err := settings[i].set(c, text); err != nil {
			return src.fail(value.GetToken().Position, "%s: %v", key, err)
		}
		return nil
	})
}

func suggestKey(key string) string {
	known := knownKeys()
	if near := nearest.To(key, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	slices.Sort(known)
	return "known keys: " + strings.Join(known, ", ")
}

func knownKeys() []string {
	known := []string{"settings"}
	for _, s := range settings {
		known = append(known, s.key)
	}
	return known
}

// eachPair calls f for every pair of a mapping.
func eachPair(src source, node ast.Node, prefix string, f func(key string, at *token.Position, value ast.Node) error) error {
	mapping, ok := node.(ast.MapNode)
	if !ok {
		return src.fail(node.GetToken().Position, "want lines of the form %skey: value", prefix)
	}
	for pairs := mapping.MapRange(); pairs.Next(); {
		key := pairs.Key().GetToken()
		if err := f(key.Value, key.Position, pairs.Value()); err != nil {
			return err
		}
	}
	return nil
}

// scalar returns the text of a value as it is written: 0644 stays 0644. at is the
// place of its key: a missing value has none.
func scalar(src source, key string, at *token.Position, node ast.Node) (string, error) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", src.fail(at, "%s has no value; give one or delete the line", key)
	default:
		return "", src.fail(node.GetToken().Position, "%s: want one value, found %s", key, strings.ToLower(node.Type().YAMLName()))
	}
}
