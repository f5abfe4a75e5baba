package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/cache"
)

// ordersDoc describes two operations.
const ordersDoc = `openapi: 3.1.0
info: {title: Orders, version: 1.4.0}
paths:
  /orders:
    post:
      operationId: place
      x-audience: public
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [sku, count]
              properties: {sku: {type: string}, count: {type: integer, minimum: 1}}
          application/octet-stream: {}
      responses: {"201": {description: done}}
  /orders/{number}:
    get:
      operationId: show
      tags: [reading]
      parameters: [{name: number, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: the order}}
webhooks:
  placed:
    post:
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Secret"}}}}
      responses: {"204": {description: heard}}
components: {schemas: {Secret: {type: object}}}
`

// loaded makes a gateway of files, of which banyan.yaml is the first.
func loaded(t *testing.T, files map[string]string) (*gateway.Gateway, string) {
	t.Helper()
	dir := folder(t, files)
	c, err := gateway.Load(filepath.Join(dir, "banyan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return opened(t, c), dir
}

// send sends a request with a body.
func send(h http.Handler, method, target, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// What does not keep the contract is refused before the upstream is asked; what
// does comes there byte for byte, under the path of the upstream.
func TestContract(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	url := behind(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, body)
	})
	g, _ := loaded(t, map[string]string{
		"banyan.yaml": `
upstreams: {orders: ` + url + `}
routes:
- {match: /shop/, to: orders, strip_prefix: /shop, openapi: {file: docs/orders.yaml}}
- {match: /v1/, to: orders, strip_prefix: /v1, add_prefix: /api, openapi: {file: docs/orders.yaml, base: /api, query: refuse, operations: pass, max_body: 40}}
- {match: /small/, to: orders, strip_prefix: /small, max_body: 30, openapi: {file: docs/orders.yaml}}
`,
		"docs/orders.yaml": ordersDoc,
	})
	const jsonKind = "application/json"
	good := `{"count":1.0,  "sku":"é"}` // every byte of it counts
	for _, test := range []struct {
		method, path, kind, body string
		status                   int
		want                     string
	}{
		{"POST", "/shop/orders", jsonKind, good, 200, "POST /orders " + good},
		{"POST", "/v1/orders", jsonKind, good, 200, "POST /api/orders " + good},
		{"GET", "/shop/orders/17?utm=x", "", "", 200, "GET /orders/17?utm=x "},
		{"GET", "/v1/anything", "", "", 200, "GET /api/anything "},
		{"POST", "/shop/orders", "application/octet-stream", "\x00\xff", 200, "POST /orders \x00\xff"},
		{"POST", "/shop/orders", jsonKind, `{"count":0,"sku":"a"}`, 400, "/count"},
		{"POST", "/shop/orders", jsonKind, `{"count":1,"sku":"a"}x`, 400, "body"},
		{"POST", "/shop/orders", "text/plain", "hello", 415, "application/json"},
		{"POST", "/shop/orders", "", "", 400, "missing"},
		{"GET", "/shop/orders/seventeen", "", "", 400, "number"},
		{"GET", "/v1/orders/17?utm=x", "", "", 400, "utm"},
		{"DELETE", "/shop/orders/17", "", "", 405, ""},
		{"GET", "/shop/nothing", "", "", 404, "not-found"},
		{"POST", "/v1/orders", jsonKind, `{"count":1,"sku":"` + strings.Repeat("x", 40) + `"}`, 413, "40 bytes"},
	} {
		before := calls.Load()
		w := send(g, test.method, "http://x"+test.path, test.kind, test.body)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %s %q: %d %s, want %d with %q", test.method, test.path, test.body, w.Code, w.Body, test.status, test.want)
		}
		if test.status == 200 {
			if w.Body.String() != test.want || calls.Load() != before+1 {
				t.Errorf("%s %s: the upstream got %q, want %q", test.method, test.path, w.Body, test.want)
			}
			continue
		}
		if calls.Load() != before {
			t.Errorf("%s %s %q: the upstream was asked", test.method, test.path, test.body)
		}
		var p struct{ Status int }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != test.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: no problem details: %s", test.method, test.path, w.Body)
		}
	}
	if w := send(g, "DELETE", "http://x/shop/orders/17", "", ""); w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow %q", w.Header().Get("Allow"))
	}
}

// unknownLength hides how long a body is.
type unknownLength struct{ io.Reader }

// A body that breaks the bound of the route, or that of the contract on its way,
// is the client's fault: 413, and nothing against the upstream.
func TestContractBounds(t *testing.T) {
	t.Parallel()
	url := behind(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	g, _ := loaded(t, map[string]string{
		"banyan.yaml": `
upstreams: {orders: ` + url + `}
routes:
- {match: /a/, to: orders, strip_prefix: /a, max_body: 30, openapi: {file: orders.yaml}}
- {match: /b/, to: orders, strip_prefix: /b, openapi: {file: orders.yaml, max_body: 100000}}
`,
		"orders.yaml": ordersDoc,
	})
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	for _, test := range []struct{ path, kind, body string }{
		{"/a/orders", "application/json", `{"sku":"` + strings.Repeat("x", 40) + `","count":1}`},
		{"/b/orders", "application/octet-stream", strings.Repeat("x", 300_000)},
	} {
		resp, err := http.Post(front.URL+test.path, test.kind, unknownLength{strings.NewReader(test.body)}) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", test.path, resp.StatusCode, text)
		}
	}
	if target := g.Status().Upstreams[0].Targets[0]; target.Failures != 0 {
		t.Errorf("the target is blamed: %+v", target)
	}
}

// On a connection of the front door, bodies come in pieces, break, or are left
// unread; the next request is never mistaken for a body, nor the other way round.
func TestContractOnTheWire(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	url := behind(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "[%s %s]", r.URL.Path, body)
	})
	g, _ := loaded(t, map[string]string{
		"banyan.yaml": "upstreams: {orders: " + url + "}\nroutes: [{match: /, to: orders, max_body: 64, openapi: {file: orders.yaml}}]\n",
		"orders.yaml": ordersDoc,
	})
	address := front(t, g)
	const post = "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: "
	const next = "GET /orders/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	for name, test := range map[string]struct {
		text  string
		want  []string
		calls int64
	}{
		"in pieces":   {post + "application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(`{"sku":"a",`) + chunk(`"count":2}`) + "0\r\n\r\n" + next, []string{"HTTP/1.1 200", `[/orders {"sku":"a","count":2}]`, "HTTP/1.1 200", "[/orders/1 ]"}, 2},
		"unread":      {post + "text/plain\r\nContent-Length: 44\r\n\r\nGET /orders/2 HTTP/1.1\r\nHost: x\r\nX-Y: abc\r\n\r\n" + next, []string{"HTTP/1.1 415"}, -1},
		"no contract": {post + "application/json\r\nContent-Length: 2\r\n\r\n{}" + next, []string{"HTTP/1.1 400", "HTTP/1.1 200", "[/orders/1 ]"}, 1},
		"too long":    {post + "application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(`{"sku":"`+strings.Repeat("a", 70)) + next, []string{"HTTP/1.1 413"}, 0},
		"broken":      {post + "application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + next, []string{"HTTP/1.1 400"}, 0},
	} {
		before := calls.Load()
		got := say(t, address, test.text)
		rest := got
		for _, want := range test.want {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s: no %q in %q", name, want, got)
			}
			rest = after
		}
		if n := calls.Load() - before; test.calls >= 0 && n != test.calls || strings.Contains(got, "[/orders/2") {
			t.Errorf("%s: %d calls, want %d: %q", name, n, test.calls, got)
		}
	}
	if target := g.Status().Upstreams[0].Targets[0]; target.Failures != 0 {
		t.Errorf("the target is blamed: %+v", target)
	}
}

// The contract stands behind authentication and in front of the changes and the
// cache: the document says what clients send.
func TestContractPlace(t *testing.T) {
	t.Parallel()
	url := behind(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write(body)
	})
	g, _ := loaded(t, map[string]string{
		"banyan.yaml": `
upstreams: {orders: ` + url + `}
credentials: {partners: {certificates: {names: [partner.example]}}}
routes:
- {match: /closed/, to: orders, strip_prefix: /closed, auth: {by: [partners]}, openapi: {file: orders.yaml}}
- {match: /open/, to: orders, strip_prefix: /open, cache: {ttl: 1m}, transform: {request: {json: {remove: [/count]}}}, openapi: {file: orders.yaml}}
`,
		"orders.yaml": ordersDoc,
	})
	if w := ask(g, "GET", "http://x/closed/orders/seventeen"); w.Code != http.StatusUnauthorized {
		t.Errorf("a closed API tells what it takes: %d %s", w.Code, w.Body)
	}
	if w := send(g, "POST", "http://x/open/orders", "application/json", `{"count":1,"sku":"a"}`); w.Code != 200 || w.Body.String() != `{"sku":"a"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for range 2 {
		if w := ask(g, "GET", "http://x/open/orders/17"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := ask(g, "GET", "http://x/open/orders/x"); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if calls := g.Status().Upstreams[0].Targets[0].Calls; calls != 2 {
		t.Errorf("%d calls, want 2: one of them from the cache", calls)
	}
	if n, err := g.Cache().Purge(cache.Purge{URLs: []string{"http://x/open/orders/17"}}); n != 1 || err != nil {
		t.Errorf("%d answers are stored under the URL of the client, %v", n, err)
	}
}

// What is wrong with a document, or with what is said about it, is found by check,
// with its line there.
func TestContractMistakes(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"banyan.yaml": `upstreams: {orders: http://127.0.0.1:1}
include: [more/*.yaml]
routes:
- match: /a
  to: orders
  openapi: {file: wrong.yaml}
- match: /b
  to: orders
  openapi:
    file: none.yaml
- match: /c
  to: orders
  openapi: {file: more/docs/orders.yaml, base: api/}
- match: /d
  to: orders
  openapi: {file: more/docs/orders.yaml, query: reject}
- match: /e
  to: orders
  openapi: {base: /x}
`,
		"wrong.yaml":            strings.Replace(ordersDoc, "sku: {type: string}, count: {type: integer, minimum: 1}", "sku: {$ref: '#/components/schemas/Sku'}, count: {$ref: '#/components/schemas/Count'}", 1),
		"more/a.yaml":           "routes:\n- {match: /f, to: orders, openapi: {file: more/docs/orders.yaml}}\n- {match: /g, to: orders, openapi: {file: orders.yaml}}\n",
		"more/docs/orders.yaml": ordersDoc,
	})
	_, err := gateway.Load(filepath.Join(dir, "banyan.yaml"))
	if err == nil {
		t.Fatal("no error")
	}
	var lines []string
	for line := range strings.Lines(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "")) {
		if strings.Contains(line, ".yaml:") && !strings.Contains(line, " | ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff([]string{
		`banyan.yaml:6:19: wrong.yaml:15: /paths/~1orders/post/requestBody/content/application~1json/schema/properties/count: $ref "#/components/schemas/Count" names nothing in this document`,
		`banyan.yaml:6:19: wrong.yaml:15: /paths/~1orders/post/requestBody/content/application~1json/schema/properties/sku: $ref "#/components/schemas/Sku" names nothing in this document`,
		"banyan.yaml:10:11: stat none.yaml: no such file or directory",
		`banyan.yaml:13:48: "api/" is not a path prefix; want something like /api`,
		`banyan.yaml:16:13: it is "reject"; refuse and pass are possible`,
		"banyan.yaml:19:13: it has no file",
		"more/a.yaml:3:43: stat orders.yaml: no such file or directory",
	}, lines); diff != "" {
		t.Error(diff)
	}
}

// The documents count as files of the configuration, so that a change of one is
// noticed, and a reload reads them again.
func TestContractReload(t *testing.T) {
	t.Parallel()
	url := behind(t, func(http.ResponseWriter, *http.Request) {})
	g, dir := loaded(t, map[string]string{
		"banyan.yaml": "upstreams: {orders: " + url + "}\nroutes: [{match: /, to: orders, openapi: {file: orders.yaml}}]\n",
		"orders.yaml": ordersDoc,
	})
	file := filepath.Join(dir, "banyan.yaml")
	c, err := gateway.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{file, filepath.Join(dir, "orders.yaml")}, c.Files()); diff != "" {
		t.Error(diff)
	}
	if w := ask(g, "GET", "http://x/parcels"); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
	changed := bytes.ReplaceAll([]byte(ordersDoc), []byte("/orders/{number}"), []byte("/parcels/{number}"))
	if err := os.WriteFile(filepath.Join(dir, "orders.yaml"), changed, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	if w := ask(g, "GET", "http://x/parcels/1"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := os.Remove(filepath.Join(dir, "orders.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := g.Reload(c); err == nil {
		t.Error("a document that is gone is no mistake")
	}
	if w := ask(g, "GET", "http://x/parcels/1"); w.Code != http.StatusOK {
		t.Errorf("the last document is lost: %d %s", w.Code, w.Body)
	}
}
