package siege_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// gate holds requests whose path says so until it is opened.
type gate struct {
	arrived chan bool
	opened  chan bool
}

func (g *gate) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/held") {
		g.arrived <- true
		<-g.opened
	}
	fmt.Fprint(w, r.URL.Path)
}

// A request under way when the size of the cache changes is answered.
func TestReloadOfTheCacheWhileItFills(t *testing.T) {
	t.Parallel()
	gate := &gate{make(chan bool, 1), make(chan bool)}
	url := behind(t, gate.serve)
	config := func(megabytes int64) *gateway.Config {
		return &gateway.Config{
			Cache: gateway.CacheConfig{Megabytes: megabytes}, Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{url}}},
			Routes: []gateway.Route{{Match: "/", To: "u", Cache: &gateway.RouteCache{TTL: time.Hour}}},
		}
	}
	g := opened(t, config(1))
	address := front(t, g)
	answer := make(chan string, 1)
	go func() { answer <- fetch(address, "/held") }()
	<-gate.arrived
	if err := g.Reload(config(2)); err != nil {
		t.Error(err)
	}
	close(gate.opened)
	if got := <-answer; got != "200 /held" {
		t.Errorf("it was answered %q", got)
	}
}

// What a request of the old configuration fetches late is nothing that the new
// one may answer with.
func TestReloadIsNotUndoneByTheCache(t *testing.T) {
	t.Parallel()
	gate := &gate{make(chan bool, 1), make(chan bool)}
	url := behind(t, gate.serve)
	config := func(prefix string) *gateway.Config {
		return &gateway.Config{
			Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{url}}},
			Routes: []gateway.Route{{
				Match: "/", To: "u", Name: "all", AddPrefix: prefix, Cache: &gateway.RouteCache{TTL: time.Hour},
				Concurrency: &gateway.Concurrency{Max: 1, Wait: patience},
			}},
		}
	}
	g := opened(t, config("/old"))
	address := front(t, g)
	held, waiting := make(chan string, 1), make(chan string, 1)
	go func() { held <- fetch(address, "/held") }()
	<-gate.arrived
	go func() { waiting <- fetch(address, "/late") }() // waits for its place
	for g.Status().Routes[0].InFlight < 2 {
		pause(time.Millisecond)
	}
	if err := g.Reload(config("/new")); err != nil {
		t.Error(err)
	}
	close(gate.opened)
	if a, b := <-held, <-waiting; a != "200 /old/held" || b != "200 /old/late" {
		t.Errorf("those under way were answered %q and %q", a, b)
	}
	if got := fetch(address, "/late"); got != "200 /new/late" {
		t.Errorf("after the reload the answer is %q", got)
	}
}

// fetch returns the status and the body.
func fetch(address, target string) string {
	c := &caller{address: address}
	defer c.close()
	resp, body, err := c.get(target)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(resp.StatusCode, " ", body)
}

// A server that never answers opens its breaker, as one that answers 500 does.
func TestHangOpensTheBreaker(t *testing.T) {
	t.Parallel()
	url := behind(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	breaker := &gateway.Breaker{MinCalls: 5, FailureRate: 0.5, Open: time.Minute}
	address := front(t, opened(t, &gateway.Config{
		Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{url}, Breaker: breaker}, "retried": {Targets: []string{url}, Breaker: breaker}},
		Routes: []gateway.Route{
			{Match: "/", To: "u", Timeout: 50 * time.Millisecond},
			{Match: "/retried", To: "retried", Timeout: 500 * time.Millisecond, Retry: &gateway.Retry{Timeout: 50 * time.Millisecond}},
		},
	}))
	for _, path := range []string{"/", "/retried"} {
		last := ""
		for range 10 {
			last = fetch(address, path)
		}
		if !strings.HasPrefix(last, "503 ") {
			t.Errorf("%s: the tenth call to a server that hangs is answered %q, want 503 at once", path, last)
		}
	}
}
