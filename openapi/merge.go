package openapi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
)

// Named is a document as a part of a catalogue.
type Named struct {
	// Name is that of the service. Letters, digits, dots, dashes and underscores.
	Name string
	Doc  *Document
	// Strip is taken from the beginning of the document's paths; all have to have
	// it. Default: nothing.
	Strip string
	// Prefix is set before them, after Strip. Default: nothing.
	Prefix string
}

// Merge makes one document of those of several services. Components get the
// service's name before their own, as orders.Order; so do security schemes,
// tags, and operation ids where two would be the same. Each operation has the
// service's name as its first tag. Two services with the same operation are an
// error of kind banyan.ErrConflict. Servers are left out, those of paths,
// operations and links too: clients call the gateway. The result does not depend on the order of docs.
func Merge(title, version string, docs []Named) (*Document, error) {
	docs = slices.Clone(docs)
	slices.SortFunc(docs, func(a, b Named) int { return compareText(a.Name, b.Name) })
	m := &merger{owner: map[string]string{}, paths: map[string]any{}, webhooks: map[string]any{}, components: map[string]any{}, ids: sharedIDs(docs)}
	for i, n := range docs {
		if err := n.check(); err != nil {
			return nil, err
		}
		if i > 0 && docs[i-1].Name == n.Name {
			return nil, fmt.Errorf("openapi: merge: %w: two services are called %q", banyan.ErrConflict, n.Name)
		}
		if err := m.add(n); err != nil {
			return nil, err
		}
	}
	return m.document(title, version)
}

var serviceName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

func (n Named) check() error {
	if !serviceName.MatchString(n.Name) {
		return fmt.Errorf("openapi: merge: service %q: %w: a name has letters, digits, dots, dashes and underscores", n.Name, banyan.ErrInvalid)
	}
	if n.Doc == nil {
		return fmt.Errorf("openapi: merge: service %q: %w: it has no document", n.Name, banyan.ErrInvalid)
	}
	for _, p := range []string{n.Strip, n.Prefix} {
		if p != "" && (p[0] != '/' || strings.ContainsAny(p, "{}")) {
			return fmt.Errorf("openapi: merge: service %q: %w: Strip and Prefix begin with / and have no parameters", n.Name, banyan.ErrInvalid)
		}
	}
	return nil
}

// sharedIDs are the operation ids that more than one service has.
func sharedIDs(docs []Named) map[string]bool {
	count := map[string]map[string]bool{}
	for _, n := range docs {
		if n.Doc == nil {
			continue
		}
		for _, op := range n.Doc.ops {
			if op.ID == "" {
				continue // there is none, which is nothing to share
			}
			if count[op.ID] == nil {
				count[op.ID] = map[string]bool{}
			}
			count[op.ID][n.Name] = true
		}
	}
	shared := map[string]bool{}
	for id, names := range count {
		shared[id] = len(names) > 1
	}
	return shared
}

// merger collects the parts of a catalogue.
type merger struct {
	owner      map[string]string // path → service
	paths      map[string]any
	webhooks   map[string]any
	components map[string]any
	tags       []any
	ids        map[string]bool
}

func (m *merger) add(n Named) error {
	root, _ := cloneValue(n.Doc.root).(map[string]any)
	out := &Document{name: n.Name, root: root}
	m.rename(n, root)
	m.tag(n, root)
	for group, value := range object(root, "components") {
		if _, known := grammar[kindComponents][group]; !known {
			continue
		}
		into := object(m.components, group)
		if into == nil {
			into = map[string]any{}
			m.components[group] = into
		}
		members, _ := value.(map[string]any)
		if err := n.put(group, into, members); err != nil {
			return err
		}
	}
	if err := n.put("webhooks", m.webhooks, object(root, "webhooks")); err != nil {
		return err
	}
	paths := object(root, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if extension(kindPathItem, path) {
			continue
		}
		if err := m.path(n, out, path, paths[path]); err != nil {
			return err
		}
	}
	return nil
}

// put adds members under the service's name. Two may still be one: v2.Order of
// orders is Order of orders.v2.
func (n Named) put(group string, into, members map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		full := n.Name + "." + name
		if _, taken := into[full]; taken {
			return fmt.Errorf("openapi: merge: service %q: %w: %s has %s already, of another service", n.Name, banyan.ErrConflict, group, full)
		}
		into[full] = members[name]
	}
	return nil
}

// path adds one path. Several services may share a path, not an operation.
func (m *merger) path(n Named, from *Document, path string, value any) error {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(n.Strip, "/"))
	if !ok || rest != "" && rest[0] != '/' {
		return fmt.Errorf("openapi: merge: service %q: %w: path %s does not begin with %s", n.Name, banyan.ErrInvalid, path, n.Strip)
	}
	public := strings.TrimSuffix(n.Prefix, "/") + rest
	if public == "" {
		public = "/"
	}
	item, _ := cloneValue(value).(map[string]any)
	first, taken := m.owner[public]
	if !taken {
		m.owner[public], m.paths[public] = n.Name, item
		return nil
	}
	return m.share(first, n.Name, public, m.paths[public].(map[string]any), item)
}

// share puts the operations of a second service beside those of the first. What
// the path item says for all of its operations would then hold for the other's.
func (m *merger) share(first, second, path string, into, item map[string]any) error {
	for name, value := range item {
		if _, both := into[name]; both || !slices.Contains(methods(), name) {
			return fmt.Errorf("openapi: merge: path %s: %w: %s and %s both describe its %s", path, banyan.ErrConflict, first, second, name)
		}
		into[name] = value
	}
	for name := range into {
		if !slices.Contains(methods(), name) {
			return fmt.Errorf("openapi: merge: path %s: %w: %s and %s share it, and the first says %s for both", path, banyan.ErrConflict, first, second, name)
		}
	}
	return nil
}

// rename puts the service's name before what a document's parts call one another.
func (m *merger) rename(n Named, root map[string]any) {
	inherited, hasInherited := root["security"]
	walk(place{kindDocument, root, ""}, func(p place) bool {
		o := p.object()
		if o == nil {
			return false
		}
		if ref := p.ref(); ref != "" {
			o["$ref"] = n.moved(ref)
		}
		switch p.kind {
		case kindPathItem:
			delete(o, "servers")
		case kindOperation:
			delete(o, "servers")
			if _, own := o["security"]; !own && hasInherited {
				o["security"] = cloneValue(inherited)
			}
			n.requirements(o)
			if id := text(o, "operationId"); m.ids[id] {
				o["operationId"] = n.Name + "." + id
			}
		case kindSchema:
			n.discriminator(o)
		case kindLink:
			delete(o, "server")
			if id := text(o, "operationId"); m.ids[id] {
				o["operationId"] = n.Name + "." + id
			}
			if ref := text(o, "operationRef"); strings.HasPrefix(ref, "#/") {
				o["operationRef"] = n.moved(ref)
			}
		}
		return true
	})
}

// moved returns a reference as it is in the catalogue.
func (n Named) moved(ref string) string {
	parts := strings.Split(ref, "/")
	switch {
	case len(parts) >= 4 && parts[1] == "components":
		parts[3] = n.Name + "." + parts[3]
	case len(parts) >= 3 && parts[1] == "paths":
		path := unescapePointer(parts[2])
		path = strings.TrimSuffix(n.Prefix, "/") + strings.TrimPrefix(path, strings.TrimSuffix(n.Strip, "/"))
		if path == "" {
			path = "/"
		}
		parts[2] = escapePointer(path)
	case len(parts) >= 3 && parts[1] == "webhooks":
		parts[2] = n.Name + "." + parts[2]
	}
	return strings.Join(parts, "/")
}

func (n Named) requirements(o map[string]any) {
	for i, requirement := range items(o, "security") {
		r, _ := requirement.(map[string]any)
		renamed := make(map[string]any, len(r))
		for name, scopes := range r {
			renamed[n.Name+"."+name] = scopes
		}
		items(o, "security")[i] = renamed
	}
}

// discriminator renames the schemas that a mapping names, by reference or by
// their bare name. Those that it does not name are known to clients by the names
// they had: it has to say so from now on.
func (n Named) discriminator(schema map[string]any) {
	d := object(schema, "discriminator")
	if d == nil {
		return
	}
	mapping := object(d, "mapping")
	mapped := map[string]bool{}
	for value, target := range mapping {
		t, _ := target.(string)
		mapped[lastPart(t)] = true
		switch {
		case strings.HasPrefix(t, "#/"):
			mapping[value] = n.moved(t)
		case object(object(n.Doc.root, "components"), "schemas")[t] != nil:
			mapping[value] = n.Name + "." + t
		}
	}
	for _, one := range slices.Concat(items(schema, "oneOf"), items(schema, "anyOf")) {
		ref := refOf(one) // not moved yet: what is below comes later
		name, isSchema := strings.CutPrefix(ref, "#/components/schemas/")
		if !isSchema || strings.Contains(name, "/") || mapped[unescapePointer(name)] {
			continue
		}
		if mapping == nil {
			mapping = map[string]any{}
			d["mapping"] = mapping
		}
		if _, taken := mapping[unescapePointer(name)]; !taken {
			mapping[unescapePointer(name)] = n.moved(ref)
		}
	}
}

// tag puts the service's name before tags.
func (m *merger) tag(n Named, root map[string]any) {
	if items(root, "tags") == nil || len(n.Doc.ops) > 0 {
		m.tags = append(m.tags, map[string]any{"name": n.Name, "description": n.Doc.Title() + " " + n.Doc.Version()})
	}
	for _, v := range items(root, "tags") {
		if t, ok := v.(map[string]any); ok && text(t, "name") != "" && text(t, "name") != n.Name {
			t["name"] = n.Name + "." + text(t, "name")
			m.tags = append(m.tags, t)
		}
	}
	walk(place{kindDocument, root, ""}, func(p place) bool {
		if p.kind != kindOperation {
			return true
		}
		tags := []any{n.Name}
		for _, tag := range texts(p.object(), "tags") {
			if tag != n.Name {
				tags = append(tags, n.Name+"."+tag)
			}
		}
		p.object()["tags"] = tags
		return true
	})
}

// document puts the parts together and checks the result like any document.
func (m *merger) document(title, version string) (*Document, error) {
	root := map[string]any{
		"openapi": "3.1.0", "paths": m.paths,
		"info": map[string]any{"title": title, "version": version},
	}
	if len(m.components) > 0 {
		root["components"] = m.components
	}
	if len(m.webhooks) > 0 {
		root["webhooks"] = m.webhooks
	}
	if m.tags != nil {
		root["tags"] = m.tags
	}
	d, err := build("catalogue "+printable(title), nil, root)
	if err != nil {
		return nil, fmt.Errorf("openapi: merge: %w", err)
	}
	return d, nil
}
