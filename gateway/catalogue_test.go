package gateway_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
)

// The catalogue has each operation where clients reach it, is a right document
// again, and has a part for each audience.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	c, _, _ := shop(t)
	whole, tag := c.document(t, "")
	if diff := cmp.Diff([]string{"POST /shop/orders", "GET /shop/orders/{number}", "GET /users", "GET /users/{id}"}, operations(whole)); diff != "" {
		t.Error(diff)
	}
	if whole.Title() != "Shop" || !strings.HasPrefix(whole.Version(), "3+") || len(whole.Version()) != len("3+")+12 {
		t.Errorf("%q %q", whole.Title(), whole.Version())
	}
	for audience, want := range map[string][]string{
		"public":    {"POST /shop/orders", "GET /users"},
		"readers":   {"GET /shop/orders/{number}", "GET /users/{id}"},
		"everybody": operations(whole),
	} {
		d, other := c.document(t, audience)
		if diff := cmp.Diff(want, operations(d)); diff != "" {
			t.Errorf("%s: %s", audience, diff)
		}
		if (other == tag) != (audience == "everybody") {
			t.Errorf("%s: entity tag %s, that of the whole %s", audience, other, tag)
		}
	}
	if w := ask(c.admin, "GET", "http://localhost/v1/catalogue?audience=nobody"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	w := ask(c, "GET", "http://x/catalogue/public.json")
	if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=0" || w.Header().Get("Etag") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w.Header().Get("Vary") != "Accept-Encoding" { // short as it is, nothing is compressed
		t.Errorf("it has not what all routes have: %v", w.Header())
	}
	if again := ask(c, "GET", "http://x/catalogue/public.json", "If-None-Match", w.Header().Get("Etag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
		t.Errorf("%d", again.Code)
	}
	everything := ask(c.admin, "GET", "http://localhost/v1/catalogue").Body.String()
	if public := w.Body.String(); !strings.Contains(everything, `"orders.placed"`) || !strings.Contains(everything, "orders.Secret") || strings.Contains(public, "placed") || strings.Contains(public, "/api/") || strings.Contains(public, "Secret") {
		t.Errorf("webhooks are for nobody in particular: %s", public)
	}
	notes := map[string]string{}
	for _, op := range c.APIUsage().Operations {
		if op.Note != "" || len(op.Public) == 0 {
			notes[op.Service+" "+op.Method+" "+op.Path] = op.Note
		}
	}
	if diff := cmp.Diff(map[string]string{
		"users POST /internal/sweep":   "no route reaches it",
		"users DELETE /api/users/{id}": "no route reaches it",
	}, notes); diff != "" {
		t.Error(diff)
	}
}

// Two services cannot have the same operation for clients; what is under another
// host, or does not fit, is said, and keeps nobody else out.
func TestCatalogueConflicts(t *testing.T) {
	t.Parallel()
	doc := func(paths string) string {
		return "openapi: 3.1.0\ninfo: {title: T, version: '1'}\npaths:\n" + paths
	}
	const ok = "responses: {'200': {description: ok}}"
	c := newCatalogued(t, map[string]string{
		"banyan.yaml": `
catalogue: {audiences: {mine: {tags: [none]}}}
upstreams:
  a: {targets: ["http://127.0.0.1:1"], openapi: "file:a.yaml"}
  0b: {targets: ["http://127.0.0.1:1"], openapi: "file:b.yaml"}
  c: {targets: ["http://127.0.0.1:1"], openapi: "file:c.yaml"}
  e: {targets: ["http://127.0.0.1:1"], openapi: "file:e.yaml"}
  d: {targets: ["http://127.0.0.1:1"], openapi: "file:d.yaml"}
routes:
- {match: d.example/, to: d, add_prefix: /api}
- {match: /, to: a}
- {match: b.example/, to: 0b}
- {match: /c/, to: c, strip_prefix: /c, name: stripped}
- {match: /twice/c/, to: c, strip_prefix: /twice}
- {match: POST /shared, to: c, headers: {X-New: "*"}, name: new}
- {match: POST /free, to: c, headers: {X-New: "a*b"}, query: {q: "1"}}
- {match: e1.example/one, to: e}
- {match: e2.example/two, to: e}
- {match: "e3.example/x{y}", to: e}
- {match: e3.example/three, to: e, query: {v: "1"}}
- {match: e3.example/four, to: e, query: {v: "2"}}
`,
		"a.yaml": doc("  /health: {get: {" + ok + "}}\n  /shared: {summary: of a, get: {" + ok + "}}\n"),
		"b.yaml": doc("  /health: {get: {" + ok + "}}\n  /only: {get: {" + ok + "}}\n"),
		"e.yaml": doc("  /one: {get: {" + ok + "}}\n  /two: {get: {" + ok + "}}\n  /three: {get: {" + ok + "}}\n  /four: {get: {" + ok + "}}\n  '/x{y}': {get: {parameters: [{name: y, in: path, required: true, schema: {type: string}}], " + ok + "}}\n"),
		"d.yaml": doc("  /api/in: {get: {" + ok + "}}\n  /apiary: {get: {" + ok + "}}\n"),
		"c.yaml": doc("  /x: {get: {" + ok + "}}\n  /c/y: {get: {" + ok + "}}\n  /shared: {post: {" + ok + "}}\n  /free: {post: {" + ok + "}}\n"),
	})
	whole, _ := c.document(t, "")
	got := map[string]string{}
	for _, op := range c.APIUsage().Operations {
		got[op.Service+" "+op.Method+" "+op.Path] = strings.Join(op.Public, " ") + "|" + op.Note
	}
	if diff := cmp.Diff(map[string]string{
		"a GET /health":  "/health|",
		"a GET /shared":  "/shared|",
		"0b GET /health": "|the path /health is that of another operation, for another host or under other conditions",
		"0b GET /only":   "/only|",
		"e GET /one":     "/one|",
		"e GET /two":     "/two|",
		"e GET /three":   "/three|",
		"e GET /four":    "/four|",
		"e GET /x{y}":    "|no route reaches it",
		"d GET /api/in":  "/in|",
		"d GET /apiary":  "|no route reaches it",
		"c GET /x":       "/c/x|",
		"c GET /c/y":     "/c/c/y /twice/c/y|",
		"c POST /free":   "/c/free /free|",
		"c POST /shared": "/c/shared /shared|",
	}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"GET /c/c/y", "POST /c/free", "POST /c/shared", "GET /c/x", "GET /four", "POST /free", "GET /health", "GET /in", "GET /one", "GET /only", "GET /shared", "GET /three", "GET /twice/c/y", "GET /two"}, operations(whole)); diff != "" {
		t.Error(diff) // POST /shared would get a summary that is not its own
	}
	if mine, _ := c.document(t, "mine"); len(mine.Operations()) != 0 {
		t.Errorf("%v", operations(mine))
	}
	if n := c.log.count("is not in the catalogue,"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// A route may have a document of its own, also one whose answers are composed.
func TestCatalogueOfRoutes(t *testing.T) {
	t.Parallel()
	users := newService(t, usersDoc)
	answer := users.url
	c := newCatalogued(t, map[string]string{
		"banyan.yaml": `
catalogue: {every: 5ms}
upstreams: {users: {targets: ["` + answer + `"], openapi: /openapi.json}, app: "` + answer + `"}
routes:
- match: GET /home/{user}
  openapi: {file: home.yaml}
  compose: {parts: {user: {to: users, get: "/api/users/{path.user}", optional: true}}}
- {match: /app/, to: app, strip_prefix: /app, add_prefix: /v1, openapi: {file: orders.yaml, base: /v1/shop}}
- {match: /too/, to: app, strip_prefix: /too, add_prefix: /v1, openapi: {file: orders.yaml, base: /v1/shop}}
`,
		"home.yaml":   "openapi: 3.1.0\ninfo: {title: Home, version: '1'}\npaths:\n  /home/{user}:\n    get: {parameters: [{name: user, in: path, required: true, schema: {type: string}}], responses: {'200': {description: ok}}}\n",
		"orders.yaml": ordersDoc,
	})
	c.settled(t)
	until(t, "the users", func() bool { return len(c.APIUsage().Operations) == 7 })
	whole, _ := c.document(t, "")
	if diff := cmp.Diff([]string{"POST /app/shop/orders", "GET /app/shop/orders/{number}", "GET /home/{user}", "POST /too/shop/orders", "GET /too/shop/orders/{number}"}, operations(whole)); diff != "" {
		t.Error(diff)
	}
	for range 3 {
		ask(c, "GET", "http://x/home/17")
	}
	if w := ask(c, "GET", "http://x/app/shop/orders/17"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, op := range c.APIUsage().Operations {
		want := map[string]int64{"home GET /home/{user}": 3, "users GET /api/users/{id}": 3, "orders GET /orders/{number}": 1}[op.Service+" "+op.Method+" "+op.Path]
		if op.Requests != want {
			t.Errorf("%+v, want %d requests", op, want)
		}
	}
}

// Numbers and documents stay over a reload; without a catalogue there is none.
func TestCatalogueReload(t *testing.T) {
	t.Parallel()
	c, orders, _ := shop(t)
	ask(c, "GET", "http://x/shop/orders/1")
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	config, err := gateway.Parse("f", bytes.Replace(text, []byte("match: /shop/, to: orders, strip_prefix: /shop"), []byte("match: /store/, to: orders, strip_prefix: /store, name: /shop/"), 1))
	if err != nil {
		t.Fatal(err)
	}
	orders.server.Close()
	if err := c.Reload(config); err != nil {
		t.Fatal(err)
	}
	if d, _ := c.document(t, ""); operations(d)[0] != "POST /store/orders" {
		t.Errorf("%v", operations(d))
	}
	for _, op := range c.APIUsage().Operations {
		if op.Path == "/orders/{number}" && op.Requests != 1 {
			t.Errorf("%+v", op)
		}
	}
	without, err := gateway.Parse("f", []byte("upstreams: {a: http://127.0.0.1:1}\nroutes: [{match: /, to: a}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reload(without); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "/changes", "/usage"} {
		if w := ask(c.admin, "GET", "http://localhost/v1/catalogue"+path); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "no catalogue") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if len(c.Status().Catalogue) != 0 {
		t.Errorf("%+v", c.Status().Catalogue)
	}
}

func TestCatalogueMistakes(t *testing.T) {
	t.Parallel()
	_, err := gateway.Parse("f", []byte(strings.TrimLeft(`
catalogue:
  every: -1s
  audiences:
    public: {path: /orders}
    x y: {}
    deep: {path: "/{x}"}
    word: {path: docs}
upstreams:
  a: {targets: ["http://127.0.0.1:1"], openapi: openapi.json}
  b: {targets: ["http://127.0.0.1:1"], openapi: "file:none.yaml"}
routes:
- {match: GET /orders, to: a}
`, "\n")))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"f:2:10: it is negative",
		`f:4:20: match "GET /orders" is in conflict with "GET /orders" of route "GET /orders"`,
		"the name of an audience has letters",
		`f:6:18: "/{x}" is not a path; want something like /catalogue/deep.json`,
		`f:7:18: "docs" is not a path`,
		`f:9:49: "openapi.json" is neither a path of the upstream, such as /openapi.json, nor file:NAME`,
		"f:10:49: stat none.yaml: no such file or directory",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	_, err = gateway.Parse("f", []byte("upstreams:\n  a: {targets: [\"http://127.0.0.1:1\"], openapi: /x}\nroutes: [{match: /, to: a}]\n"))
	if err == nil || !strings.Contains(err.Error(), `f:2:49: the document is for the catalogue, and there is none; "catalogue: {}" makes one`) {
		t.Errorf("%v", err)
	}
}
