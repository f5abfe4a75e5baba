package openapi

import (
	"maps"
	"slices"
	"strings"
)

// requirement is one way to be let in: schemes, each with the scopes it needs.
type requirement map[string][]string

func (r requirement) String() string {
	if len(r) == 0 {
		return "nothing"
	}
	var all []string
	for _, scheme := range slices.Sorted(maps.Keys(r)) {
		word := scheme
		if len(r[scheme]) > 0 {
			word += " (" + strings.Join(r[scheme], ", ") + ")"
		}
		all = append(all, word)
	}
	return strings.Join(all, " and ")
}

// opens reports whether whoever fulfils other fulfils r.
func (r requirement) opens(other requirement) bool {
	for scheme, scopes := range r {
		have, ok := other[scheme]
		if !ok {
			return false
		}
		for _, scope := range scopes {
			if !slices.Contains(have, scope) {
				return false
			}
		}
	}
	return true
}

// requirements returns the ways into an operation. Without any, it is open.
func (d *Document) requirements(op *operation) []requirement {
	from := op.node
	if _, own := from["security"]; !own {
		from = d.root
	}
	all := []requirement{}
	for _, v := range items(from, "security") {
		m, _ := v.(map[string]any)
		r := requirement{}
		for scheme := range m {
			r[scheme] = slices.Sorted(slices.Values(texts(m, scheme)))
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return []requirement{{}}
	}
	return all
}

func (d *differ) security(a, b *operation) {
	old, now := d.before.requirements(a), d.after.requirements(b)
	missing := func(from, among []requirement) []requirement {
		return slices.DeleteFunc(slices.Clone(from), func(r requirement) bool {
			return slices.ContainsFunc(among, func(other requirement) bool { return other.opens(r) })
		})
	}
	for _, r := range missing(old, now) {
		d.add("security", true, "%s is no longer enough", r)
	}
	for _, r := range missing(now, old) {
		if !slices.ContainsFunc(missing(old, now), func(o requirement) bool { return r.opens(o) || o.opens(r) }) {
			d.add("security", false, "%s is enough now", r)
		}
	}
	d.schemes(old, now)
}

// schemes finds schemes that keep their name and change what they are.
func (d *differ) schemes(old, now []requirement) {
	used := map[string]bool{}
	for _, r := range now {
		for scheme := range r {
			used[scheme] = true
		}
	}
	for _, r := range old {
		for scheme := range r {
			a, b := d.before.scheme(scheme), d.after.scheme(scheme)
			if used[scheme] && a != "" && b != "" && a != b {
				d.add("security", true, "%s is another scheme: it was %s and is %s", scheme, a, b)
			}
		}
	}
}

// scheme says what a security scheme is. Names of headers know no case, other
// names do.
func (d *Document) scheme(name string) string {
	all := object(object(d.root, "components"), "securitySchemes")
	m := d.resolve(place{kindSecurity, all[name], ""}).object()
	words := []string{strings.ToLower(text(m, "type"))}
	for _, field := range []string{"scheme", "in", "name", "openIdConnectUrl"} {
		s := text(m, field)
		if field == "scheme" || field == "name" && text(m, "in") == "header" {
			s = strings.ToLower(s)
		}
		if s != "" {
			words = append(words, s)
		}
	}
	flows := object(m, "flows")
	for _, flow := range slices.Sorted(maps.Keys(flows)) {
		if f := object(flows, flow); f != nil {
			words = append(words, strings.TrimSpace(flow+" "+strings.TrimSpace(text(f, "authorizationUrl")+" "+text(f, "tokenUrl"))))
		}
	}
	return strings.TrimSpace(strings.Join(words, " "))
}
