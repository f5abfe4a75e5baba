package compose_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/banyanhq/banyan/gateway/compose"
)

// FuzzTemplate: a template is refused, or its calls are what a server reads as a
// clean path with as many segments as the template has, whatever the values are.
func FuzzTemplate(f *testing.F) {
	for _, t := range []string{"/a/{query.v}/b?c={query.v}", "/{query.v}.{query.v}", "/{query.v?..}", "/x?a=1&b={query.v?}", "/%2e/{path.user}", "/a?b?c={header.x}", "/{", "/a={query.v}&b", "/;a=b/{query.v}/"} {
		for _, v := range []string{"x", "..", "a/b", "\r\n", "&?#"} {
			f.Add(t, v)
		}
	}
	f.Fuzz(func(t *testing.T, template, v string) {
		c := &compose.Config{Parts: parts{"p": {To: "a", Get: template, Optional: true}}}
		if len(c.Check()) > 0 {
			return
		}
		h, err := compose.New("x", c, func(string) http.RoundTripper {
			return tripper(func(r *http.Request) (*http.Response, error) {
				raw := r.URL.EscapedPath()
				seen, err := url.ParseRequestURI(r.URL.RequestURI())
				if err != nil || r.URL.RawPath != raw || seen.RawQuery != r.URL.RawQuery || seen.Host != "" {
					t.Errorf("%q with %q: %q, %v", template, v, r.URL.RequestURI(), err)
				}
				literal, _, _ := strings.Cut(outside(template), "?")
				if strings.Count(raw, "/") != strings.Count(literal, "/") {
					t.Errorf("%q with %q: path %q", template, v, raw)
				}
				if clean := path.Clean(r.URL.Path); !strings.HasSuffix(literal, "/") && strings.Count(raw, "%2F") == 0 && clean != r.URL.Path {
					t.Errorf("%q with %q: path %q is read as %q", template, v, raw, clean)
				}
				return services{"a" + r.URL.RequestURI(): "1"}.upstream("a").RoundTrip(r)
			})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		get(h, "/?v="+url.QueryEscape(v))
	})
}

// outside is what is not in braces.
func outside(template string) string {
	var out strings.Builder
	for template != "" {
		before, rest, _ := strings.Cut(template, "{")
		out.WriteString(before)
		_, template, _ = strings.Cut(rest, "}")
	}
	return out.String()
}

// FuzzJSON: what is passed on is what encoding/json reads in it too, and what it
// does not read is refused.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{`{"a":[1.10,{"b":1e400}],"c":"\"}"}`, `[[],{},""]`, `{"a":1,"\u0061":2}`, " 1 ", `{"a":{"b":[{"c":1},{"c":2}]}}`, "[1,2", `"\`, "\ufeff1", "\xff", strings.Repeat("[", 101) + strings.Repeat("]", 101)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := compose.New("x", &compose.Config{Parts: parts{
			"p": {To: "a", Get: "/"},
			"q": {To: "a", Get: "/", Select: []string{"a.b", "c"}, Rename: map[string]string{"a.b": "z"}, Limit: map[string]int{"a": 2}},
		}}, inMemoryText(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		w := get(h, "/")
		if w.Code != http.StatusOK {
			if json.Valid([]byte(text)) && utf8.ValidString(text) && !strings.ContainsAny(text, "{[") {
				t.Errorf("%q is refused", text)
			}
			return
		}
		var got struct{ P, Q json.RawMessage }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || !json.Valid([]byte(text)) {
			t.Fatalf("%q: %s: %v", text, w.Body, err)
		}
		var in, out any
		if json.Unmarshal([]byte(text), &in) == nil && json.Unmarshal(got.P, &out) == nil {
			a, _ := json.Marshal(in)
			b, _ := json.Marshal(out)
			if string(a) != string(b) {
				t.Errorf("%q: %s", text, got.P)
			}
		}
	})
}

func inMemoryText(text string) func(string) http.RoundTripper {
	return func(string) http.RoundTripper {
		return inMemory{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })}
	}
}
