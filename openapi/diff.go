package openapi

import (
	"cmp"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
)

// Change is a difference between two versions of an API.
type Change struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Where it is: "operation", "query limit", "body application/json /lines/*/sku",
	// "answer 200 application/json /total" …
	Where string `json:"where"`
	Text  string `json:"text"`
	// Breaking: a client that keeps the contract before may fail after.
	Breaking bool `json:"breaking"`
}

// String writes the change as a line.
func (c Change) String() string {
	mark := "          "
	if c.Breaking {
		mark = "breaking: "
	}
	return fmt.Sprintf("%s%s %s: %s: %s", mark, c.Method, c.Path, c.Where, c.Text)
}

// Diff returns what changed for clients, by path, method and place. What a client
// sends may become wider and not narrower; what it gets may become narrower and
// not wider. What is gone from requests counts as breaking too: clients that send
// it are no longer heard. So do answers of success, and media types of answers:
// clients wait for them. Answers that report errors may go. Texts, examples and
// names of path parameters do not count; keywords whose effect cannot be told
// count as breaking when they change, and so does what is too large to compare.
func Diff(before, after *Document) []Change {
	if equal(before.root, after.root) {
		return nil
	}
	d := &differ{before: before, after: after, left: maxCompared, unchanged: map[string]bool{}}
	old, now := d.index(before), d.index(after)
	for _, key := range slices.Sorted(maps.Keys(old)) {
		a, b := old[key], now[key]
		d.method, d.path = a.Method, a.Path
		if b == nil {
			d.add("operation", true, "is gone")
			continue
		}
		d.operation(a, b)
	}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if b := now[key]; old[key] == nil {
			d.method, d.path = b.Method, b.Path
			d.add("operation", false, "is new")
		}
	}
	slices.SortStableFunc(d.changes, func(a, b Change) int {
		return cmp.Or(compareText(a.Path, b.Path), compareText(a.Method, b.Method), compareText(a.Where, b.Where), compareText(a.Text, b.Text))
	})
	return slices.Compact(d.changes)
}

// maxCompared bounds the work for two documents, in schemas: what one says in a
// line may take another million to spell out.
const maxCompared = 10_000_000

// differ collects changes of the operation at hand.
type differ struct {
	before, after *Document
	method, path  string
	changes       []Change
	left          int             // schemas that may still be looked at
	unchanged     map[string]bool // references that lead to the same in both
}

func (d *differ) add(where string, breaking bool, format string, args ...any) {
	d.changes = append(d.changes, Change{d.method, d.path, printable(where), printable(fmt.Sprintf(format, args...)), breaking})
}

// index finds operations by method and path without the names of parameters.
func (d *differ) index(doc *Document) map[string]*operation {
	all := map[string]*operation{}
	for _, op := range doc.ops {
		all[anonymous(op.Path)+" "+op.Method] = op
	}
	return all
}

func anonymous(path string) string {
	var out strings.Builder
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			out.WriteByte('/')
		}
		literals, _, _ := template(part)
		out.WriteString(strings.Join(literals, "{}"))
	}
	return out.String()
}

func (d *differ) operation(a, b *operation) {
	if a.Deprecated != b.Deprecated {
		d.add("operation", false, "%s", map[bool]string{true: "is deprecated", false: "is no longer deprecated"}[b.Deprecated])
	}
	if a.ID != b.ID && a.ID != "" {
		d.add("operation", false, "its id was %q and is %q", a.ID, b.ID)
	}
	d.parameters(a, b)
	d.body(a, b)
	d.answers(a, b)
	d.security(a, b)
}

// parametersOf returns parameters by where they are and their name; those of the
// path by their number, since their names are between document and reader.
func parametersOf(op *operation) map[string]place {
	all := map[string]place{}
	for _, p := range op.parameters {
		m := p.object()
		name, in := text(m, "name"), text(m, "in")
		if in == "header" {
			name = textproto.CanonicalMIMEHeaderKey(name)
		}
		if isIgnored(in, name) {
			continue
		}
		if in == "path" {
			before, _, _ := strings.Cut(op.Path, "{"+name+"}")
			name = fmt.Sprintf("parameter %d", 1+strings.Count(before, "{"))
		}
		all[in+" "+name] = p
	}
	return all
}

func (d *differ) parameters(a, b *operation) {
	old, now := parametersOf(a), parametersOf(b)
	for where, p := range old {
		q, still := now[where]
		switch {
		case !still:
			d.add(where, !strings.HasPrefix(where, "path "), "is gone: what clients send has no effect, or is refused")
		default:
			d.parameter(where, p, q)
		}
	}
	for where, q := range now {
		if _, had := old[where]; !had {
			required := flag(q.object(), "required") && !strings.HasPrefix(where, "path ")
			d.add(where, required, "%s", map[bool]string{true: "is new and required", false: "is new"}[required])
		}
	}
}

func (d *differ) parameter(where string, p, q place) {
	a, b := p.object(), q.object()
	if flag(a, "required") != flag(b, "required") {
		required := flag(b, "required")
		d.add(where, required, "%s", map[bool]string{true: "is required now", false: "is no longer required"}[required])
	}
	if flag(b, "deprecated") && !flag(a, "deprecated") {
		d.add(where, false, "is deprecated")
	}
	if written(a) != written(b) {
		d.add(where, true, "is written in another way: it was %s and is %s", written(a), written(b))
	}
	if flag(a, "allowEmptyValue") && !flag(b, "allowEmptyValue") {
		d.add(where, true, "may no longer be empty")
	}
	d.contents(where, request, object(a, "content"), object(b, "content"))
	if a["content"] == nil && b["content"] == nil {
		d.schemas(where, request, a["schema"], b["schema"])
	}
}

// written returns how a parameter is serialised.
func written(m map[string]any) string {
	for media := range object(m, "content") {
		return "as " + media
	}
	style := text(m, "style")
	if style == "" {
		style = map[string]string{"path": "simple", "header": "simple"}[text(m, "in")]
	}
	style = cmp.Or(style, "form")
	explode, ok := m["explode"].(bool)
	if !ok {
		explode = style == "form"
	}
	if explode {
		return "style " + style + " exploded"
	}
	return "style " + style
}

func (d *differ) body(a, b *operation) {
	had, has := d.part(d.before, a.node, kindBody, "requestBody"), d.part(d.after, b.node, kindBody, "requestBody")
	switch {
	case had == nil && has == nil:
		return
	case had == nil:
		d.add("body", flag(has, "required"), "%s", map[bool]string{true: "is new and required", false: "is new"}[flag(has, "required")])
		return
	case has == nil:
		d.add("body", true, "is gone: what clients send has no effect, or is refused")
		return
	}
	if flag(had, "required") != flag(has, "required") {
		required := flag(has, "required")
		d.add("body", required, "%s", map[bool]string{true: "is required now", false: "is no longer required"}[required])
	}
	d.contents("body", request, object(had, "content"), object(has, "content"))
}

// part returns a field of an object, resolved.
func (d *differ) part(doc *Document, m map[string]any, k kind, name string) map[string]any {
	return doc.resolve(place{k, m[name], ""}).object()
}

func (d *differ) headers(where string, a, b map[string]any) {
	old, now := canonicalNames(a), canonicalNames(b)
	for name, v := range old {
		at := where + " header " + name
		w, still := now[name]
		if !still {
			d.add(at, true, "is gone")
			continue
		}
		m, n := d.before.resolve(place{kindHeader, v, ""}).object(), d.after.resolve(place{kindHeader, w, ""}).object()
		if flag(m, "required") && !flag(n, "required") {
			d.add(at, true, "is no longer sure to be there")
		}
		if flag(n, "required") && !flag(m, "required") {
			d.add(at, false, "is sure to be there")
		}
		d.schemas(at, response, m["schema"], n["schema"])
	}
	for name := range now {
		if _, had := old[name]; !had {
			d.add(where+" header "+name, false, "is new")
		}
	}
}

func canonicalNames(m map[string]any) map[string]any {
	all := make(map[string]any, len(m))
	for name, v := range m {
		all[textproto.CanonicalMIMEHeaderKey(name)] = v
	}
	return all
}
