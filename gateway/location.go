package gateway

import (
	"errors"
	"fmt"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// location makes the URL of a redirect out of a request. What a request says never
// leaves its place: the host can be the client's only where {host} stands, the path
// is put into canonical form again, in which it cannot begin with two slashes, and in
// a query everything is escaped.
type location struct {
	scheme        string // "": the request's, and its host
	before, after string // the host, or what is round the client's
	client        bool   // there is {host}
	path, query   []span
	fragment      string // with its #
}

// span is a text, or names something of a request.
type span struct {
	text string // of a wildcard: its name
	from origins
}

type origins int

const (
	literal origins = iota
	wholePath
	wildcard
)

// everyPath lets through what a request may have by some rules: those of the
// configuration it has passed already.
var everyPath = PathRules{EncodedSlash: true, Semicolon: true, Delimiters: true, AnyBytes: true}

// parseLocation reads what a redirect leads to.
func parseLocation(text string) (*location, error) {
	l := &location{}
	rest, fragment, found := strings.Cut(text, "#")
	if l.fragment = fragment; found {
		l.fragment = "#" + fragment
	}
	rest, query, _ := strings.Cut(rest, "?")
	path, err := l.cutOrigin(rest)
	if err == nil {
		l.path, err = parseSpans(path)
	}
	if err == nil {
		l.query, err = parseSpans(query)
	}
	if err == nil {
		err = l.check(fragment)
	}
	return l, err
}

// cutOrigin reads scheme and host, if they are there, and returns what follows.
func (l *location) cutOrigin(text string) (path string, err error) {
	scheme, rest, absolute := strings.Cut(text, "://")
	if !absolute || strings.ContainsAny(scheme, "/{") {
		if !strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "{path}") || strings.HasPrefix(text, "//") {
			return "", fmt.Errorf("%q is neither a path nor a URL; want something like /new or https://www.example.com{path}", mask(text))
		}
		return text, nil
	}
	if l.scheme = scheme; scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("%q is neither http nor https", mask(scheme))
	}
	end := len(rest)
	for _, begin := range []string{"/", "{path}"} {
		if i := strings.Index(rest, begin); i >= 0 {
			end = min(end, i)
		}
	}
	l.before, l.after, l.client = strings.Cut(rest[:end], "{host}")
	if !l.client {
		l.before, l.after = rest[:end], ""
	}
	return rest[end:], l.checkHost(rest[:end])
}

// checkHost refuses what is no host, such as one with a user, and a value that could
// be a part of a name.
func (l *location) checkHost(text string) error {
	host, _ := l.host("x")
	switch {
	case strings.Contains(l.before+l.after, "{"):
		return fmt.Errorf("%q is not a host; only {host} can stand in it, and a path begins with a slash or {path}", mask(text))
	case !http1.ValidHost(host):
		return fmt.Errorf("%q is not a host; want something like www.example.com or {host}:8443", mask(text))
	case l.client && l.before != "" && !strings.HasSuffix(l.before, "."), l.client && l.after != "" && l.after[0] != '.' && l.after[0] != ':':
		return fmt.Errorf("%q has {host} within a name; want it between dots", text)
	}
	return nil
}

// host returns the host for one that a client names.
func (l *location) host(client string) (string, error) {
	if !l.client {
		return l.before, nil
	}
	if host := l.before + client + l.after; client != "" && http1.ValidHost(host) {
		return host, nil
	}
	return "", errNoHost
}

var errNoHost = errors.New("the request names no host that it could be sent to")

// parseSpans reads a text with values in braces.
func parseSpans(text string) ([]span, error) {
	var spans []span
	for text != "" {
		plain, rest, found := strings.Cut(text, "{")
		if !http1.IsURLText(plain) {
			return nil, fmt.Errorf("%q has characters that a URL cannot have; write them as %%XX", plain)
		}
		if plain != "" {
			spans = append(spans, span{text: plain})
		}
		if !found {
			break
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("a { has no }")
		}
		s, err := parseSpan(inside)
		if err != nil {
			return nil, err
		}
		spans, text = append(spans, s), after
	}
	return spans, nil
}

// parseSpan reads what is in braces.
func parseSpan(text string) (span, error) {
	name := strings.TrimSuffix(text, "...")
	_, part, _ := strings.Cut(name, "path.")
	switch {
	case text == "path":
		return span{from: wholePath}, nil
	case text == "host":
		return span{}, errors.New("{host} stands behind https:// or http:// only")
	case validName(name):
		return span{name, wildcard}, nil
	case validName(part):
		return span{}, fmt.Errorf("{%s} is not {path}, {host} or a wildcard of the match; want {%s}", text, part)
	}
	return span{}, fmt.Errorf("{%s} is not {path}, {host} or a wildcard of the match", text)
}

// check refuses paths that are not what they seem.
func (l *location) check(fragment string) error {
	if !http1.IsURLText(fragment) {
		return errors.New("behind the # there can be no value, and nothing that a URL cannot have")
	}
	var path strings.Builder
	for _, s := range l.path {
		path.WriteString([]string{literal: s.text, wholePath: "/x", wildcard: "x"}[s.from])
	}
	switch _, err := Canonical(path.String(), everyPath); {
	case path.Len() == 0:
		return nil
	case strings.Contains(path.String(), "//"):
		return errors.New("the path has //; {path} begins with a slash of its own")
	case err != nil:
		return errors.New(strings.TrimPrefix(err.Error(), "gateway: "))
	}
	return nil
}

// asked is what a location takes of a request: a host without its port, a canonical
// path, and a query as it came.
type asked struct{ host, path, query string }

// destination is where a client is sent.
type destination struct{ origin, path, query, fragment string }

// String is the URL.
func (d destination) String() string {
	query := d.query
	if query != "" {
		query = "?" + query
	}
	return d.origin + d.path + query + d.fragment
}

// is reports whether it is the URL that a client has asked for.
func (d destination) is(origin, path, query string) bool {
	return (d.origin == "" || strings.EqualFold(d.origin, origin)) && d.path == path && d.query == http1.EscapeQuery(query)
}

// of puts a request's values into their places. The pattern has matched its path.
func (l *location) of(p *pattern, a asked) (d destination, err error) {
	if l.scheme != "" {
		host, err := l.host(a.host)
		if err != nil {
			return d, err
		}
		d.origin = l.scheme + "://" + host
	}
	if d.path, err = Canonical("/"+fill(l.path, p, a.path, func(s string) string { return s }), everyPath); err != nil {
		return d, err
	}
	d.query = fill(l.query, p, a.path, func(s string) string { return http1.Escape(unescape(s)) })
	if a.query != "" {
		if d.query != "" {
			d.query += "&"
		}
		d.query += http1.EscapeQuery(a.query)
	}
	d.fragment = l.fragment
	return d, nil
}

// fill puts values of a path into their places.
func fill(spans []span, p *pattern, path string, escaped func(string) string) string {
	var out strings.Builder
	for _, s := range spans {
		switch s.from {
		case literal:
			out.WriteString(s.text)
		case wholePath:
			out.WriteString(escaped(path))
		case wildcard:
			out.WriteString(escaped(p.value(path, s.text)))
		}
	}
	return out.String()
}
