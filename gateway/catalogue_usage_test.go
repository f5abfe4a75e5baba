package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway"
)

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
