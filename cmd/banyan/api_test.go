package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// documents writes OpenAPI documents and returns their folder.
func documents(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const apiBefore = `openapi: 3.1.0
info: {title: Orders, version: 1.0.0}
paths:
  /orders/{number}:
    get:
      parameters: [{name: number, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: the order}}
    delete:
      parameters: [{name: number, in: path, required: true, schema: {type: integer}}]
      responses: {"204": {description: gone}}
`

func TestAPIDiff(t *testing.T) {
	t.Parallel()
	dir := documents(t, map[string]string{
		"before.yaml": apiBefore,
		"after.yaml":  strings.Replace(strings.Replace(apiBefore, "1.0.0", "2.0.0", 1), "    delete:", "    put:", 1),
		"more.yaml":   strings.Replace(apiBefore, "    delete:", "    put:\n      parameters: [{name: number, in: path, required: true, schema: {type: integer}}]\n      responses: {\"204\": {description: put}}\n    delete:", 1),
		"words.yaml":  strings.Replace(apiBefore, "the order", "an order", 1),
		"wrong.yaml":  "openapi: 3.1.0\npaths: 7\n",
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	for _, test := range []struct {
		args   []string
		code   int
		golden string
		stderr string
	}{
		{[]string{file("before.yaml"), file("after.yaml")}, exitFailed, "api_diff.txt", "banyan: 1 of 2 changes break clients\n"},
		{[]string{"--json", file("before.yaml"), file("after.yaml")}, exitFailed, "api_diff.json", "banyan: 1 of 2 changes break clients\n"},
		{[]string{file("before.yaml"), file("more.yaml")}, exitDone, "api_diff_more.txt", ""},
		{[]string{file("before.yaml"), file("words.yaml")}, exitDone, "api_diff_none.txt", ""},
		{[]string{"--json", file("before.yaml"), file("words.yaml")}, exitDone, "api_diff_none.json", ""},
	} {
		got := command(t, nil, append([]string{"api", "diff"}, test.args...)...)
		if got.code != test.code || got.stderr != test.stderr {
			t.Errorf("%v: %+v", test.args, got)
		}
		golden(t, test.golden, got.stdout)
	}
	for _, test := range []struct {
		args   []string
		stderr string
	}{
		{[]string{file("before.yaml")}, "AFTER is missing"},
		{[]string{file("before.yaml"), file("none.yaml")}, "no such file"},
		{[]string{file("wrong.yaml"), file("before.yaml")}, "wrong.yaml:2"},
		{[]string{file("before.yaml"), file("before.yaml"), "x"}, `unexpected argument "x"`},
	} {
		if got := command(t, nil, append([]string{"api", "diff"}, test.args...)...); got.code != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%v: %+v", test.args, got)
		}
	}
}

// usageJSON is an answer of the admin API.
const usageJSON = `{"since":"2026-01-02T03:00:00Z",
"sources":[{"name":"orders","from":"/openapi.json","operations":3,"error":"ask http://127.0.0.1:1/openapi.json: connection refused"},{"name":"users","from":"file:users.yaml","operations":1}],
"operations":[
{"service":"orders","method":"GET","path":"/orders/{number}","public":["/shop/orders/{number}"],"requests":12345,"first":"2026-01-02T03:04:05.6Z","last":"2026-01-03T00:00:00.123456789Z"},
{"service":"orders","method":"DELETE","path":"/orders/{number}","public":["/shop/orders/{number}","/orders/{number}"],"deprecated":true,"requests":0},
{"service":"orders","method":"POST","path":"/sweep","public":[],"note":"no route reaches it","requests":0},
{"service":"users","method":"GET","path":"/users","public":["/users"],"requests":1,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:05Z"}],
"undocumented":[{"route":"/old/","to":"legacy","method":"GET","path":"/old/{}/report\u001b[31m","requests":7,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:06Z"}],
"unlisted":3,"refused":1,"pending":0}`

func TestAPIList(t *testing.T) {
	t.Parallel()
	dir := documents(t, map[string]string{"token": "a token of the admin API\n"})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/catalogue/usage":
			w.WriteHeader(http.StatusNotFound)
		case r.Header.Get("Authorization") != "Bearer a token of the admin API":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			_, _ = fmt.Fprint(w, usageJSON)
		}
	}))
	t.Cleanup(s.Close)
	address, token := strings.TrimPrefix(s.URL, "http://"), filepath.Join(dir, "token")
	const said = "orders: /openapi.json: ask http://127.0.0.1:1/openapi.json: connection refused\n3 undocumented requests are not listed: there are too many different paths\n"
	for file, args := range map[string][]string{
		"api_list.txt":              nil,
		"api_list_unused.txt":       {"--unused"},
		"api_list_undocumented.txt": {"--undocumented"},
		"api_list_unused.json":      {"--unused", "--json"},
		"api_list.json":             {"--json"},
	} {
		got := command(t, nil, append([]string{"api", "list", "--admin", address, "--token", token}, args...)...)
		want := said
		if strings.HasSuffix(file, ".json") {
			want = ""
		}
		if got.code != exitDone || got.stderr != want {
			t.Errorf("%v: %+v", args, got)
		}
		golden(t, file, got.stdout)
	}
	for _, test := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--admin", address}, exitFailed, "give its file with --token"},
		{[]string{"--admin", address, "--token", token + "x"}, exitFailed, "--token: open"},
		{[]string{"--admin", freePort(t)}, exitFailed, "is it running"},
		{[]string{"--admin", "a b"}, exitUsage, "--admin is host:port"},
		{[]string{"--unused", "--undocumented"}, exitUsage, "choose one"},
		{[]string{"x"}, exitUsage, "unexpected argument"},
	} {
		if got := command(t, nil, append([]string{"api", "list"}, test.args...)...); got.code != test.code || got.stdout != "" || !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%v: %+v", test.args, got)
		}
	}
}

// The command understands what a gateway says, with a catalogue and without.
func TestAPIListOfGateway(t *testing.T) {
	t.Parallel()
	dir := documents(t, map[string]string{
		"orders.yaml":  apiBefore,
		"banyan.yaml":  "catalogue: {}\nupstreams: {orders: {targets: ['http://127.0.0.1:1'], openapi: 'file:orders.yaml'}}\nroutes: [{match: /, to: orders}]\n",
		"without.yaml": "upstreams: {orders: 'http://127.0.0.1:1'}\nroutes: [{match: /, to: orders}]\n",
	})
	admin := func(name string) (*gateway.Gateway, string) {
		c, err := gateway.Load(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		g, err := gateway.New(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(g.Admin(nil))
		t.Cleanup(func() {
			s.Close()
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		})
		return g, strings.TrimPrefix(s.URL, "http://")
	}
	g, address := admin("banyan.yaml")
	g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://x/orders/17", http.NoBody))
	var u gateway.APIUsage
	got := command(t, nil, "api", "list", "--json", "--unused", "--admin", address)
	if err := json.Unmarshal([]byte(got.stdout), &u); err != nil || len(u.Operations) != 1 || u.Operations[0].Method != "DELETE" {
		t.Errorf("%+v, %v", got, err)
	}
	_, address = admin("without.yaml")
	if got := command(t, nil, "api", "list", "--admin", address); got.code != exitFailed || !strings.Contains(got.stderr, `it has no catalogue; its configuration has to say "catalogue"`) {
		t.Errorf("%+v", got)
	}
}

// A running gateway takes over a document that changed, and keeps the old one while
// the new is wrong.
func TestRunTakesDocumentsOver(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(behind.Close)
	address := freePort(t)
	dir := documents(t, map[string]string{
		"orders.yaml": apiBefore,
		"banyan.yaml": fmt.Sprintf("listen: %s\nadmin: none\nupstreams: {orders: %q}\nroutes: [{match: /, to: orders, openapi: {file: orders.yaml}}]\n", address, behind.URL),
	})
	ctx, stop := context.WithCancel(t.Context())
	var out log
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &env{args: []string{"run", "-c", filepath.Join(dir, "banyan.yaml"), "--reload-every", "2ms"}, stdout: io.Discard, stderr: &out, now: clock, getenv: os.Getenv})
	}()
	out.waitFor(t, `"msg":"serving"`)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := func(path string) int {
		resp, err := client.Get("http://" + address + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := status("/parcels/17"); got != http.StatusNotFound {
		t.Errorf("status %d", got)
	}
	file := filepath.Join(dir, "orders.yaml")
	change(t, file, strings.ReplaceAll(apiBefore, "/orders/", "/parcels/"))
	out.waitFor(t, `"msg":"reloaded"`)
	if got := status("/parcels/17"); got != http.StatusOK {
		t.Errorf("after the change: status %d", got)
	}
	change(t, file, "openapi: 3.1.0\n")
	out.waitFor(t, "the old one stays")
	if got := status("/parcels/17"); got != http.StatusOK {
		t.Errorf("after a wrong document: status %d", got)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, &out)
	}
}
