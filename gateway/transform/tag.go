package transform

import (
	"net/http"
	"strings"
)

// addMark makes the entity tag one of the edited body: a cache must not take what
// other rules made for the same.
func (p *Policy) addMark(h http.Header) {
	lines := h["Etag"]
	if len(lines) == 0 {
		return
	}
	tag := lines[0]
	if len(lines) > 1 || len(splitTags(tag)) != 1 || tag == "*" {
		delete(h, "Etag")
		return
	}
	h["Etag"] = []string{tag[:len(tag)-1] + p.mark + `"`}
}

// unmark gives the server its own entity tags back. only leaves out all others:
// what the client has under them was made by other rules, or by none.
func (p *Policy) unmark(h http.Header, name string, only bool) {
	lines := h[name]
	if len(lines) == 0 {
		return
	}
	var out []string
	for _, tag := range splitTags(strings.Join(lines, ",")) {
		if own, ok := strings.CutSuffix(tag, p.mark+`"`); ok {
			out = append(out, own+`"`)
		} else if !only || tag == "*" {
			out = append(out, tag)
		}
	}
	switch {
	case len(out) > 0:
		h[name] = []string{strings.Join(out, ", ")}
	case only:
		delete(h, name)
	}
}

// splitTags reads a list of entity tags (RFC 9110 §8.8.3), or "*". Commas may be
// in them. What is none gives nothing.
func splitTags(line string) (tags []string) {
	line = strings.Trim(line, " \t")
	if line == "*" {
		return []string{line}
	}
	for line != "" {
		rest, _ := strings.CutPrefix(line, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return nil
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil
		}
		n := len(line) - len(rest) + end + 2
		tags = append(tags, line[:n])
		line = strings.TrimLeft(line[n:], " \t,")
	}
	return tags
}
