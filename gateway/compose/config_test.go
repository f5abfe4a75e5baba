package compose_test

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/compose"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	ok := compose.Part{To: "a", Get: "/a"}
	with := func(change func(p *compose.Part)) compose.Part { p := ok; change(&p); return p }
	gets := func(text string) parts { return parts{"p": {To: "a", Get: text}} }
	list := func(change func(p *compose.Part)) parts {
		p := compose.Part{To: "a", ForEach: "l.items", Get: "/{item.id}"}
		change(&p)
		return parts{"l": ok, "p": p}
	}
	for want, p := range map[string]parts{
		"parts: there are no parts":                              nil,
		`parts.p.to: the part has no "to"`:                       {"p": {Get: "/a"}},
		"parts.p.get: \"\" does not begin with /":                {"p": {To: "a"}},
		"parts.item: the name of a part":                         {"item": ok},
		"parts.a.b: the name of a part":                          {"a.b": ok},
		"parts.p.get: a { has no }":                              gets("/{path.x"),
		"parts.p.get: the path has //":                           gets("/a//b"),
		"parts.p.get: the path has . or ..":                      gets("/a/%2e%2E/b"),
		"parts.p.get: the path has . or .. ":                     gets("/a/.{query.v?.}"),
		"parts.p.get: \"/ü\" has characters":                     gets("/ü"),
		"parts.p.get: \"/a#b\" has characters":                   gets("/a#b"),
		"parts.p.get: \"/%2\" has characters":                    gets("/%2"),
		"parts.p.get: \"/}\" has characters":                     gets("/}"),
		"parts.p.get: \"/\\r\\n\" has characters":                gets("/\r\n"),
		"parts.p.get: a parameter has to be NAME=VALUE":          gets("/?{query.x}=1"),
		"parts.p.get: {path} has no name":                        gets("/{path}"),
		"parts.p.get: {user} is not a value":                     gets("/{user}"),
		"parts.p.get: {p q.x} is not a value":                    gets("/{p q.x}"),
		"parts.p.get: {item..x} has a field without":             gets("/{item..x}"),
		"parts.p.get: {item.x} is for parts with for_each":       gets("/{item.x}"),
		"parts.p.get: {query.x?} is a part of the path":          gets("/{query.x?}"),
		"parts.p.get: {header.Authorization} would put":          gets("/?a={header.Authorization}"),
		"parts.p.get: \"a b\" is not a header's name":            gets("/?a={header.a b}"),
		`parts.p.get: there is no part "usr"; did you mean "us`:  {"p": {To: "a", Get: "/{usr.x}"}, "user": ok},
		`parts.p.get: there is no part "other"; there are p`:     gets("/{other.y}"),
		"parts.p.get: the parts need each other: p needs p":      gets("/{p.x}"),
		"parts.a.get: the parts need each other: a needs b need": {"a": {To: "a", Get: "/{b.x?1}"}, "b": {To: "a", Get: "/{c.x}"}, "c": {To: "a", Get: "/{a.x}"}},
		"parts.p.get: p is required and needs o, which is not":   {"p": {To: "a", Get: "/{o.x}"}, "o": {To: "a", Get: "/", Optional: true}},
		"parts.p.for_each: p is required and needs o":            {"p": {To: "a", ForEach: "o", Get: "/{item}"}, "o": {To: "a", Get: "/", Default: "1"}},
		"parts.p.timeout: it is negative":                        {"p": with(func(p *compose.Part) { p.Timeout = -1 })},
		"parts.p.max_bytes: it is negative":                      {"p": with(func(p *compose.Part) { p.MaxBytes = -1 })},
		"parts.p.default: it is not JSON":                        {"p": with(func(p *compose.Part) { p.Default = "{a: 1}" })},
		"parts.p.default: it has an object with a field twice":   {"p": with(func(p *compose.Part) { p.Default = `{"a":1,"a":2}` })},
		"parts.p.headers: Content-Type is not sent":              {"p": with(func(p *compose.Part) { p.Headers = []string{"content-type"} })},
		"parts.p.headers: \"a:b\" is not a header's name":        {"p": with(func(p *compose.Part) { p.Headers = []string{"a:b"} })},
		"parts.p.select: \"a..b\" is not a path":                 {"p": with(func(p *compose.Part) { p.Select = []string{"a..b"} })},
		"parts.p.rename: \"b\" is not among the selected":        {"p": with(func(p *compose.Part) { p.Select, p.Rename = []string{"a"}, map[string]string{"b": "c"} })},
		"parts.p.rename: \"a\": \"\" is not a path":              {"p": with(func(p *compose.Part) { p.Rename = map[string]string{"a": ""} })},
		"parts.p.rename: two fields get the name \"c\"":          {"p": with(func(p *compose.Part) { p.Rename = map[string]string{"a": "c", "b": "c"} })},
		"parts.p.rename: \"c\" is selected, and another":         {"p": with(func(p *compose.Part) { p.Select, p.Rename = []string{"a", "c"}, map[string]string{"a": "c"} })},
		"parts.p.limit: \"b\" is not among the selected":         {"p": with(func(p *compose.Part) { p.Select, p.Limit = []string{"a"}, map[string]int{"b": 1} })},
		"parts.p.limit: \".\": 0 is no limit":                    {"p": with(func(p *compose.Part) { p.Limit = map[string]int{".": 0} })},
		"parts.p.as: to put its fields into the answer":          {"p": with(func(p *compose.Part) { p.As = "." })},
		"parts.q.as: p and q both give the answer the key \"q\"": {"q": ok, "p": with(func(p *compose.Part) { p.As, p.Select, p.Rename = ".", []string{"a"}, map[string]string{"a": "q"} })},
		"parts.p.default: it has to be an object":                {"p": with(func(p *compose.Part) { p.As, p.Select, p.Default = ".", []string{"a"}, "[]" })},
		"parts.p.default: the field \"b\" is not among":          {"p": with(func(p *compose.Part) { p.As, p.Select, p.Default = ".", []string{"a"}, `{"b":1}` })},
		"parts.p.get: the call is the same for each item":        list(func(p *compose.Part) { p.Get = "/{path.x}" }),
		"parts.p.for_each: \"l..x\" is not the path":             list(func(p *compose.Part) { p.ForEach = "l..x" }),
		`parts.p.for_each: there is no part "ll"; did you mean`:  list(func(p *compose.Part) { p.ForEach = "ll.x" }),
		"parts.p.for_each: p has a for_each itself":              list(func(p *compose.Part) { p.ForEach = "p.x" }),
		"parts.p.for_each: l is not in the answer":               {"l": with(func(p *compose.Part) { p.As = "-" }), "p": {To: "a", ForEach: "l", Get: "/{item}"}},
		"parts.p.for_each: \"items\" is not among the selected":  {"l": with(func(p *compose.Part) { p.Select = []string{"x"} }), "p": {To: "a", ForEach: "l.items", Get: "/{item}"}},
		"parts.p.as: the items have something of the name":       {"l": with(func(p *compose.Part) { p.Select = []string{"items.p"} }), "p": {To: "a", ForEach: "l.items", Get: "/{item}"}},
		"parts.q.as: p and q cannot both be put":                 {"l": ok, "p": {To: "a", ForEach: "l", Get: "/{item}"}, "q": {To: "a", ForEach: "l", Get: "/{item}", As: "."}},
		"parts.q.get: p is asked for once for each item":         {"l": ok, "p": {To: "a", ForEach: "l", Get: "/{item}"}, "q": {To: "a", Get: "/{p.x}"}},
		"parts.p.batch: it is for parts with for_each":           {"p": with(func(p *compose.Part) { p.Batch = &compose.Batch{Key: "id"} })},
		"parts.p.batch.key: it is the field":                     list(func(p *compose.Part) { p.Get, p.Batch = "/?i={item.id}", &compose.Batch{} }),
		"parts.p.batch.list: \".\" is not a path":                list(func(p *compose.Part) { p.Get, p.Batch = "/?i={item.id}", &compose.Batch{Key: "id", List: "."} }),
		"parts.p.batch.max: it is negative":                      list(func(p *compose.Part) { p.Get, p.Batch = "/?i={item.id}", &compose.Batch{Key: "id", Max: -1} }),
		"parts.p.get: for a batch it has to have one":            list(func(p *compose.Part) { p.Get, p.Batch = "/?i={item.id}-{item.x}", &compose.Batch{Key: "id"} }),
		"parts.p.get: for a batch it has to have one value":      list(func(p *compose.Part) { p.Get, p.Batch = "/?i={item.id?}", &compose.Batch{Key: "id"} }),
	} {
		c := compose.Config{Parts: p}
		var texts []string
		for _, m := range c.Check() {
			texts = append(texts, m.Path+": "+m.Text)
		}
		if got := strings.Join(texts, "\n"); !strings.Contains(got, want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestCheckReportsEverything(t *testing.T) {
	t.Parallel()
	c := compose.Config{Timeout: -1, Parallel: -1, MaxCalls: -1, MaxBytes: -1, Parts: parts{"a": {Get: "x"}, "b": {Get: "/{z.x}", As: "."}}}
	var paths []string
	for _, m := range c.Check() {
		paths = append(paths, m.Path)
	}
	want := []string{"timeout", "parallel", "max_calls", "max_bytes", "parts.a.to", "parts.a.get", "parts.b.to", "parts.b.get"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Error(diff)
	}
	_, err := compose.New("home", &c, services{}.upstream, nil)
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), "parts.b.get") || !strings.HasPrefix(err.Error(), "compose: route home: ") {
		t.Error(err)
	}
	_, err = compose.New("home", &compose.Config{Parts: parts{"p": {To: "none", Get: "/"}}}, func(string) http.RoundTripper { return nil }, nil)
	if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), `there is no upstream "none"`) {
		t.Error(err)
	}
}

const file = `
timeout: 2s
parallel: 4
max_calls: 20
max_bytes: 100000
parts:
  user: {to: users, get: "/users/{path.user}/{path.user}/{path.a}", select: [name, address.city], rename: {address.city: town}, as: ., default: '{"name": null}', headers: []}
  cart: {to: carts, get: "/c", empty: true, optional: true, limit: {items: 3}, max_bytes: 5, timeout: 1s, headers: [Authorization]}
  product: {to: p, for_each: cart.items, get: "/?ids={item.id}", optional: true, batch: {max: 7, separator: "&", list: a.b, key: id}}
`

func TestFile(t *testing.T) {
	t.Parallel()
	var c compose.Config
	if err := yaml.NewDecoder(strings.NewReader(file), yaml.Strict()).Decode(&c); err != nil {
		t.Fatal(err)
	}
	want := compose.Config{Timeout: 2 * time.Second, Parallel: 4, MaxCalls: 20, MaxBytes: 100000, Parts: parts{
		"user":    {To: "users", Get: "/users/{path.user}/{path.user}/{path.a}", Select: []string{"name", "address.city"}, Rename: map[string]string{"address.city": "town"}, As: ".", Default: `{"name": null}`, Headers: []string{}},
		"cart":    {To: "carts", Get: "/c", Empty: true, Optional: true, Limit: map[string]int{"items": 3}, MaxBytes: 5, Timeout: time.Second, Headers: []string{"Authorization"}},
		"product": {To: "p", ForEach: "cart.items", Get: "/?ids={item.id}", Optional: true, Batch: &compose.Batch{Max: 7, Separator: "&", List: "a.b", Key: "id"}},
	}}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if found := c.Check(); len(found) != 0 {
		t.Error(found)
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error("Check changes its Config:", diff)
	}
	if diff := cmp.Diff([]string{"a", "user"}, c.Wildcards()); diff != "" {
		t.Error(diff)
	}
}

// TestDocumentation reads the example of the package's documentation.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(doc)) {
		if example, ok := strings.CutPrefix(line, "//\t"); ok {
			text.WriteString(example)
		}
	}
	var c struct {
		Compose compose.Config `yaml:"compose"`
	}
	if err := yaml.NewDecoder(strings.NewReader(text.String()), yaml.Strict()).Decode(&c); err != nil {
		t.Fatal(err)
	}
	if found := c.Compose.Check(); len(found) > 0 || len(c.Compose.Parts) != 4 {
		t.Error(found, c.Compose.Parts)
	}
}
