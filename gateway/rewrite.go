package gateway

import (
	"fmt"
	"strings"
)

// rewrite is a path for the upstream, with what the wildcards of a match stand for
// in braces. Values are put in byte for byte as they stand in the canonical path,
// so that what is forwarded is one too.
type rewrite struct {
	texts []string // one more than names
	names []string
}

// parseRewrite reads one for a pattern.
func parseRewrite(text string, p *pattern) (*rewrite, error) {
	w := &rewrite{}
	known := p.wildcards()
	for rest := text; ; {
		literal, after, found := strings.Cut(rest, "{")
		if strings.ContainsAny(literal, "}?#") {
			return nil, fmt.Errorf("%q is not a path with {names} in it; a query is set with transform", text)
		}
		w.texts = append(w.texts, literal)
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		name = strings.TrimSuffix(name, "...")
		switch {
		case !closed:
			return nil, fmt.Errorf("a brace in %q has not its other one", text)
		case !known[name]:
			return nil, fmt.Errorf("the match has no wildcard {%s}%s", name, suggest(name, known))
		case len(w.names) > 0 && literal == "":
			return nil, fmt.Errorf("between {%s} and {%s} there is nothing: nobody could tell them apart", w.names[len(w.names)-1], name)
		case name == p.rest && (after != "" || !strings.HasSuffix(literal, "/")):
			return nil, fmt.Errorf("{%s} stands for several segments, or none: it can only be all of the end, behind a slash", name)
		}
		w.names, rest = append(w.names, name), after
	}
	sample := strings.Join(w.texts, "x")
	if canonical, err := Canonical(sample, PathRules{}); err != nil || canonical != sample {
		return nil, fmt.Errorf("%q is not a path; want something like /v2/items/{id}", text)
	}
	return w, nil
}

// path makes the path for one that the pattern matches.
func (w *rewrite) path(p *pattern, path string) string {
	var out strings.Builder
	for i, name := range w.names {
		out.WriteString(w.texts[i])
		out.WriteString(p.value(path, name))
	}
	out.WriteString(w.texts[len(w.names)])
	return out.String()
}

// value returns what a wildcard stands for in a path that the pattern matches, as it
// stands there.
func (p *pattern) value(path, name string) string {
	rest := strings.TrimPrefix(path, "/")
	for _, s := range p.segments {
		text, after, _ := strings.Cut(rest, "/")
		if s.name == name {
			return text
		}
		rest = after
	}
	return rest
}
