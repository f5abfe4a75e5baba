package openapi_test

import (
	"encoding/json"
	"testing"
)

// Formats mean what their RFCs say.
func TestFormats(t *testing.T) {
	t.Parallel()
	for format, cases := range map[string]map[string]bool{
		"ipv4":          {"1.2.3.4": true, "+1.2.3.4": false, "127.1": false, "01.2.3.4": false, "1২7.0.0.1": false, "1.2.3.4\n": false, "::1": false},
		"uri":           {"http://a/b?c#d": true, "mailto:a@b": true, "//a/b": false, "http://x/a b": false, "http://x/é": false, "http://a/<>": false, `http://a?q="`: false, "http://a/%zz": false, `\\a\b`: false},
		"uri-reference": {"/a?b#c": true, "//a/b": true, "a b": false, "é": false, `#a\b`: false},
		"byte":          {"YQ==": true, "YQ=": false},
		"email":         {"a@b.c": true, "a..b@c.d": false, "a@b.c\n": false},
		"date-time":     {"1998-12-31T23:59:60Z": true, "1998-12-31T22:59:60Z": false, "2026-02-29T00:00:00Z": false},
		"int32":         {"it is no number": true},
	} {
		v := validator(t, schemaDocument(`{format: `+format+`}`), nil)
		for value, want := range cases {
			body, _ := json.Marshal(value)
			if got := mistakes(t, ask(t, v, "POST", "/", string(body))); (got == nil) != want {
				t.Errorf("%s %q: got %q, want %v", format, value, got, want)
			}
		}
	}
}
