package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/compose"
)

// hostile are values with everything that means something in a URL.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", ".", "..", "../x", "a/../b", "..\\x", "%2e%2e", "%2f", "a/b", "/", "//evil", "?x=1", "&admin=1", "#f", "=", "+", " ", "a b", "a;b", ",", "\r\nHost: evil", "\x00", "é", "\xff", "%", "%zz", "a%00", "{path.a}", "1e400", "*",
		}),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab./\\%?&=#;, \r\n{}+é")), 0, 8, -1),
		rapid.String(),
	)
}

// heard is what a server saw of the last request.
type heard struct {
	mu   sync.Mutex
	uri  string // guarded by mu
	seen bool   // guarded by mu
}

func (h *heard) take() (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	uri, seen := h.uri, h.seen
	h.uri, h.seen = "", false
	return uri, seen
}

// TestValuesStayInTheirPlace has values from a service and from the request go
// through a network into every place, and takes apart what the server saw.
func TestValuesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	var last heard
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		last.mu.Lock()
		last.uri, last.seen = r.RequestURI, true
		last.mu.Unlock()
		_, _ = w.Write([]byte("1"))
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := hostile().Draw(t, "a"), hostile().Draw(t, "b")
		said, err := json.Marshal(map[string]string{"v": a})
		if err != nil {
			t.Fatal(err)
		}
		a = strings.ToValidUTF8(a, "\ufffd") // as JSON has it
		var decoded struct{ V string }
		if json.Unmarshal(said, &decoded) == nil {
			a = decoded.V
		}
		h, err := compose.New("x", &compose.Config{Parts: parts{
			"v": {To: "v", Get: "/", As: "-"},
			"p": {To: "p", Get: "/pre/{v.v}/x-{query.b}/end?k={v.v}&m=l{query.b}r&z=1", Optional: true},
		}}, func(name string) http.RoundTripper {
			if name == "v" {
				return services{"v/": string(said)}.upstream("v")
			}
			return s
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := get(h, "/?b="+url.QueryEscape(b))
		uri, called := last.take()
		if called != (w.Body.String() == `{"p":1}`) {
			t.Fatalf("%d %s, called %v", w.Code, w.Body, called)
		}
		refused := a == "" || b == "" || traverses(a) || traverses("x-"+b)
		if called == refused {
			t.Fatalf("a %q, b %q: called %v, %s", a, b, called, uri)
		}
		if called {
			inPlace(t, uri, a, b)
		}
	})
}

func traverses(segment string) bool {
	pieces := strings.Split(strings.ReplaceAll(segment, "\\", "/"), "/")
	return slices.Contains(pieces, ".") || slices.Contains(pieces, "..")
}

func inPlace(t *rapid.T, uri, a, b string) {
	t.Helper()
	u, err := url.ParseRequestURI(uri)
	if err != nil || u.Host != "" || u.Fragment != "" {
		t.Fatalf("%q: %v", uri, err)
	}
	segments := strings.Split(u.EscapedPath(), "/")
	for i := range segments {
		segments[i], _ = url.PathUnescape(segments[i])
	}
	if diff := cmp.Diff([]string{"", "pre", a, "x-" + b, "end"}, segments); diff != "" {
		t.Errorf("%q: segments %s", uri, diff)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if diff := cmp.Diff(url.Values{"k": {a}, "m": {"l" + b + "r"}, "z": {"1"}}, query); diff != "" || err != nil {
		t.Errorf("%q: query %v %s", uri, err, diff)
	}
	if strings.ContainsAny(uri, "\r\n \\\"+;#") {
		t.Errorf("%q holds a character that has to be escaped", uri)
	}
}

// TestBatchValuesStayInTheirPlace is the same for the values of a batch.
func TestBatchValuesStayInTheirPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(hostile(), 0, 5).Draw(t, "values")
		separator := rapid.SampledFrom([]string{",", "&", "|"}).Draw(t, "separator")
		list, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(list, &values); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, v := range values {
			if v != "" && (separator == "&" || !strings.Contains(v, separator)) && !slices.Contains(want, v) {
				want = append(want, v)
			}
		}
		var got []string
		h, err := compose.New("x", &compose.Config{Parts: parts{
			"l": {To: "l", Get: "/"}, "p": {To: "p", ForEach: "l", As: ".", Get: "/?a=1&id={item}&b=2", Optional: true, Batch: &compose.Batch{Key: "id", Separator: separator}},
		}}, func(name string) http.RoundTripper {
			if name == "l" {
				return services{"l/": string(list)}.upstream("l")
			}
			return tripper(func(r *http.Request) (*http.Response, error) {
				query, err := url.ParseQuery(r.URL.RawQuery)
				if err != nil || query.Get("a") != "1" || query.Get("b") != "2" || len(query) != 3 {
					return nil, fmt.Errorf("query %q", r.URL.RawQuery)
				}
				got = query["id"]
				if separator != "&" {
					got = strings.Split(got[0], separator)
				}
				return services{"p": "[]"}.upstream("").RoundTrip(r)
			})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		get(h, "/")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", values, diff)
		}
	})
}

// anyJSON is text with every number and string as it may be written.
func anyJSON(depth int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "1.10", "1e400", "12345678901234567890", "-1E-7", "0.1000", `""`, `"\u0041\/\n"`, `"a\"]}{[,:"`, `"\\"`, `"\ud800"`, `"é"`}),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?`),
	)
	if depth == 0 {
		return scalar
	}
	return rapid.Custom(func(t *rapid.T) string {
		var items []string
		kind := rapid.IntRange(0, 2).Draw(t, "kind")
		if kind == 0 {
			return scalar.Draw(t, "scalar")
		}
		names := map[string]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "n") / depth {
			item := anyJSON(depth-1).Draw(t, "item")
			if kind == 1 {
				name := rapid.SampledFrom([]string{"a", "b", "a.b", "", "é", "\"", "id", "\\u0061"}).Draw(t, "name") + rapid.StringMatching("[a-c]?").Draw(t, "suffix")
				if names[name] {
					continue
				}
				names[name] = true
				key, _ := json.Marshal(name)
				item = string(key) + space.Draw(t, "space") + ":" + item
			}
			items = append(items, space.Draw(t, "space")+item+space.Draw(t, "space"))
		}
		body := strings.Join(items, ",")
		if kind == 1 {
			return "{" + body + "}"
		}
		return "[" + body + "]"
	})
}

func compact(t *rapid.T, text string) string {
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out.String()
}

// TestAnyJSONSurvives passes JSON on as it is, and with everything selected by name.
func TestAnyJSONSurvives(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := anyJSON(4).Draw(t, "json")
		p := compose.Part{To: "a", Get: "/", Rename: map[string]string{"none": "else"}} // so that it is walked
		if rapid.Bool().Draw(t, "plain") {
			p.Rename = nil
		}
		h, err := compose.New("x", &compose.Config{Parts: parts{"p": p}}, services{"a/": text}.upstream, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := get(h, "/").Body.String(), `{"p":`+compact(t, text)+`}`; got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// TestSelectionAgainstAModel compares with what decoded values give.
func TestSelectionAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := anyJSON(4).Draw(t, "json")
		paths := rapid.SliceOfN(rapid.StringMatching(`[ab][a-c]?(\.[ab][a-c]?){0,2}`), 1, 4).Draw(t, "select")
		h, err := compose.New("x", &compose.Config{Parts: parts{"p": {To: "a", Get: "/", Select: paths}}}, services{"a/": text}.upstream, nil)
		if err != nil {
			t.Fatal(err)
		}
		var split [][]string
		for _, p := range paths {
			split = append(split, strings.Split(p, "."))
		}
		got, want := decode(t, get(h, "/").Body.String()), map[string]any{"p": picked(decode(t, text), split)}
		if diff := cmp.Diff(any(want), got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func decode(t *rapid.T, text string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// picked is what a selection keeps of a decoded value.
func picked(v any, paths [][]string) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = picked(v[i], paths)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			var below [][]string
			whole, some := false, false
			for _, p := range paths {
				if p[0] == name {
					some, whole, below = true, whole || len(p) == 1, append(below, p[1:])
				}
			}
			if whole {
				out[name] = member
			} else if some {
				out[name] = picked(member, below)
			}
		}
		return out
	}
	return nil
}

// TestEachItemGetsItsOwn joins into lists of every shape, and checks that each item
// has the answer to its own value.
func TestEachItemGetsItsOwn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		orders := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 5), 0, 4), 0, 4).Draw(t, "orders")
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		nested := rapid.Bool().Draw(t, "nested")
		var in, want []string
		for _, o := range orders {
			var a, b []string
			for i, id := range o {
				a = append(a, fmt.Sprintf(`{"id":%d}`, id))
				if i < limit {
					b = append(b, fmt.Sprintf(`{"id":%d,"p":[%d]}`, id, id))
				}
			}
			in = append(in, `{"x":1,"l":[`+strings.Join(a, ",")+"]}")
			want = append(want, `{"x":1,"l":[`+strings.Join(b, ",")+"]}")
		}
		list, wanted := "["+strings.Join(in, ",")+"]", "["+strings.Join(want, ",")+"]"
		if nested {
			list, wanted = "["+list+"]", "["+wanted+"]"
		}
		h, err := compose.New("x", &compose.Config{Parts: parts{
			"o": {To: "o", Get: "/", Limit: map[string]int{"l": limit}}, "p": {To: "p", Get: "/{item.id}", ForEach: "o.l"},
		}}, func(name string) http.RoundTripper {
			return tripper(func(r *http.Request) (*http.Response, error) {
				return services{"o/": list, "p" + r.URL.Path: "[" + r.URL.Path[1:] + "]"}.upstream(name).RoundTrip(r)
			})
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := get(h, "/").Body.String(); got != `{"o":`+wanted+`}` {
			t.Fatalf("got  %s\nwant %s", got, wanted)
		}
	})
}
