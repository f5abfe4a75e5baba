package cache_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/cache"
)

// A cache before any handler: the second request does not reach it.
func Example() {
	orders := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("asked for", r.URL.Path)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Surrogate-Key", "order:17")
		fmt.Fprint(w, "order 17")
	})
	c, err := cache.New(&cache.Options{Bytes: 16 << 20, CacheStatus: "Banyan"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	h, err := c.Handler(&cache.Rules{StaleIfError: time.Hour}, orders)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop.example/orders/17", http.NoBody))
		fmt.Println(w.Body, "-", w.Header().Get("Cache-Status"))
	}
	n, err := c.Purge(cache.Purge{Tags: []string{"order:17"}})
	fmt.Println("purged", n, err)
	// Output:
	// asked for /orders/17
	// order 17 - Banyan; fwd=uri-miss; stored; ttl=60
	// order 17 - Banyan; hit; ttl=60
	// purged 1 <nil>
}

// Each customer has answers of their own; the answers of one are shared by the
// requests of that one only.
func ExampleRules_principal() {
	home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "hello ", r.Header.Get("X-Customer"))
	})
	c, err := cache.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	rules := &cache.Rules{Principal: func(r *http.Request) string { return r.Header.Get("X-Customer") }} // set by authentication
	h, err := c.Handler(rules, home)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, customer := range []string{"ann", "bob", "ann"} {
		r := httptest.NewRequest(http.MethodGet, "http://shop.example/home", http.NoBody)
		r.Header.Set("X-Customer", customer)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Body)
	}
	fmt.Println(c.Stats().Served[cache.Hit], "hit")
	// Output:
	// hello ann
	// hello bob
	// hello ann
	// 1 hit
}

// Events from the log make answers old: whoever reads the log calls Handle.
func ExampleInvalidator() {
	c, err := cache.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	v, err := cache.NewInvalidator(c, map[string][]string{
		"order.*":       {"{stream}", "customer:{customer}"},
		"price.changed": {"sku:{lines.sku}"},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	placed := banyan.Event{Type: "order.placed", Stream: "order-17", Data: []byte(`{"customer":"c7"}`)}
	fmt.Println(v.Tags(placed))
	fmt.Println(v.Handle(context.Background(), placed))
	// Output:
	// [customer:c7 order-17] <nil>
	// <nil>
}
