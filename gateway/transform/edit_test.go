package transform_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/transform"
	"github.com/banyanhq/banyan/internal/gatetest"
)

func TestEdit(t *testing.T) {
	t.Parallel()
	type rules = transform.JSON
	list := func(s ...string) []string { return s }
	for _, c := range []struct {
		name     string
		rules    rules
		in, want string
	}{
		{"remove", rules{Remove: list("/b")}, `{"a":1,"b":2,"c":3}`, `{"a":1,"c":3}`},
		{"remove all", rules{Remove: list("/a")}, `{"a":1}`, `{}`},
		{"remove the first and the last", rules{Remove: list("/a", "/c")}, `{"a":1,"b":2,"c":3}`, `{"b":2}`},
		{"remove deep", rules{Remove: list("/a/b")}, `{"a":{"b":[1,{"x":2}],"c":1},"b":0}`, `{"a":{"c":1},"b":0}`},
		{"duplicates, RFC 8259 §4", rules{Remove: list("/a")}, `{"a":1,"b":2,"a":3}`, `{"b":2}`},
		{"an escaped name", rules{Remove: list("/password")}, `{"\u0070assword":"x","p\u0061ssword":1,"k":0}`, `{"k":0}`},
		{"another case", rules{Remove: list("/password")}, `{"PassWord":"x","k":0}`, `{"k":0}`},
		{"a case of Unicode, as encoding/json folds", rules{Remove: list("/password", "/key")}, `{"pa\u017fſword":"x","\u212aey":1,"k":0}`, `{"k":0}`},
		{"through arrays", rules{Remove: list("/items/price")}, `{"items":[{"price":1,"n":1},[{"price":2}],3,"price"]}`, `{"items":[{"n":1},[{}],3,"price"]}`},
		{"an array at the root", rules{Remove: list("/a")}, `[{"a":1},{"b":2}]`, `[{},{"b":2}]`},
		{"any name", rules{Remove: list("/*/secret")}, `{"a":{"secret":1},"secret":2,"b":{"c":{"secret":3}}}`, `{"a":{},"secret":2,"b":{"c":{"secret":3}}}`},
		{"any depth", rules{Remove: list("/**/secret")}, `{"a":{"secret":1},"secret":2,"b":{"c":[{"secret":3,"d":4}]}}`, `{"a":{},"b":{"c":[{"d":4}]}}`},
		{"any depth between", rules{Remove: list("/a/**/x")}, `{"x":1,"a":{"x":2,"b":{"x":3,"a":{"x":4}}}}`, `{"x":1,"a":{"b":{"a":{}}}}`},
		{"depth twice", rules{Remove: list("/**/a/**/b")}, `{"b":1,"a":{"b":2,"c":{"b":3}},"d":{"a":{"b":4}}}`, `{"b":1,"a":{"c":{}},"d":{"a":{}}}`},
		{"escapes of the pointer, RFC 6901 §3", rules{Remove: list("/a~1b", "/c~0d", "/e~01")}, `{"a/b":1,"c~d":2,"e~1":3,"k":4}`, `{"k":4}`},
		{"the empty name", rules{Remove: list("/")}, `{"":1,"a":2}`, `{"a":2}`},
		{"digits are names", rules{Remove: list("/0")}, `[{"0":1},{"1":2}]`, `[{},{"1":2}]`},
		{"exact numbers", rules{Remove: list("/x")}, `{"n":123456789012345678901234567890.10,"e":1E+400,"z":-0,"x":1}`, `{"n":123456789012345678901234567890.10,"e":1E+400,"z":-0}`},
		{"strings stay as they are", rules{Remove: list("/x")}, `{"s":"a\u00e9\/\"{[,:]}é<>&","x":"\"}"}`, `{"s":"a\u00e9\/\"{[,:]}é<>&"}`},
		{"white space goes", rules{Remove: list("/x")}, " {\n\t\"a\" : [ 1 , { } , [ ] ] ,\r\n \"x\" : { \"y\" : 1 } } ", `{"a":[1,{},[]]}`},
		{"scalars", rules{Remove: list("/x")}, ` "x" `, `"x"`},
		{"select", rules{Select: list("/a", "/c/d")}, `{"a":{"x":[1,2]},"b":1,"c":{"d":2,"e":3}}`, `{"a":{"x":[1,2]},"c":{"d":2}}`},
		{"select is exact", rules{Select: list("/a")}, `{"A":1}`, `{}`},
		{"select through arrays", rules{Select: list("/items/n")}, `{"items":[{"n":1,"m":2},"secret",[{"n":3}]],"m":1}`, `{"items":[{"n":1},[{"n":3}]]}`},
		{"select below a scalar", rules{Select: list("/a/b")}, `{"a":"secret"}`, `{}`},
		{"select any depth", rules{Select: list("/**/id")}, `{"id":1,"a":{"id":2,"x":3},"s":"t"}`, `{"id":1,"a":{"id":2}}`},
		{"remove within select", rules{Select: list("/a"), Remove: list("/a/b")}, `{"a":{"b":1,"c":2},"d":3}`, `{"a":{"c":2}}`},
		{"set", rules{Set: map[string]string{"/a": `"x"`, "/n/b": ` { "y" : 1.0 } `}}, `{"a":1,"n":{}}`, `{"a":"x","n":{"b":{"y":1.0}}}`},
		{"set where there is none", rules{Set: map[string]string{"/a": `1`, "/n/b": `2`}}, `{"n":3}`, `{"n":3,"a":1}`},
		{"set leaves one", rules{Set: map[string]string{"/role": `"user"`}}, `{"role":"admin","x":1,"Role":"admin","role":"root"}`, `{"role":"user","x":1}`},
		{"set in each element", rules{Set: map[string]string{"/a/b": `1`}}, `{"a":[{},{"b":2}]}`, `{"a":[{"b":1},{"b":1}]}`},
		{"set beside select", rules{Select: list("/a"), Set: map[string]string{"/b": `1`}}, `{"a":0,"b":0,"c":0}`, `{"a":0,"b":1}`},
		{"remove and set", rules{Remove: list("/a"), Set: map[string]string{"/a": `1`}}, `{"a":0,"b":0}`, `{"b":0,"a":1}`},
		{"rename", rules{Rename: map[string]string{"/a": "b", "/c/d": "<e>"}}, `{"a":1,"c":{"d":2}}`, `{"b":1,"c":{"<e>":2}}`},
		{"rename in place of another before", rules{Rename: map[string]string{"/a": "b"}}, `{"b":0,"x":1,"a":2}`, `{"x":1,"b":2}`},
		{"rename in place of another behind", rules{Rename: map[string]string{"/a": "b"}}, `{"a":2,"\u0062":0,"x":1}`, `{"b":2,"x":1}`},
		{"rename in place of many", rules{Rename: map[string]string{"/a": "b"}}, `{"b":0,"y":{"b":1},"b":2,"a":3,"b":4,"x":5,"b":6}`, `{"y":{"b":1},"b":3,"x":5}`},
		{"rename all in their own place", rules{Rename: map[string]string{"/a": "b"}}, `{"a":1,"b":2,"a":3}`, `{"b":1,"b":3}`},
		{"rename to what nobody has", rules{Rename: map[string]string{"/a": "b"}}, `{"b":0}`, `{"b":0}`},
		{"rename crosswise", rules{Rename: map[string]string{"/a": "b", "/b": "a"}}, `{"a":1,"b":2}`, `{"b":1,"a":2}`},
		{"rename, and go on in it", rules{Rename: map[string]string{"/a": "b", "/a/c": "d"}}, `{"a":{"c":1}}`, `{"b":{"d":1}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := get(jsonAnswers(t, c.rules, c.in))
			if w.Code != http.StatusOK || w.Body.String() != c.want {
				t.Errorf("%s\nbecame %d %s\nwant %s", c.in, w.Code, w.Body, c.want)
			}
			if got := w.Header().Get("Content-Length"); got != fmt.Sprint(len(c.want)) {
				t.Errorf("Content-Length %s, want %d", got, len(c.want))
			}
		})
	}
}

// What two servers could read differently is refused: RFC 8259 §8.
func TestNotJSON(t *testing.T) {
	t.Parallel()
	h := wrap(t, transform.Config{Request: transform.Request{JSON: &transform.JSON{Remove: []string{"/password"}}}}, gatetest.Page(http.StatusOK, "taken"))
	for name, body := range map[string]string{
		"cut": `{"a":`, "two values": `{} {}`, "a comma too much": `{"a":1,}`, "single quotes": `{'a':1}`, "a comment": `{/**/"a":1}`, "NaN": `{"a":NaN}`,
		"byte order mark": "\ufeff{}", "UTF-16": "{\x00}\x00", "UTF-8 in a name": "{\"pass\xffword\":1}", "UTF-8 in a string": "{\"a\":\"\xff\"}",
		"overlong": "{\"\xc1\xb0assword\":1}", "half a surrogate in a name": `{"pass\ud800word":1}`, "NUL in a name": `{"password\u0000":1}`, "raw control": "{\"a\":\"\n\"}",
		"form": "password=1", "100,000 levels": strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), "leading zero": `{"a":01}`, "white space only": "  ",
	} {
		if w := gatetest.Do(h, gatetest.Request(http.MethodPost, "/", body, "Content-Type: application/json")); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// Of a value that is no object or array nothing can be selected.
func TestSelectFromAScalar(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`"hunter2"`, "1", "null"} {
		if w := get(jsonAnswers(t, transform.JSON{Select: []string{"/a"}}, body)); w.Code != http.StatusBadGateway || strings.Contains(w.Body.String(), "hunter2") {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

// doc is a random JSON text, with names of few letters in random spellings,
// duplicates, and random white space.
func doc() *rapid.Generator[string] {
	name := rapid.Custom(func(t *rapid.T) string {
		base := rapid.SampledFrom([]string{"a", "b", "secret", "Secret", "SECRET", "secretary", "", "\u017fecret"}).Draw(t, "name")
		var b strings.Builder
		for _, r := range base {
			if rapid.Bool().Draw(t, "escaped") {
				fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		return `"` + b.String() + `"`
	})
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t "})
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			sp := func() string { return space.Draw(t, "space") }
			kind := rapid.IntRange(0, 4).Draw(t, "kind")
			if depth == 0 {
				kind = 4
			}
			var items []string
			switch kind {
			case 0, 1, 2:
				for range rapid.IntRange(0, 4).Draw(t, "members") {
					items = append(items, sp()+name.Draw(t, "key")+sp()+":"+sp()+value(depth-1).Draw(t, "value")+sp())
				}
				return "{" + sp() + strings.Join(items, ",") + "}"
			case 3:
				for range rapid.IntRange(0, 3).Draw(t, "elements") {
					items = append(items, sp()+value(depth-1).Draw(t, "element")+sp())
				}
				return "[" + sp() + strings.Join(items, ",") + "]"
			}
			return rapid.SampledFrom([]string{"1", "-0.10e5", "true", "null", `"secret"`, `"a\"}"`, `"\\"`}).Draw(t, "scalar")
		})
	}
	return value(4)
}

// names calls f with the path of every member.
func names(t *rapid.T, text string, f func(path []string)) {
	dec := json.NewDecoder(strings.NewReader(text))
	var value func(path []string)
	value = func(path []string) {
		token, err := dec.Token()
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		switch token {
		case json.Delim('{'):
			for dec.More() {
				key, _ := dec.Token()
				at := append(path[:len(path):len(path)], key.(string))
				f(at)
				value(at)
			}
			_, _ = dec.Token()
		case json.Delim('['):
			for dec.More() {
				value(path)
			}
			_, _ = dec.Token()
		}
	}
	value(nil)
}

func TestRemovedNeverAppears(t *testing.T) {
	t.Parallel()
	handler := func(j transform.JSON) func(string) string {
		var body string
		h := wrap(t, transform.Config{Response: transform.Response{JSON: &j}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}))
		return func(text string) string {
			body = text
			return get(h).Body.String()
		}
	}
	anywhere := handler(transform.JSON{Remove: []string{"/**/secret"}, Rename: map[string]string{"/a": "b", "/b/*": "a"}, Set: map[string]string{"/a/x": "1"}})
	below := handler(transform.JSON{Remove: []string{"/a/secret"}})
	only := handler(transform.JSON{Select: []string{"/a/b", "/secret"}})
	rapid.Check(t, func(t *rapid.T) {
		text := doc().Draw(t, "text")
		names(t, anywhere(text), func(path []string) {
			if strings.EqualFold(path[len(path)-1], "secret") {
				t.Fatalf("%s became %s", text, anywhere(text))
			}
		})
		names(t, below(text), func(path []string) {
			if len(path) == 2 && strings.EqualFold(path[0], "a") && strings.EqualFold(path[1], "secret") {
				t.Fatalf("%s became %s", text, below(text))
			}
		})
		if text[0] != '{' && text[0] != '[' {
			return // of a scalar nothing can be selected
		}
		names(t, only(text), func(path []string) {
			if path[0] != "a" && path[0] != "secret" || path[0] == "a" && len(path) > 1 && path[1] != "b" {
				t.Fatalf("%s became %s", text, only(text))
			}
		})
	})
}

// What no rule meets stays, byte for byte but for white space.
func TestRestStays(t *testing.T) {
	t.Parallel()
	p, err := transform.New(&transform.Config{Response: transform.Response{JSON: &transform.JSON{
		Remove: []string{"/**/nobody", "/x/*/y"}, Rename: map[string]string{"/nobody": "a"}, Set: map[string]string{"/nobody/a": "1"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := doc().Draw(t, "text")
		h := p.Handler(gatetest.Page(http.StatusOK, text, "Content-Type: application/json"))
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := get(h).Body.String(); got != want.String() {
			t.Fatalf("%s became %s", want.String(), got)
		}
	})
}

// Selecting everything, part by part, is selecting all.
func TestSelectKeepsWhatItNames(t *testing.T) {
	t.Parallel()
	all := []string{"/a", "/b", "/secret", "/Secret", "/SECRET", "/secretary", "/", "/\u017fecret"}
	p, err := transform.New(&transform.Config{Response: transform.Response{JSON: &transform.JSON{Select: all}}})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := "{\"a\":" + doc().Draw(t, "text") + "}"
		var want bytes.Buffer
		_ = json.Compact(&want, []byte(text))
		if got := get(p.Handler(gatetest.Page(http.StatusOK, text, "Content-Type: application/json"))).Body.String(); got != want.String() {
			t.Fatalf("%s became %s", want.String(), got)
		}
	})
}

func FuzzEdit(f *testing.F) {
	for _, s := range []string{`{"a":1,"\u0073ecret":{"b":[1,2]}}`, `[{"secret":1,"secret":2}]`, `{"a":{"SECRET":"\"}"}}`, `{"x":0,"a":1}`, `"x"`, `{`, `{"a\ud800":1}`} {
		f.Add(s)
	}
	p, err := transform.New(&transform.Config{Response: transform.Response{JSON: &transform.JSON{Remove: []string{"/**/secret"}, Rename: map[string]string{"/a": "x", "/*/b": "c"}, Set: map[string]string{"/y": "1"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w := get(p.Handler(gatetest.Page(http.StatusOK, text, "Content-Type: application/json")))
		if text == "" || w.Code == http.StatusBadGateway {
			return
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q became %q", text, w.Body)
		}
		var tree any
		_ = json.Unmarshal(w.Body.Bytes(), &tree)
		if found(tree) {
			t.Fatalf("%q became %q", text, w.Body)
		}
	})
}

func found(tree any) bool {
	switch v := tree.(type) {
	case map[string]any:
		for key, item := range v {
			if strings.EqualFold(key, "secret") || found(item) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, found)
	}
	return false
}

// Many members that have to go cost what they are long, not its square.
func TestManyCollisions(t *testing.T) {
	t.Parallel()
	body := "{" + strings.Repeat(`"b":0,"a":1,`, 400_000) + `"b":1}`
	h := jsonAnswers(t, transform.JSON{Rename: map[string]string{"/a": "b"}, MaxBytes: 8 << 20}, body)
	if got := get(h).Body.Len(); got != len(`"b":1,`)*400_000+1 {
		t.Errorf("%d bytes", got)
	}
}
