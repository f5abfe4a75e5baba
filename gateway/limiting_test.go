package gateway_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/limit"
)

// Limits count whom they say, through reloads, and no spelling gets a new bucket.
func TestLimits(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) })
	c := to(u)
	c.Routes = []gateway.Route{
		{Match: "/", To: "u"},
		{Match: "/limited", To: "u", Limits: []gateway.RouteLimit{{Rate: "3/1h"}}},
		{Match: "/keyed", To: "u", Limits: []gateway.RouteLimit{{Rate: "1/1h", Per: "header X-Key"}, {Rate: "3/1h", Per: "route"}}},
	}
	g := opened(t, c)
	for i, k := range []struct {
		path, name, value string
		status            int
	}{
		{"/limited", "X-Forwarded-For", "1.1.1.1", 200},
		{"/%6cimited", "X-Forwarded-For", "2.2.2.2", 200},
		{"//limited/", "X-Real-Ip", "3.3.3.3", 200},
		{"/limited", "X-Forwarded-For", "4.4.4.4", 429},
		{"/", "X-Key", "", 200},
		{"/keyed", "X-Key", "a", 200},
		{"/keyed", "X-Key", "a", 429},
		{"/keyed", "X-Key", "b", 200},
		{"/keyed", "X-Key", "c", 200},
		{"/keyed", "X-Key", "d", 429},
	} {
		w := ask(g, "GET", "http://x"+k.path, k.name, k.value)
		if w.Code != k.status || (k.status == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("request %d: status %d %v, want %d", i+1, w.Code, w.Header(), k.status)
		}
	}
	changed := *c
	changed.Routes = append([]gateway.Route{{Match: "/new", To: "u"}}, c.Routes...)
	if err := g.Reload(&changed); err != nil {
		t.Fatal(err)
	}
	if w := ask(g, "GET", "http://x/limited"); w.Code != 429 {
		t.Errorf("a reload gave a new burst: status %d", w.Code)
	}
}

// Two gateways with one store have one limit.
func TestSharedLimits(t *testing.T) {
	t.Parallel()
	store, err := limit.NewMemory(nil) // a Store as any other
	if err != nil {
		t.Fatal(err)
	}
	c := to(behind(t, func(http.ResponseWriter, *http.Request) {}))
	c.Routes[0].Limits = []gateway.RouteLimit{{Rate: "4/1h", Per: "route", Shared: true}}
	if _, err := gateway.New(c, nil); err == nil {
		t.Error("a shared limit is taken without a store")
	}
	passed := 0
	for range 2 {
		g, err := gateway.New(c, &gateway.Options{LimitStore: store})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if ask(g, "GET", "http://x/").Code == 200 {
				passed++
			}
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	if passed != 4 {
		t.Errorf("%d requests passed two gateways, want 4", passed)
	}
}

func TestWrongLimits(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]gateway.RouteLimit{
		"rate": {Rate: "many"}, "per": {Rate: "1/s", Per: "moon"}, "down": {Rate: "1/s", Down: "maybe"},
	} {
		c := to("http://127.0.0.1:1")
		c.Routes[0].Limits = []gateway.RouteLimit{l}
		if found := c.Check(); len(found) != 1 || found[0].Path != "$.routes[0].limits[0]" {
			t.Errorf("%s: %v", name, found)
		}
	}
}
