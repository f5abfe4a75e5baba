package compose

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/banyanhq/banyan/internal/nearest"
)

// plan is a checked Config.
type plan struct {
	timeout            time.Duration
	parallel, maxCalls int
	maxBytes           int64
	parts              []*part // sorted by name
}

// part is a checked Part.
type part struct {
	Part
	name, as  string
	index     int
	get       *template
	headers   map[string]bool // nil: all
	shape     *shape
	otherwise value // the default, if there is one

	needs []*part  // that have to have ended
	hard  []*part  // those without which it cannot be asked for
	list  *part    // of for_each
	path  []string // in its answer
	each  *ref     // of a batch

	batchList, batchKey []string
}

func (p *part) required() bool { return !p.Optional && p.otherwise == nil }

// compiler collects what is wrong.
type compiler struct {
	*plan
	byName map[string]*part
	names  []string
	found  []Mistake
}

func (c *compiler) add(path, format string, args ...any) {
	c.found = append(c.found, Mistake{path, fmt.Sprintf(format, args...)})
}

// of returns an add for a part.
func (c *compiler) of(p *part) func(key, format string, args ...any) {
	return func(key, format string, args ...any) { c.add("parts."+p.name+"."+key, format, args...) }
}

func (c *Config) compile() (*plan, []Mistake) {
	k := &compiler{plan: &plan{
		timeout: or(c.Timeout, defaultTimeout), parallel: or(c.Parallel, defaultParallel),
		maxCalls: or(c.MaxCalls, defaultMaxCalls), maxBytes: or(c.MaxBytes, defaultMaxBytes),
	}, byName: map[string]*part{}}
	for _, bound := range []struct {
		key   string
		value int64
	}{{"timeout", int64(c.Timeout)}, {"parallel", int64(c.Parallel)}, {"max_calls", int64(c.MaxCalls)}, {"max_bytes", c.MaxBytes}} {
		if bound.value < 0 {
			k.add(bound.key, "it is negative")
		}
	}
	if len(c.Parts) == 0 {
		k.add("parts", `there are no parts; each has a name, a "to" and a "get"`)
	}
	k.names = slices.Sorted(maps.Keys(c.Parts))
	for i, name := range k.names {
		k.parts = append(k.parts, &part{Part: c.Parts[name], name: name, index: i})
		k.byName[name] = k.parts[i]
	}
	for _, p := range k.parts {
		k.part(p)
	}
	for _, p := range k.parts {
		k.links(p)
	}
	if k.cycle(); len(k.found) == 0 { // what follows relies on sound parts
		k.outcomes()
		k.keys()
	}
	return k.plan, k.found
}

// part checks what a part says about itself.
func (c *compiler) part(p *part) {
	add := c.of(p)
	if _, reserved := sources[p.name]; reserved || !partName.MatchString(p.name) {
		c.add("parts."+p.name, "the name of a part has letters, digits, _ and -, and is not path, query, header or item")
	}
	if p.To == "" {
		add("to", `the part has no "to"; it names an upstream`)
	}
	if p.Timeout < 0 {
		add("timeout", "it is negative")
	}
	if p.MaxBytes < 0 {
		add("max_bytes", "it is negative")
	}
	p.MaxBytes = or(p.MaxBytes, defaultPartBytes)
	if p.Default != "" {
		var err error
		if p.otherwise, err = parse([]byte(p.Default)); err != nil {
			add("default", "%s; want JSON text, such as '{\"items\": []}'", err)
		}
	}
	var err error
	if p.get, err = parseTemplate(p.Get); err != nil {
		add("get", "%s", err)
		p.get = &template{}
	}
	p.as = or(p.As, p.name)
	p.shape = newShape(&p.Part, add)
	c.headers(p)
}

func (c *compiler) headers(p *part) {
	if p.Headers == nil {
		return
	}
	p.headers = map[string]bool{}
	for _, name := range p.Headers {
		if !token.MatchString(name) {
			c.of(p)("headers", "%q is not a header's name", name)
		}
		if name = http.CanonicalHeaderKey(name); connection(name) {
			c.of(p)("headers", "%s is not sent: it is about the connection, the body or the client's own copy of the answer", name)
		}
		p.headers[name] = true
	}
}

// links finds what a part needs.
func (c *compiler) links(p *part) {
	if p.ForEach != "" {
		c.forEach(p)
	}
	if p.Batch != nil {
		c.batch(p)
	}
	perItem := false
	for _, r := range p.get.refs {
		c.link(p, r)
		perItem = perItem || r.perItem()
	}
	if p.ForEach != "" && !perItem && len(p.get.refs) > 0 || p.ForEach != "" && len(p.get.refs) == 0 && p.Get != "" {
		c.of(p)("get", "the call is the same for each item; want a value such as {item.id}")
	}
}

// link finds the part that a value comes from.
func (c *compiler) link(p *part, r *ref) {
	switch {
	case r.from == fromItem && p.ForEach == "":
		c.of(p)("get", "%s is for parts with for_each", r.text)
		return
	case r.from != fromPart:
		return
	}
	r.part = c.find(p, "get", r.name)
	if r.part == nil {
		return
	}
	if r.part.ForEach != "" {
		if r.sibling = r.part.ForEach == p.ForEach; !r.sibling {
			c.of(p)("get", "%s is asked for once for each item; only a part with the same for_each can use it", r.part.name)
			return
		}
	}
	p.need(r.part, !r.optional && !r.sibling)
}

func (p *part) need(other *part, hard bool) {
	if !slices.Contains(p.needs, other) {
		p.needs = append(p.needs, other)
	}
	if hard && !slices.Contains(p.hard, other) {
		p.hard = append(p.hard, other)
	}
}

func (c *compiler) find(p *part, key, name string) *part {
	found := c.byName[name]
	if found == nil {
		hint := "; there are " + strings.Join(c.names, ", ")
		if best := nearest.To(name, c.names); best != "" {
			hint = fmt.Sprintf("; did you mean %q?", best)
		}
		c.of(p)(key, "there is no part %q%s", name, hint)
	}
	return found
}

func (c *compiler) forEach(p *part) {
	add := c.of(p)
	name, path, _ := strings.Cut(p.ForEach, ".")
	p.path = fields(path)
	if slices.Contains(p.path, "") || strings.HasSuffix(p.ForEach, ".") {
		add("for_each", "%q is not the path of a list; want something like cart.items", p.ForEach)
		return
	}
	list := c.find(p, "for_each", name)
	switch {
	case list == nil:
		return
	case list.ForEach != "":
		add("for_each", "%s has a for_each itself; only one list deep is possible", name)
		return
	case list.as == "-":
		add("for_each", "%s is not in the answer, so there is nothing to put the items' answers into", name)
		return
	}
	p.list = list
	p.need(list, true)
	at := list.shape.at(p.path)
	if at == nil {
		add("for_each", "%q is not among the selected fields of %s", path, name)
		return
	}
	c.join(p, at)
}

// join puts a part into the items of a list.
func (c *compiler) join(p *part, at *shape) {
	add := c.of(p)
	if len(at.joins) > 0 && (p.as == "." || at.joins[0].as == ".") && p.as != "-" {
		add("as", "%s and %s cannot both be put into the same items, as one takes their place", at.joins[0].name, p.name)
		return
	}
	if p.as != "-" && p.as != "." {
		if field := at.fields[p.as]; !at.take(p.as) || !at.all && field != nil && field.name == "" {
			add("as", "the items have something of the name %q already", p.as)
		}
	}
	at.joins = append(at.joins, p)
	slices.SortStableFunc(at.joins, func(a, b *part) int { // what takes the place first
		return rank(a.as) - rank(b.as)
	})
}

func rank(as string) int {
	if as == "." {
		return 0
	}
	return 1
}

func (c *compiler) batch(p *part) {
	add, b := c.of(p), *p.Batch
	if p.ForEach == "" {
		add("batch", "it is for parts with for_each")
	}
	if !validPath(b.Key) {
		add("batch.key", "it is the field of each element of the answer that has the value it was asked for by, such as id")
	}
	if b.List != "" && !validPath(b.List) {
		add("batch.list", "%q is not a path of fields", b.List)
	}
	if b.Max < 0 {
		add("batch.max", "it is negative")
	}
	b.Max, b.Separator = or(b.Max, defaultBatch), or(b.Separator, ",")
	p.Batch, p.batchKey, p.batchList = &b, fields(b.Key), fields(b.List)
	p.each = p.get.batched(p.ForEach, c.byName)
	if p.each == nil && p.get.refs != nil {
		add("get", "for a batch it has to have one value of the item, without ?, as a parameter of its own, such as ?ids={item.id}")
	}
}

// batched returns the only value that differs from item to item, if it stands alone.
func (t *template) batched(forEach string, parts map[string]*part) *ref {
	varies := func(r *ref) bool {
		if r.from == fromPart {
			other := parts[r.name]
			return other != nil && other.ForEach == forEach
		}
		return r.from == fromItem
	}
	var found *ref
	for _, r := range t.refs {
		if varies(r) && found != nil || varies(r) && r.optional {
			return nil
		}
		if varies(r) {
			found = r
		}
	}
	for _, p := range t.params {
		if len(p.value) == 1 && p.value[0].ref == found && found != nil {
			return found
		}
	}
	return nil
}

// sources are the names of what is used of a source, sorted.
func (p *plan) sources(from source) []string {
	var out []string
	for _, part := range p.parts {
		for _, r := range part.get.refs {
			if r.from == from {
				out = append(out, r.name)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
