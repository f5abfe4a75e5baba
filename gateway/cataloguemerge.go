package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/openapi"
)

// snapshot is what the documents of one moment and the routes of one
// configuration make together. It never changes.
type snapshot struct {
	config     Catalogue
	sources    []*source
	operations []*operation
	routes     map[string]*described // by the name of the route
	upstreams  map[*upstream]*described
	whole      *published // nil: it could not be made
	audiences  map[string]*published
	wrong      map[string]string // by the source: why it is not in the catalogue
}

// published is a document as it is served.
type published struct {
	text []byte
	tag  string // entity tag
}

// operation is an operation of a source.
type operation struct {
	source *source
	openapi.Operation
	counter *counter
	public  []string // the paths by which clients reach it
	note    string   // why it is not published, or not under all of them
}

// group are operations of a source whose paths change alike on their way out.
type group struct {
	source *source
	doc    *openapi.Document
	rewriting
	keep map[operationKey]bool
}

// claim is who has a path of the catalogue.
type claim struct {
	template string
	methods  map[string]*group
}

// publisher puts a snapshot together.
type publisher struct {
	*snapshot
	log    *slog.Logger
	state  *state
	ways   []way
	groups []*group
	claims map[string]*claim // by shape
}

// publish makes a snapshot of what is known, and shows it.
func (c *collection) publish() {
	p := &publisher{log: c.log, state: c.state, claims: map[string]*claim{}, snapshot: &snapshot{
		config: c.config, sources: c.sources, routes: map[string]*described{}, upstreams: map[*upstream]*described{}, audiences: map[string]*published{}, wrong: map[string]string{},
	}}
	c.mu.Lock()
	known := maps.Clone(c.known)
	c.mu.Unlock()
	for i := range c.state.config.Routes {
		r := &c.state.config.Routes[i]
		p.routes[r.Name] = &described{}
	}
	for _, from := range c.sources {
		p.describe(from, known[from.name])
	}
	p.placeAll()
	p.whole = p.merge(func(*openapi.Operation) bool { return true }, true)
	for _, name := range sortedKeys(c.config.Audiences) {
		a := c.config.Audiences[name]
		p.audiences[name] = p.merge(func(op *openapi.Operation) bool { return a.has(name, op) }, a.All)
	}
	for _, name := range sortedKeys(p.wrong) {
		c.log.Warn("a service is not in the catalogue, or not with all that it has", "service", name, "error", p.wrong[name])
	}
	c.shown.Store(p.snapshot)
}

// describe adds the operations of a source, and by which routes they are reached.
func (p *publisher) describe(from *source, d *document) {
	by := &described{doc: d.doc, pending: d.doc == nil, source: from, counters: d.counters}
	for _, r := range from.routes {
		p.routes[r.Name] = by
	}
	if from.upstream != nil {
		p.upstreams[from.upstream] = by
	}
	if d.doc == nil {
		return
	}
	routes := probes(from.routes)
	for _, op := range d.doc.Operations() {
		l := &operation{source: from, Operation: op, counter: d.counters[operationKey{op.Method, op.Path}]}
		p.operations = append(p.operations, l)
		for _, r := range routes {
			for _, w := range r.rewritings(from.base, op.Path) {
				if public := w.apply(op.Path); r.reached(p.state, op.Method, public) {
					p.ways = append(p.ways, way{l, d.doc, w, public, r.conditions()})
				}
			}
		}
	}
}

// way is a path by which clients reach an operation.
type way struct {
	*operation
	doc *openapi.Document
	rewriting
	public     string
	conditions int
}

// placeAll puts operations under their paths, those with fewer conditions first.
func (p *publisher) placeAll() {
	slices.SortStableFunc(p.ways, func(a, b way) int { return cmp.Compare(a.conditions, b.conditions) })
	for _, w := range p.ways {
		p.place(w.operation, w.doc, w.rewriting, w.public)
	}
	for _, l := range p.operations {
		if len(l.public) == 0 && l.note == "" {
			l.note = "no route reaches it"
		}
	}
}

// place puts an operation under a path, if that is free.
func (p *publisher) place(l *operation, doc *openapi.Document, w rewriting, public string) {
	c := p.claims[shape(public)]
	if c == nil {
		c = &claim{template: public, methods: map[string]*group{}}
		p.claims[shape(public)] = c
	}
	g := p.group(l.source, doc, w)
	switch other := c.methods[l.Method]; {
	case other == g:
		return // another route leads there too
	case other != nil || c.template != public:
		l.note = "the path " + public + " is that of another operation, for another host or under other conditions"
		return
	}
	c.methods[l.Method] = g
	g.keep[operationKey{l.Method, l.Path}] = true
	l.public = append(l.public, public)
}

func (p *publisher) group(from *source, doc *openapi.Document, w rewriting) *group {
	for _, g := range p.groups {
		if g.source == from && g.rewriting == w {
			return g
		}
	}
	g := &group{source: from, doc: doc, rewriting: w, keep: map[operationKey]bool{}}
	p.groups = append(p.groups, g)
	return g
}

// part is a group as a part of a document.
type part struct {
	openapi.Named
	source *source
}

// merge makes a document of the operations that somebody may see; all: who sees
// everything. Others get no extensions, which may tell what is behind the gateway,
// and for whom else operations are. nil: that failed.
func (p *publisher) merge(wanted func(*openapi.Operation) bool, all bool) *published {
	doc := p.mergeAll(p.parts(wanted))
	if doc == nil {
		return nil
	}
	var err error
	if !all {
		doc, err = doc.WithoutExtensions()
	}
	var out *published
	if err == nil {
		out, err = p.print(doc, all)
	}
	if err != nil {
		p.log.Error("the catalogue cannot be put together", "error", err.Error())
		return nil
	}
	return out
}

// parts returns the groups, each under a name of its own, without what nobody
// wants.
func (p *publisher) parts(wanted func(*openapi.Operation) bool) []part {
	var parts []part
	taken := map[string]bool{}
	for _, from := range p.sources {
		taken[from.name] = true
	}
	named := map[*source]bool{}
	for _, g := range p.groups {
		doc, err := g.doc.Filter(func(op openapi.Operation) bool { return g.keep[operationKey{op.Method, op.Path}] && wanted(&op) })
		if err != nil {
			p.wrong[g.source.name] = err.Error()
			continue
		}
		if len(doc.Operations()) == 0 {
			continue
		}
		name := g.source.name
		if named[g.source] {
			name = serviceName(name, taken)
		}
		named[g.source] = true
		parts = append(parts, part{openapi.Named{Name: name, Doc: doc, Strip: g.strip, Prefix: g.prefix}, g.source})
	}
	return parts
}

// mergeAll makes one document. What does not fit together with the others is left
// out: it must not keep them from being seen.
func (p *publisher) mergeAll(parts []part) *openapi.Document {
	var all []openapi.Named
	for _, one := range parts {
		all = append(all, one.Named)
	}
	doc, err := openapi.Merge(p.config.Title, p.config.Version, all)
	if err == nil {
		return doc
	}
	doc, err = openapi.Merge(p.config.Title, p.config.Version, nil)
	if err != nil {
		p.log.Error("the catalogue cannot be put together", "error", err.Error())
		return nil
	}
	var fitting []openapi.Named
	for _, one := range parts {
		for _, try := range []openapi.Named{one.Named, without(one.Named, doc)} {
			next, err := openapi.Merge(p.config.Title, p.config.Version, append(slices.Clone(fitting), try))
			if err == nil {
				doc, fitting = next, append(fitting, try)
				break
			}
			p.wrong[one.source.name] = err.Error()
		}
	}
	return doc
}

// without returns a part without the paths that a document has already.
func without(one openapi.Named, there *openapi.Document) openapi.Named {
	taken := map[string]bool{}
	for _, op := range there.Operations() {
		taken[op.Path] = true
	}
	w := rewriting{one.Strip, one.Prefix}
	if doc, err := one.Doc.Filter(func(op openapi.Operation) bool { return !taken[w.apply(op.Path)] }); err == nil {
		one.Doc = doc
	}
	return one
}

// print writes a document with a version that says what it holds. Webhooks say
// nothing about whom they are for: only who may see everything sees them.
func (p *publisher) print(doc *openapi.Document, webhooks bool) (*published, error) {
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if members["webhooks"] != nil && !webhooks {
		delete(members, "webhooks")
		if members, err = pruned(members); err != nil {
			return nil, err
		}
	}
	if text, err = json.Marshal(members); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	hash := hex.EncodeToString(sum[:])
	if members["info"], err = json.Marshal(map[string]string{"title": p.config.Title, "version": p.config.Version + "+" + hash[:12]}); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(members); err != nil {
		return nil, err
	}
	return &published{text: text, tag: `"` + hash[:32] + `"`}, nil
}

// pruned returns a document without the components that nothing needs any more.
func pruned(members map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	doc, err := openapi.Parse("catalogue", text)
	if err != nil {
		return nil, err
	}
	if doc, err = doc.Filter(func(openapi.Operation) bool { return true }); err != nil {
		return nil, err
	}
	if text, err = doc.MarshalJSON(); err != nil {
		return nil, err
	}
	var out map[string]json.RawMessage
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, errors.Join(banyan.ErrInvalid, err)
	}
	return out, nil
}
