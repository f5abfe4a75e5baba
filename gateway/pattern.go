package gateway

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/banyanhq/banyan"
)

// pattern is a parsed match: "[METHOD ][HOST]/PATH".
type pattern struct {
	text     string
	method   string // "": any
	host     string // lower case; "": any; "*.x": below x
	segments []segment
	end      ending
	rest     string // name of the last wildcard, if end is rest
}

// segment of a path: text, or a wildcard of one segment.
type segment struct {
	text string // canonical; "" for a wildcard
	name string // of the wildcard
}

// ending is what may follow the segments of a pattern.
type ending int

const (
	exact ending = iota // nothing, or one slash
	slash               // a slash ("/{$}")
	rest                // anything ("/", "/{name...}")
)

// parsePattern reads the pattern language of net/http.ServeMux, with hosts that
// begin with "*." and without its redirects: "/a" matches /a and /a/, and "/a/"
// also /a, because servers behind tend to answer both alike.
func parsePattern(text string) (pattern, error) {
	p := pattern{text: text}
	rest := text
	if method, after, ok := strings.Cut(text, " "); ok {
		p.method, rest = method, strings.TrimLeft(after, " ")
		if !validMethod(method) {
			return p, fmt.Errorf("%w: %q is not a method%s", banyan.ErrInvalid, method, methodMeant(method))
		}
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return p, fmt.Errorf("%w: match %q has no path; want something like %q", banyan.ErrInvalid, text, "GET example.com/orders/{id}")
	}
	p.host = strings.ToLower(rest[:i])
	if !validPatternHost(p.host) {
		return p, fmt.Errorf("%w: match %q: %q is not a host; want a name without port, or *.name", banyan.ErrInvalid, text, p.host)
	}
	if err := p.parsePath(rest[i+1:]); err != nil {
		return p, fmt.Errorf("%w: match %q: %s", banyan.ErrInvalid, text, err) //nolint:errorlint // it is text
	}
	return p, nil
}

// lower makes a pattern one for paths in lower case.
func (p *pattern) lower() {
	for i := range p.segments {
		p.segments[i].text = strings.ToLower(p.segments[i].text)
	}
}

// methodMeant says what to write instead.
func methodMeant(given string) string {
	switch upper := strings.ToUpper(given); {
	case strings.ContainsAny(given, ",|"):
		return "; a route has one method, or none for all of them"
	case upper != given && validMethod(upper):
		return "; want " + upper
	}
	return ""
}

func validMethod(s string) bool {
	for _, c := range s {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return s != "" && s != http.MethodConnect && s != http.MethodTrace
}

func validPatternHost(host string) bool {
	host = strings.TrimPrefix(host, "*.")
	for i := range len(host) {
		if c := host[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host == "" || host[0] != '.' && host[len(host)-1] != '.'
}

func (p *pattern) parsePath(path string) error {
	names := map[string]bool{}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		last := i == len(parts)-1
		name, wild := strings.CutPrefix(part, "{")
		switch {
		case part == "" && last:
			p.end = rest
			return nil
		case part == "{$}" && last:
			p.end = slash
			return nil
		case part == "*":
			return fmt.Errorf("%q would match a star only; want {name}, or at the end {name...} or nothing for everything below", part)
		case !wild && strings.Contains(part, "?"):
			return fmt.Errorf("%q is of a query; conditions about it go into \"query\"", part[strings.IndexByte(part, '?'):])
		case !wild:
			text, err := Canonical("/"+escape(part), PathRules{Semicolon: true})
			if err != nil || part == "" {
				return fmt.Errorf("the segment %q can never be matched", part)
			}
			p.segments = append(p.segments, segment{text: text[1:]})
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		name, many := strings.CutSuffix(name, "...")
		switch {
		case !closed || !validName(name):
			return fmt.Errorf("%q is not a wildcard; want a whole segment such as {id}", part)
		case names[name]:
			return fmt.Errorf("two wildcards have the name %q", name)
		case many && !last:
			return fmt.Errorf("{%s...} is not at the end", name)
		case many:
			p.end, p.rest = rest, name
			return nil
		}
		names[name] = true
		p.segments = append(p.segments, segment{name: name})
	}
	return nil
}

func validName(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// relation of two sets of paths.
type relation int

const (
	disjoint relation = iota
	equal
	within   // the first is a part of the second
	contains // the second is a part of the first
	overlap  // they share some, and each has some of its own
)

// join combines the relations of two independent parts.
func (r relation) join(s relation) relation {
	switch {
	case r == disjoint || s == disjoint:
		return disjoint
	case r == equal:
		return s
	case s == equal || r == s:
		return r
	default:
		return overlap
	}
}

// comparePaths tells how the paths of two patterns relate.
func comparePaths(a, b *pattern) relation {
	n := min(len(a.segments), len(b.segments))
	r := equal
	for i := range n {
		if r = r.join(compareSegments(a.segments[i], b.segments[i])); r == disjoint {
			return disjoint
		}
	}
	switch {
	case len(a.segments) > n:
		return r.join(compareTail(b.end, within))
	case len(b.segments) > n:
		return r.join(compareTail(a.end, contains))
	}
	return r.join(compareEnds(a.end, b.end))
}

// compareTail: one pattern has segments where the other has its end.
func compareTail(end ending, longer relation) relation {
	if end == rest {
		return longer
	}
	return disjoint
}

func compareSegments(a, b segment) relation {
	switch {
	case a.text == b.text:
		return equal
	case a.text == "":
		return contains
	case b.text == "":
		return within
	}
	return disjoint
}

// compareEnds: slash is a part of rest. What the gateway adds to ServeMux's
// language does not count here: "/a" and "/a/" are two patterns, and which of
// them gets /a is a matter of precedence.
func compareEnds(a, b ending) relation {
	switch {
	case a == b:
		return equal
	case a == slash && b == rest:
		return within
	case a == rest && b == slash:
		return contains
	}
	return disjoint
}
