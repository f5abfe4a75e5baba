package compose

import (
	"slices"
	"strings"
)

// cycle reports parts that need each other, once.
func (c *compiler) cycle() {
	done := map[*part]bool{}
	var way []*part
	var visit func(p *part) bool
	visit = func(p *part) bool {
		if i := slices.Index(way, p); i >= 0 {
			c.of(p)("get", "the parts need each other: %s", chain(append(way[i:], p)))
			return false
		}
		if done[p] {
			return true
		}
		way = append(way, p)
		for _, n := range p.needs {
			if !visit(n) {
				return false
			}
		}
		way, done[p] = way[:len(way)-1], true
		return true
	}
	for _, p := range c.parts {
		if !visit(p) {
			return
		}
	}
}

func chain(way []*part) string {
	names := make([]string, len(way))
	for i, p := range way {
		names[i] = p.name
	}
	return strings.Join(names, " needs ")
}

// outcomes refuses required parts that need one that may be missing: its optional
// would be a lie.
func (c *compiler) outcomes() {
	for _, p := range c.parts {
		for _, r := range p.get.refs {
			if r.part != nil && !r.optional && p.required() && !r.part.required() {
				c.of(p)("get", "%s is required and needs %s, which is not; make %s optional, or write {…?} for a value that may be absent", p.name, r.part.name, p.name)
			}
		}
		if p.list != nil && p.required() && !p.list.required() {
			c.of(p)("for_each", "%s is required and needs %s, which is not; make %s optional", p.name, p.list.name, p.name)
		}
	}
}

// keys refuses answers that would have a key twice.
func (c *compiler) keys() {
	taken := map[string]string{}
	for _, p := range c.parts {
		if p.ForEach != "" || p.as == "-" {
			continue
		}
		keys := []string{p.as}
		if p.as == "." {
			if p.shape.all {
				c.of(p)("as", "to put its fields into the answer itself, the part needs a select")
				continue
			}
			keys = p.shape.names()
			c.merged(p, keys)
		}
		for _, key := range keys {
			if other, twice := taken[key]; twice {
				c.of(p)("as", "%s and %s both give the answer the key %q", other, p.name, key)
			}
			taken[key] = p.name
		}
	}
}

// merged checks the default of a part whose fields are in the answer itself.
func (c *compiler) merged(p *part, keys []string) {
	if p.otherwise == nil {
		return
	}
	if p.otherwise[0] != '{' {
		c.of(p)("default", "it has to be an object, as its fields are put into the answer itself")
	}
	for key := range p.otherwise.members() {
		if name := key.string(); !slices.Contains(keys, name) {
			c.of(p)("default", "the field %q is not among the selected ones", name)
		}
	}
}
