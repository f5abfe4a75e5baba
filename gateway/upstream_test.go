package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// fleet are servers that answer with their number.
func fleet(t *testing.T, n int, h func(i int, w http.ResponseWriter, r *http.Request)) []string {
	t.Helper()
	urls := make([]string, n)
	for i := range urls {
		urls[i] = behind(t, func(w http.ResponseWriter, r *http.Request) {
			if h != nil {
				h(i, w, r)
			}
			_, _ = fmt.Fprint(w, i)
		})
	}
	return urls
}

// Calls are spread, and a target that is slower gets fewer.
func TestSpreads(t *testing.T) {
	t.Parallel()
	var counts [3]atomic.Int64
	urls := fleet(t, 3, func(i int, _ http.ResponseWriter, r *http.Request) {
		counts[i].Add(1)
		if i == 2 {
			timer := time.NewTimer(20 * time.Millisecond)
			<-timer.C
		}
	})
	g := opened(t, to(urls...))
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 100 {
				if w := ask(g, "GET", "http://x/"); w.Code != 200 {
					t.Errorf("status %d", w.Code)
				}
			}
		})
	}
	clients.Wait()
	a, b, slow := counts[0].Load(), counts[1].Load(), counts[2].Load()
	if a < 200 || b < 200 || slow > 150 || a+b+slow != 800 {
		t.Errorf("calls: %d, %d, and %d to the slow one", a, b, slow)
	}
}

// One client stays with one target; when that goes, only its own clients move.
func TestSticky(t *testing.T) {
	t.Parallel()
	down := make([]atomic.Bool, 4)
	urls := fleet(t, 4, func(i int, _ http.ResponseWriter, _ *http.Request) {
		if down[i].Load() {
			panic(http.ErrAbortHandler)
		}
	})
	c := to(urls...)
	c.Upstreams["u"] = gateway.Upstream{Targets: urls, Sticky: "header X-User"}
	g := opened(t, c)
	home := map[string]string{}
	used := map[string]int{}
	for i := range 200 {
		user := fmt.Sprint("user", i)
		home[user] = ask(g, "GET", "http://x/", "X-User", user).Body.String()
		used[home[user]]++
		for range 3 {
			if got := ask(g, "GET", "http://x/", "X-User", user).Body.String(); got != home[user] {
				t.Fatalf("%s went to %s and then to %s", user, home[user], got)
			}
		}
	}
	if len(used) != 4 {
		t.Errorf("targets in use: %v", used)
	}
	second := opened(t, c) // such as after a restart, or on another machine
	for user, before := range home {
		if got := ask(second, "GET", "http://x/", "X-User", user).Body.String(); got != before {
			t.Fatalf("another gateway sends %s to %s, not to %s", user, got, before)
		}
	}
	if n := second.Status().Routes[0].Requests; n != 200 {
		t.Errorf("it has counted %d requests, want its own 200", n)
	}
	down[0].Store(true)
	for i := 0; i < 200 && g.Status().Upstreams[0].Targets[0].Health == "well"; i++ {
		ask(g, "GET", "http://x/", "X-User", fmt.Sprint("user", i))
	}
	for user, before := range home {
		got := ask(g, "GET", "http://x/", "X-User", user)
		if before != "0" && got.Body.String() != before || before == "0" && got.Code != 200 {
			t.Errorf("%s of target %s went to %q (%d)", user, before, got.Body, got.Code)
		}
	}
}

// A target that cannot be reached costs no call while another can.
func TestTargetDown(t *testing.T) {
	t.Parallel()
	l := gatetest.Listen(t)
	_ = l.Close()
	g := opened(t, to("http://"+l.Addr().String(), fleet(t, 1, nil)[0]))
	for range 100 {
		if w := ask(g, "POST", "http://x/"); w.Code != 200 {
			t.Fatalf("status %d", w.Code)
		}
	}
	dead := g.Status().Upstreams[0].Targets[0]
	if dead.Health != "aside" || dead.Calls > 20 {
		t.Errorf("the dead target is %s after %d calls", dead.Health, dead.Calls)
	}
}

// A health check takes a target out and brings it back.
func TestHealthChecks(t *testing.T) {
	t.Parallel()
	var ill atomic.Bool
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" && ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	c := to(u)
	c.Upstreams["u"] = gateway.Upstream{Targets: []string{u}, Health: gateway.Health{Path: "/readyz", Every: 5 * time.Millisecond}}
	g := opened(t, c)
	for _, k := range []struct {
		ill    bool
		health string
		status int
	}{{false, "well", 200}, {true, "down", 503}, {false, "well", 200}} {
		ill.Store(k.ill)
		eventually(t, func() bool { return g.Status().Upstreams[0].Targets[0].Health == k.health })
		if w := ask(g, "GET", "http://x/"); w.Code != k.status {
			t.Errorf("ill %v: status %d", k.ill, w.Code)
		}
	}
}

// eventually waits for something that other goroutines do.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it does not come")
		}
	}
}

// TestReload is R31 in short: under load, configurations change between two
// upstreams, some of them wrong. No request fails, none is served by a mixture,
// and a wrong configuration changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	urls := fleet(t, 2, func(i int, w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != fmt.Sprintf("/%d/", i) { // the prefix of one configuration, the target of another
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	config := func(i int) *gateway.Config {
		c := &gateway.Config{Upstreams: map[string]gateway.Upstream{}, Routes: []gateway.Route{{Match: "/", To: fmt.Sprint("u", i), AddPrefix: fmt.Sprint("/", i)}}}
		c.Upstreams[fmt.Sprint("u", i)] = gateway.Upstream{Targets: urls[i : i+1]}
		return c
	}
	g := opened(t, config(0))
	address := front(t, g)
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var served, failed atomic.Int64
	for range 8 {
		clients.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			for ctx.Err() == nil {
				r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+"/", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := transport.RoundTrip(r)
				if err != nil {
					failed.Add(1)
					continue
				}
				if _, err = io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
					failed.Add(1)
				}
				_ = resp.Body.Close()
				served.Add(1)
			}
		})
	}
	for i := range 200 {
		if i%10 == 9 {
			before := g.Status()
			wrong := config(i % 2)
			wrong.Routes[0].To = "nowhere"
			if err := g.Reload(wrong); err == nil {
				t.Error("a wrong configuration was taken")
			}
			if g.Status().Routes[0].To != before.Routes[0].To {
				t.Error("a wrong configuration changed something")
			}
			continue
		}
		if err := g.Reload(config(i % 2)); err != nil {
			t.Error(err)
		}
		if w := ask(g, "GET", "http://x/"); w.Body.String() != fmt.Sprint(i%2) {
			t.Errorf("after reload %d the answer is %q", i, w.Body)
		}
	}
	stop()
	clients.Wait()
	if failed.Load() > 0 || served.Load() < 100 {
		t.Errorf("%d of %d requests failed", failed.Load(), served.Load())
	}
}

// An upstream that stays keeps what is known about it.
func TestReloadKeeps(t *testing.T) {
	t.Parallel()
	urls := fleet(t, 1, nil)
	g := opened(t, to(urls...))
	ask(g, "GET", "http://x/")
	c := to(urls...)
	c.Routes = append(c.Routes, gateway.Route{Match: "/more", To: "u"})
	if err := g.Reload(c); err != nil {
		t.Fatal(err)
	}
	if got := g.Status(); got.Upstreams[0].Targets[0].Calls != 1 || len(got.Routes) != 2 {
		t.Errorf("status %+v", got)
	}
}

// BenchmarkMatch shows that a lookup does not depend on the number of routes.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := to("http://127.0.0.1:1")
			for i := range n {
				c.Routes = append(c.Routes, gateway.Route{Match: fmt.Sprintf("GET /service%d/orders/{id}", i), To: "u"})
			}
			g, err := gateway.New(c, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer g.Close()
			r := httptest.NewRequest(http.MethodGet, "http://x/service7/orders/536365", http.NoBody)
			b.ReportAllocs()
			for b.Loop() {
				if g.Match(r).Match != "GET /service7/orders/{id}" {
					b.Fatal("another route")
				}
			}
		})
	}
}
