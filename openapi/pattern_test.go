package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/openapi"
)

// Patterns mean what they mean in ECMA-262.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, fits, not string }{
		{`^\s$`, "\u00a0", "x"},
		{`^\s$`, "\v", ""},
		{`^\s$`, "\ufeff", "\u200b"},
		{`^\S$`, "x", "\u00a0"},
		{`^[\s\S]$`, "\n", ""},
		{`^[^\s]$`, "x", "\u2003"},
		{`^[\Sx]$`, "y", "\u3000"},
		{`^.$`, "x", "\r"},
		{`^.$`, "é", "\u2028"},
		{`^[.]$`, ".", "x"},
		{`^[[:a]$`, "[", "b"},
		{`^[[:alpha:]]$`, "a]", "a"},
		{`^[^]$`, "\n", "ab"},
		{`^(a|[])$`, "a", "b"},
		{`^\cJ$`, "\n", "J"},
		{`^[\b]$`, "\b", "b"},
		{`^\u0041$`, "A", "B"},
		{`^\u{1F600}$`, "😀", "x"},
		{`^\uD83D\uDE00$`, "😀", "x"},
		{`^\\u0041$`, `\u0041`, "A"},
		{`^\/\-\.$`, "/-.", "/-x"},
		{`^a$`, "a", "a\n"},
		{`^\d\w$`, "1a", "٣a"},
	} {
		text, _ := json.Marshal(c.pattern)
		v := validator(t, schemaDocument(`{pattern: `+string(text)+`}`), nil)
		for value, want := range map[string]bool{c.fits: true, c.not: false} {
			body, _ := json.Marshal(value)
			if got := mistakes(t, ask(t, v, "POST", "/", string(body))); (got == nil) != want {
				t.Errorf("%s %q: got %q, want %v", c.pattern, value, got, want)
			} else if !want && !strings.Contains(got[0], "has to match "+c.pattern) {
				t.Errorf("%s: the client is told %q", c.pattern, got)
			}
		}
	}
}

func TestPatternsRefused(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{`(?=a)`, `(?<!a)b`, `(a)\1`, `\Qa\E`, `\Aa\z`, `\a`, `\uD83D`, `\u00`, `[a`, `a\`, `(a{1000}){1000}`} {
		text, _ := json.Marshal(pattern)
		if _, err := openapi.NewValidator(parse(t, schemaDocument(`{pattern: `+string(text)+`}`)), nil); err == nil {
			t.Errorf("%s is taken", pattern)
		}
	}
}
