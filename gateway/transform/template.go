package transform

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// template is a value with references.
type template []piece

// piece is a text, or names something of a request.
type piece struct {
	text string
	from string // "path", "query", "header"; "" is a text
}

// parseTemplate reads a value for fields of a kind.
func parseTemplate(s string, k kind) (template, error) {
	if k != query && !http1.IsFieldValue(s) {
		return nil, errors.New("the value has a control character, or a space at an end")
	}
	var t template
	for {
		text, rest, found := strings.Cut(s, "{")
		t = t.with(text)
		if !found {
			return t, nil
		}
		if after, ok := strings.CutPrefix(rest, "{"); ok {
			t, s = t.with("{"), after
			continue
		}
		ref, after, closed := strings.Cut(rest, "}")
		from, name, _ := strings.Cut(ref, ".")
		p := piece{name, from}
		if err := p.check(closed, k); err != nil {
			return nil, err
		}
		t, s = append(t, p), after
	}
}

func (t template) with(text string) template {
	if text == "" {
		return t
	}
	return append(t, piece{text: text})
}

func (p piece) check(closed bool, k kind) error {
	switch {
	case !closed:
		return errors.New("a { is not closed; write {{ for {")
	case p.from != "path" && p.from != "query" && p.from != "header" || p.text == "":
		return fmt.Errorf("{%s.%s} is not {path.NAME}, {query.NAME} or {header.NAME}", p.from, p.text)
	case p.from == "header" && !http1.IsToken(p.text):
		return fmt.Errorf("%q is not the name of a header", p.text)
	case p.from == "header" && k == answer:
		switch http.CanonicalHeaderKey(p.text) {
		case "Authorization", "Proxy-Authorization", "Cookie":
			return fmt.Errorf("an answer must not show the request's %s", p.text)
		}
	}
	return nil
}

// source is what templates read: a request as it arrived.
type source struct {
	*http.Request
	query url.Values
}

// value expands a template; there is none if something is missing.
func (s *source) value(t template) (string, bool) {
	var b strings.Builder
	for _, p := range t {
		text := p.text
		switch p.from {
		case "path":
			text = s.PathValue(p.text)
		case "query":
			if s.query == nil {
				s.query = s.URL.Query()
			}
			text = s.query.Get(p.text)
		case "header":
			text = strings.Join(s.Header.Values(p.text), ", ")
		}
		if text == "" {
			return "", false
		}
		b.WriteString(text)
	}
	return b.String(), true
}
