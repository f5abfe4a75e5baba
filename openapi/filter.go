package openapi

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Filter returns a document with the operations that keep wants, and with only
// the components and tags that these need. Webhooks stay; links to operations that
// go do not: they would tell of them. The document itself is not changed. It is an error where what is left refers to what is not, outside
// of the components.
func (d *Document) Filter(keep func(Operation) bool) (*Document, error) {
	root, _ := cloneValue(d.root).(map[string]any)
	wanted := map[string]bool{}
	for _, op := range d.ops {
		if keep(op.copy()) {
			wanted[op.Method+" "+op.Path] = true
		}
	}
	out := &Document{name: d.name, root: root}
	paths := object(root, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !extension(kindPathItem, path) && !out.filterPath(paths, path, wanted) {
			delete(paths, path)
		}
	}
	d.unlink(root, wanted)
	prune(root)
	made, err := build(d.name, nil, root)
	if err != nil {
		return nil, fmt.Errorf("openapi: filter: %w", err)
	}
	made.spoken = d.spoken
	return made, nil
}

// unlink removes the links to operations that are not wanted.
func (d *Document) unlink(root map[string]any, wanted map[string]bool) {
	gone := map[string]bool{} // by id, and by pointer
	for _, op := range d.ops {
		if !wanted[op.Method+" "+op.Path] {
			gone[op.ID] = op.ID != ""
			gone["#/paths/"+escapePointer(op.Path)+"/"+strings.ToLower(op.Method)] = true
		}
	}
	drop := func(links map[string]any) {
		for name, v := range links {
			link := d.resolve(place{kindLink, v, ""}).object()
			if ref := text(link, "operationRef"); gone[text(link, "operationId")] || gone[ref] || gone[decoded(ref)] {
				delete(links, name)
			}
		}
	}
	walk(place{kindDocument, root, ""}, func(p place) bool {
		if p.kind == kindResponse {
			drop(object(p.object(), "links"))
		}
		return true
	})
}

// filterPath removes operations, and reports whether some are left. A path item
// that is a reference is copied to its place: others may share it.
func (d *Document) filterPath(paths map[string]any, path string, wanted map[string]bool) bool {
	p := d.resolve(place{kindPathItem, paths[path], "/paths/" + escapePointer(path)})
	item, _ := cloneValue(p.value).(map[string]any)
	left := false
	for _, method := range methods() {
		if wanted[strings.ToUpper(method)+" "+path] {
			left = true
		} else {
			delete(item, method)
		}
	}
	paths[path] = item
	return left
}

// prune drops the components that nothing refers to, directly or through others,
// and the tags that no operation has.
func prune(root map[string]any) {
	used, tags, schemes := map[string]bool{}, map[string]bool{}, map[string]bool{}
	var follow func(p place) bool
	need := func(ref string) {
		at := componentOf(strings.TrimPrefix(ref, "#"))
		if at == "" || used[at] {
			return
		}
		used[at] = true
		if value, ok := lookup(root, at); ok {
			walk(place{grammar[kindComponents][strings.Split(at, "/")[2]].kind, value, at}, follow)
		}
	}
	follow = func(p place) bool {
		if p.kind == kindOperation {
			for _, tag := range texts(p.object(), "tags") {
				tags[tag] = true
			}
			for name := range security(p.object()) {
				schemes[name] = true
			}
		}
		if ref := p.ref(); ref != "" {
			need(ref)
		}
		for _, target := range object(object(p.object(), "discriminator"), "mapping") {
			if name, _ := target.(string); strings.HasPrefix(name, "#/") {
				need(name)
			} else {
				need("#/components/schemas/" + escapePointer(name))
			}
		}
		return p.kind != kindComponents
	}
	walk(place{kindDocument, root, ""}, follow)
	for name := range security(root) {
		schemes[name] = true
	}
	dropUnused(root, used, schemes)
	if all := items(root, "tags"); all != nil {
		root["tags"] = slices.DeleteFunc(all, func(v any) bool {
			m, _ := v.(map[string]any)
			return !tags[text(m, "name")]
		})
	}
}

// componentOf cuts a pointer to that of its component, "" where it is none.
func componentOf(pointer string) string {
	parts := strings.SplitN(canonicalPointer(pointer), "/", 5)
	if len(parts) < 4 || parts[1] != "components" {
		return ""
	}
	return strings.Join(parts[:4], "/")
}

func dropUnused(root map[string]any, used, schemes map[string]bool) {
	components := object(root, "components")
	for group := range grammar[kindComponents] {
		members := object(components, group)
		for name := range members {
			at := "/components/" + group + "/" + escapePointer(name)
			if !used[at] && !(group == "securitySchemes" && schemes[name]) {
				delete(members, name)
			}
		}
		if members != nil && len(members) == 0 {
			delete(components, group)
		}
	}
	if components != nil && len(components) == 0 {
		delete(root, "components")
	}
}

// security returns the names of the security schemes that an object asks for.
func security(m map[string]any) map[string]bool {
	names := map[string]bool{}
	for _, requirement := range items(m, "security") {
		r, _ := requirement.(map[string]any)
		for name := range r {
			names[name] = true
		}
	}
	return names
}

// WithoutExtensions returns the document without its extensions, the fields whose
// names begin with x-: they are for the tools of those who run the service, and
// may tell what is behind it. Fields of objects that are called so stay.
func (d *Document) WithoutExtensions() (*Document, error) {
	root, _ := cloneValue(d.root).(map[string]any)
	walk(place{kindDocument, root, ""}, func(p place) bool {
		strip(p.object())
		for name, field := range children(p.kind) {
			if name == "paths" || name == "responses" && field.shape == byName && p.kind == kindOperation {
				strip(object(p.object(), name))
			}
		}
		return true
	})
	made, err := build(d.name, nil, root)
	if err != nil {
		return nil, fmt.Errorf("openapi: without extensions: %w", err)
	}
	made.spoken = d.spoken
	return made, nil
}

// strip removes the extensions of an object, and of those that it has under names
// of its own.
func strip(m map[string]any) {
	for name := range m {
		if strings.HasPrefix(name, "x-") {
			delete(m, name)
		}
	}
	for _, name := range []string{"discriminator", "xml", "externalDocs", "contact", "license", "flows", "implicit", "password", "clientCredentials", "authorizationCode"} {
		if below := object(m, name); below != nil {
			strip(below)
		}
	}
}
