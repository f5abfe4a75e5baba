package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/openapi"
)

// service is an upstream that serves its document at /openapi.json and answers
// everything else.
type service struct {
	url      string
	server   *httptest.Server
	document atomic.Pointer[string]
	asked    atomic.Int64 // for its document
	status   atomic.Int64 // of other answers; 0: 200
}

func newService(t *testing.T, document string) *service {
	t.Helper()
	s := &service{}
	s.document.Store(&document)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/openapi.json" {
			s.asked.Add(1)
			_, _ = w.Write([]byte(*s.document.Load()))
			return
		}
		if n := s.status.Load(); n != 0 {
			w.WriteHeader(int(n))
		}
	}))
	t.Cleanup(s.server.Close)
	s.url = s.server.URL
	return s
}

// journal is a log that may be read while it is written.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.buf.String(), text)
}

// catalogued is a gateway with a catalogue.
type catalogued struct {
	*gateway.Gateway
	admin http.Handler
	log   *journal
	file  string
}

func newCatalogued(t *testing.T, files map[string]string) *catalogued {
	t.Helper()
	c := &catalogued{log: &journal{}, file: filepath.Join(folder(t, files), "banyan.yaml")}
	config, err := gateway.Load(c.file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Gateway, err = gateway.New(config, &gateway.Options{Log: slog.New(slog.NewTextHandler(c.log, nil))}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.admin = c.Admin(nil)
	return c
}

// until waits for something.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s never comes", what)
		}
	}
}

// settled waits until every document has come.
func (c *catalogued) settled(t *testing.T) {
	t.Helper()
	until(t, "a document", func() bool {
		for _, s := range c.Status().Catalogue {
			if s.Fetched == nil {
				return false
			}
		}
		return true
	})
	until(t, "the catalogue", func() bool { return len(c.APIUsage().Operations) > 0 })
}

// document asks the admin API for a document.
func (c *catalogued) document(t *testing.T, audience string) (*openapi.Document, string) {
	t.Helper()
	w := ask(c.admin, "GET", "http://localhost/v1/catalogue?audience="+audience)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	d, err := openapi.Parse("catalogue", w.Body.Bytes())
	if err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return d, w.Header().Get("Etag")
}

func operations(d *openapi.Document) (all []string) {
	for _, op := range d.Operations() {
		all = append(all, op.Method+" "+op.Path)
	}
	return all
}

// changes asks the admin API for what changed.
func (c *catalogued) changes(t *testing.T) []gateway.APIChange {
	t.Helper()
	var out struct{ Changes []gateway.APIChange }
	if err := json.Unmarshal(ask(c.admin, "GET", "http://localhost/v1/catalogue/changes").Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out.Changes
}

const usersDoc = `{"openapi":"3.0.3","info":{"title":"Users","version":"2"},"paths":{
"/api/users":{"get":{"x-audience":["public","readers"],"responses":{"200":{"description":"all","content":{"application/json":{"schema":{"type":"array","items":{"$ref":"#/components/schemas/User"}}}}}}}},
"/api/users/{id}":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"string"}}],
 "get":{"tags":["reading"],"responses":{"200":{"description":"one","content":{"application/json":{"schema":{"$ref":"#/components/schemas/User"}}}}}},
 "delete":{"deprecated":true,"responses":{"204":{"description":"gone"}}}},
"/internal/sweep":{"post":{"responses":{"204":{"description":"done"}}}}},
"components":{"schemas":{"User":{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"name":{"type":"string"}}}}}}`

const shopFile = `
compress: {}
catalogue:
  title: Shop
  version: "3"
  every: 3ms
  audiences:
    public: {path: /catalogue/public.json}
    readers: {tags: [reading]}
    everybody: {all: true}
upstreams:
  orders: {targets: ["ORDERS"], openapi: /openapi.json}
  users: {targets: ["USERS"], openapi: /openapi.json}
  legacy: LEGACY
routes:
- {match: /shop/, to: orders, strip_prefix: /shop}
- {match: /users/, to: users, add_prefix: /api}
- {match: "DELETE /users/{id}", to: legacy, name: removed}
- {match: /old/, to: legacy}
`

func shop(t *testing.T) (c *catalogued, orders, users *service) {
	t.Helper()
	orders, users = newService(t, ordersDoc), newService(t, usersDoc)
	legacy := newService(t, "")
	c = newCatalogued(t, map[string]string{"banyan.yaml": strings.NewReplacer("ORDERS", orders.url, "USERS", users.url, "LEGACY", legacy.url).Replace(shopFile)})
	c.settled(t)
	until(t, "both documents", func() bool { d, _ := c.document(t, ""); return len(d.Operations()) == 4 })
	return c, orders, users
}

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

// A document that changes is taken over, what breaks clients is said once, and one
// that cannot be had leaves the last one in its place.
func TestCatalogueChanges(t *testing.T) {
	t.Parallel()
	c, orders, users := shop(t)
	_, tag := c.document(t, "")
	ask(c, "GET", "http://x/shop/orders/1")
	words := strings.Replace(ordersDoc, "the order", "an order", 1)
	orders.document.Store(&words)
	until(t, "the other words", func() bool { _, now := c.document(t, ""); return now != tag })
	same := ordersDoc
	orders.document.Store(&same)
	until(t, "the first words", func() bool { _, now := c.document(t, ""); return now == tag })
	if all := c.changes(t); len(all) != 0 {
		t.Errorf("words are no change for clients: %+v", all)
	}
	changed := strings.Replace(ordersDoc, "required: [sku, count]", "required: [sku, count, currency]", 1)
	changed = strings.Replace(changed, "1.4.0", "2.0.0", 1)
	orders.document.Store(&changed)
	until(t, "the change", func() bool { return len(c.changes(t)) == 1 })
	got := c.changes(t)[0]
	if got.Service != "orders" || got.Before != "1.4.0" || got.After != "2.0.0" || got.Breaking != 1 || len(got.Changes) != 1 || !strings.Contains(got.Changes[0].String(), "currency") {
		t.Errorf("%+v", got)
	}
	until(t, "another entity tag", func() bool { _, now := c.document(t, ""); return now != tag })
	if op := c.APIUsage().Operations[1]; op.Path != "/orders/{number}" || op.Requests != 1 {
		t.Errorf("the numbers are lost: %+v", op)
	}
	first := ordersDoc
	for i, doc := range []*string{&first, &changed, &first} { // as while servers are replaced
		orders.document.Store(doc)
		until(t, "the next change", func() bool {
			n := 0
			for _, change := range c.changes(t) {
				n += change.Times
			}
			return n == i+2
		})
	}
	if all := c.changes(t); len(all) != 2 || all[0].Breaking+all[1].Breaking != 1 {
		t.Errorf("%+v", all)
	}
	if n := c.log.count("breaks clients"); n != 1 {
		t.Errorf("said %d times", n)
	}
	broken := `{"openapi": "3.1.0", "paths": 7}`
	users.document.Store(&broken)
	orders.server.CloseClientConnections()
	orders.server.Close()
	wrong := func(name string) string {
		for _, s := range c.Status().Catalogue {
			if s.Name == name {
				return s.Error
			}
		}
		return "there is no such source"
	}
	until(t, "the errors", func() bool { return wrong("orders") != "" && strings.Contains(wrong("users"), "/paths") })
	if d, _ := c.document(t, ""); len(d.Operations()) != 4 {
		t.Errorf("%v", operations(d))
	}
	seen := users.asked.Load()
	until(t, "the next question", func() bool { return users.asked.Load() >= seen+3 })
	if n := c.log.count("cannot be had"); n != 2 {
		t.Errorf("said %d times", n)
	}
	good := usersDoc
	users.document.Store(&good)
	until(t, "the document", func() bool { return wrong("users") == "" })
	if n := c.log.count("service=users"); n != 2 {
		t.Errorf("said %d times", n)
	}
}

// What is no document is not taken for one: an error with one as its body, and one
// that is too long. The next target is asked then. What is called until a document
// comes is counted apart.
func TestCatalogueSources(t *testing.T) {
	t.Parallel()
	plain := func(status int, text string) string {
		return behind(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RequestURI() == "/doc?x=1" {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(text))
			}
		})
	}
	failing, long, good := plain(http.StatusInternalServerError, usersDoc), plain(200, usersDoc+strings.Repeat(" ", 8<<20)), plain(200, usersDoc)
	c := newCatalogued(t, map[string]string{"banyan.yaml": `
catalogue: {}
upstreams:
  failing: {targets: ["` + failing + `"], openapi: "/doc?x=1"}
  "long of/name": {targets: ["` + long + `"], openapi: "/doc?x=1"}
  second: {targets: ["` + failing + `", "` + good + `"], openapi: "/doc?x=1"}
routes: [{match: /, to: failing}, {match: /api/, to: second}]
`})
	until(t, "an answer", func() bool {
		for _, s := range c.Status().Catalogue {
			if s.Error == "" && s.Fetched == nil {
				return false
			}
		}
		return true
	})
	want := map[string]string{"failing": "the answer has status 500", "long-of-name": "the document is longer than 8388608 bytes", "second": ""}
	for _, s := range c.Status().Catalogue {
		if text, ok := want[s.Name]; !ok || (text == "") != (s.Error == "") || !strings.Contains(s.Error, text) || (s.Fetched == nil) != (text != "") {
			t.Errorf("%+v", s)
		}
	}
	ask(c, "GET", "http://x/users")
	if u := c.APIUsage(); u.Pending != 1 || len(u.Undocumented) != 0 {
		t.Errorf("%+v", u)
	}
	for _, u := range c.Status().Upstreams {
		for _, target := range u.Targets {
			if target.Failures != 0 || target.Calls > 1 {
				t.Errorf("%+v", target) // the gateway's own questions are no calls
			}
		}
	}
}

// Of what changes so much is kept, and no more.
func TestCatalogueChangesBound(t *testing.T) {
	t.Parallel()
	c, orders, _ := shop(t)
	for i := range 102 {
		next := strings.Replace(ordersDoc, "1.4.0", fmt.Sprintf("2.%d.0", i), 1)
		for n := range 110 * (i % 2) {
			next = strings.Replace(next, "\npaths:", fmt.Sprintf("\npaths:\n  /x%d: {get: {responses: {'200': {description: ok}}}}", n), 1)
		}
		orders.document.Store(&next)
		until(t, "the change", func() bool { return c.Status().Catalogue[0].Version == fmt.Sprintf("2.%d.0", i) })
	}
	all := c.changes(t)
	if len(all) != 100 || all[99].After != "2.2.0" {
		t.Errorf("%d changes, the last %+v", len(all), all[len(all)-1])
	}
	if last := all[0]; len(last.Changes) != 100 || last.More != 10 || last.Breaking != 0 || all[1].Breaking != 110 {
		t.Errorf("%d changes and %d more, %d of them break", len(last.Changes), last.More, last.Breaking)
	}
}

// Requests are counted exactly, by operation, and beside that by pattern.
func TestCatalogueUsage(t *testing.T) {
	t.Parallel()
	c, _, users := shop(t)
	const each, workers = 200, 8
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := range each {
				ask(c, "GET", fmt.Sprintf("http://x/shop/orders/%d", i))
				ask(c, "GET", fmt.Sprintf("http://x/users/%d/avatars/%08x-aaaa-4bbb-8ccc-%012x", i, i, worker))
				ask(c, "HEAD", "http://x/users")
				ask(c, "GET", "http://x/old/report-v2")
			}
		})
	}
	group.Wait()
	users.status.Store(http.StatusNotFound)
	ask(c, "GET", "http://x/users/wp-login.php/x")
	ask(c, "OPTIONS", "http://x/users/wp-login.php/x", "Origin", "http://y", "Access-Control-Request-Method", "GET")
	ask(c, "GET", "http://x/catalogue/public.json")
	u := c.APIUsage()
	counts := map[string]int64{}
	for _, op := range u.Operations {
		counts[op.Method+" "+op.Path] = op.Requests
		if (op.First != nil) != (op.Requests > 0) || op.Requests > 0 && (!op.First.Before(*op.Last) || op.First.Before(u.Since)) {
			t.Errorf("%+v", op)
		}
	}
	if diff := cmp.Diff(map[string]int64{
		"GET /orders/{number}": each * workers, "GET /api/users": each * workers,
		"POST /orders": 0, "GET /api/users/{id}": 0, "DELETE /api/users/{id}": 0, "POST /internal/sweep": 0,
	}, counts); diff != "" {
		t.Error(diff)
	}
	others := map[string]int64{}
	for _, o := range u.Undocumented {
		others[o.Route+" → "+o.To+": "+o.Method+" "+o.Path] = o.Requests
	}
	if diff := cmp.Diff(map[string]int64{
		"/users/ → users: GET /users/{}/avatars/{}": each * workers,
		"/old/ → legacy: GET /old/report-v2":        each * workers,
	}, others); diff != "" {
		t.Error(diff)
	}
	if u.Refused != 1 || u.Unlisted != 0 || u.Pending != 0 {
		t.Errorf("refused %d, unlisted %d, pending %d", u.Refused, u.Unlisted, u.Pending)
	}
	var shown gateway.APIUsage
	if err := json.Unmarshal(ask(c.admin, "GET", "http://localhost/v1/catalogue/usage").Body.Bytes(), &shown); err != nil {
		t.Fatal(err)
	}
	for i := range shown.Sources { // they are fetched again and again
		shown.Sources[i].Fetched, u.Sources[i].Fetched = nil, nil
	}
	if diff := cmp.Diff(u, shown); diff != "" {
		t.Error(diff)
	}
}

// No request is lost when many end at once. They are refused here, so that nothing
// waits for a network.
func TestCatalogueUsageExact(t *testing.T) {
	t.Parallel()
	c := newCatalogued(t, map[string]string{
		"banyan.yaml": "catalogue: {}\nupstreams: {app: 'http://127.0.0.1:1'}\nroutes: [{match: /, to: app, openapi: {file: orders.yaml}}]\n",
		"orders.yaml": ordersDoc,
	})
	const each, workers = 5000, 8
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range each {
				ask(c, "GET", "http://x/orders/seventeen")
			}
		})
	}
	group.Wait()
	if op := c.APIUsage().Operations[1]; op.Requests != each*workers {
		t.Errorf("%+v, want %d", op, each*workers)
	}
}

// What is kept of undescribed requests is bounded, however they are called.
func TestCatalogueUsageBound(t *testing.T) {
	t.Parallel()
	app := newService(t, "")
	c := newCatalogued(t, map[string]string{"banyan.yaml": "catalogue: {}\nupstreams: {app: " + app.url + "}\nroutes: [{match: /, to: app}]\n"})
	word := func(i int) string {
		return string([]byte{byte('g' + i%20), byte('g' + i/20%20), byte('g' + i/400)})
	}
	for i := range 1100 {
		ask(c, "GET", "http://x/"+word(i))
	}
	ask(c, "GET", "http://x/"+word(0))
	ask(c, "BREW", "http://x/"+word(0))
	u := c.APIUsage()
	if len(u.Undocumented) != 1000 || u.Unlisted != 101 || u.Undocumented[0].Requests != 2 {
		t.Errorf("%d patterns, %d unlisted, the first %+v", len(u.Undocumented), u.Unlisted, u.Undocumented[0])
	}
}

// Ids in paths become {}, and nothing else does.
func TestCatalogueFolding(t *testing.T) {
	t.Parallel()
	app := newService(t, "")
	c := newCatalogued(t, map[string]string{"banyan.yaml": "catalogue: {}\nupstreams: {app: " + app.url + "}\nroutes: [{match: /, to: app}, {match: '/by/{name}/', to: app}]\n"})
	for path, want := range map[string]string{
		"/v1/orders/17":       "/v1/orders/{}",
		"/oauth2/token":       "/oauth2/token",
		"/u/3f2a9c1d":         "/u/{}",
		"/u/deadbeef":         "/u/deadbeef", // a word: no digit in it
		"/u/a1":               "/u/a1",
		"/u/order-1234/lines": "/u/{}/lines",
		"/u/jane@example.com": "/u/{}",
		"/u/J%C3%A4ne":        "/u/{}",
		"/by/jane/orders":     "/by/{}/orders",
		"/u/0198C5D2-77AA-7B3E-8C11-0123456789AB": "/u/{}",
		"/u/01ARZ3NDEKTSV4RRFFQ69G5FAV":           "/u/{}",
		"/u/" + strings.Repeat("x", 41):           "/u/{}",
		"/a/b/c/d/e/f/g/h/i/j/k/l/m/n":            "/a/b/c/d/e/f/g/h/i/j/k/l/…",
		"/":                                       "/",
	} {
		before := map[string]int64{}
		for _, o := range c.APIUsage().Undocumented {
			before[o.Path] = o.Requests
		}
		ask(c, "GET", "http://x"+path)
		for _, o := range c.APIUsage().Undocumented {
			if o.Requests != before[o.Path] && o.Path != want {
				t.Errorf("%s became %s, want %s", path, o.Path, want)
			}
		}
	}
	ask(c, "BREW", "http://x/pot")
	methods := ""
	for _, o := range c.APIUsage().Undocumented {
		if o.Path == "/pot" {
			methods += o.Method
		}
	}
	if methods != "other" {
		t.Errorf("methods %q", methods)
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
