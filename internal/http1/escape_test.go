package http1_test

import (
	"net/url"
	"testing"

	"github.com/banyanhq/banyan/internal/http1"
)

// What is escaped means nothing to who takes a URL apart, and comes back whole.
func TestEscape(t *testing.T) {
	t.Parallel()
	const free = "ABCXYZabcxyz0189-._~"
	for c := range 256 {
		b := string([]byte{byte(c)})
		got := http1.Escape(b)
		back, err := url.PathUnescape(got)
		if plain := got == b; err != nil || back != b || plain != (byte(c) < 0x80 && (c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '.' || c == '_' || c == '~')) {
			t.Errorf("%q became %q", b, got)
		}
		if !http1.IsURLText(got) || !http1.IsURLText(http1.EscapeQuery("a"+b)) && c != '%' {
			t.Errorf("%q became %q and %q", b, got, http1.EscapeQuery(b))
		}
	}
	if got := http1.Escape(free); got != free {
		t.Errorf("%q became %q", free, got)
	}
	if got := http1.EscapeQuery(`a=%41&b=<"\>#|{é}`); got != "a=%41&b=%3C%22%5C%3E%23%7C%7B%C3%A9%7D" {
		t.Errorf("a query became %q", got)
	}
}

func TestIsURLText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": true, "/a/b?c=d&e=f;g": true, "%41%fF": true, "a!$'()*+,:@~": true,
		"%": false, "%4": false, "%zz": false, "a%": false, "a b": false, "#": false, "{": false, "\\": false, "é": false, "[": false, "\r\n": false, "\x00": false, "\"": false,
	} {
		if got := http1.IsURLText(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
