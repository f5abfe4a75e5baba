package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

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
