package openapi

import "github.com/goccy/go-yaml/token"

// shallow refuses tokens that nest too deep. Each level needs a bracket, or a
// run of indicators such as "- - -", or a column of its own.
func shallow(tokens token.Tokens) error {
	brackets, run, line := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			brackets++
		case token.MappingEndType, token.SequenceEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.TagType, token.AnchorType, token.MappingValueType:
			run++
		}
		if t.Position.Line != line || brackets > 0 && run > 0 && t.Type == token.CollectEntryType {
			run, line = 0, t.Position.Line
			if brackets == 0 && t.Position.Column > 8*maxDepth {
				return &placed{line, "it is nested too deep"}
			}
		}
		if brackets > maxDepth || run > maxDepth {
			return &placed{line, "it is nested too deep"}
		}
	}
	return nil
}

// The parser takes time by the square of how many keys a mapping in lines has, and
// writes down the path of everything.
const (
	maxKeyWork  = 50_000_000 // 10,000 keys in one mapping, or 100 in each of 10,000
	maxPathWork = 512 << 20  // bytes of all paths
)

// affordableTokens refuses what the parser would not come back from.
func affordableTokens(tokens token.Tokens) error {
	o := &outline{}
	for i, t := range tokens {
		if i > 0 {
			o.see(t, tokens[i-1])
		}
		if o.keys > maxKeyWork {
			return &placed{t.Position.Line, "a mapping has too many keys; as JSON it could be read"}
		}
		if o.paths > maxPathWork {
			return &placed{t.Position.Line, "its names are too long together"}
		}
	}
	return nil
}

// outline is what is open at a token, and what it has cost until there.
type outline struct {
	lines       []level // mappings in lines, by column
	brackets    []int   // the length of the key at hand, in each
	length      int     // of all keys that are open
	keys, paths int
}

// level is a mapping in lines.
type level struct{ column, keys, length int }

func (o *outline) see(t, before *token.Token) {
	o.paths += o.length
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		o.brackets = append(o.brackets, 0)
	case token.MappingEndType, token.SequenceEndType:
		if n := len(o.brackets); n > 0 {
			o.length -= o.brackets[n-1]
			o.brackets = o.brackets[:n-1]
		}
	case token.SequenceEntryType:
		if len(o.brackets) == 0 {
			o.shut(t.Position.Column)
		}
	case token.MappingValueType:
		o.key(before.Position.Column, len(before.Value))
	}
}

// key begins a key, in the brackets at hand or else in its column.
func (o *outline) key(column, length int) {
	if n := len(o.brackets); n > 0 {
		o.length += length - o.brackets[n-1]
		o.brackets[n-1] = length
		return
	}
	o.shut(column)
	if n := len(o.lines); n == 0 || o.lines[n-1].column < column {
		o.lines = append(o.lines, level{column: column})
	}
	at := &o.lines[len(o.lines)-1]
	o.length += length - at.length
	at.length = length
	at.keys++
	o.keys += at.keys
}

// shut ends the mappings right of a column.
func (o *outline) shut(column int) {
	for n := len(o.lines); n > 0 && o.lines[n-1].column > column; n-- {
		o.length -= o.lines[n-1].length
		o.lines = o.lines[:n-1]
	}
}
