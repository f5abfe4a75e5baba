package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// A read is tried again, and a write with a key; a write without one is not.
func TestRetry(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		if heard.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "done "+string(text))
	})
	for _, c := range []struct {
		method, key string
		status      int
		heard       int64
	}{
		{"GET", "", 200, 3},
		{"PUT", "", 200, 3},
		{"POST", "k", 200, 3},
		{"POST", "", 503, 1},
		{"PATCH", "", 503, 1},
	} {
		config := to(u)
		config.Routes[0].Retry = &gateway.Retry{Budget: 1}
		address := front(t, opened(t, config))
		heard.Store(0)
		body := ""
		if c.method != "GET" {
			body = "text"
		}
		r, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+address+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if c.key != "" {
			r.Header.Set("Idempotency-Key", c.key)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || heard.Load() != c.heard || c.status == 200 && string(text) != "done "+body {
			t.Errorf("%s with key %q: status %d %q after %d calls, want %d after %d", c.method, c.key, resp.StatusCode, text, heard.Load(), c.status, c.heard)
		}
	}
}

// An open breaker spares its target: another one answers, or nobody.
func TestBreaker(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	bad := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		heard.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	})
	config := to(bad)
	config.Upstreams["u"] = gateway.Upstream{Targets: []string{bad}, Breaker: &gateway.Breaker{MinCalls: 10, Open: time.Hour}}
	g := opened(t, config)
	if health := g.Status().Upstreams[0].Targets[0].Health; health != "well" {
		t.Errorf("with a closed breaker the target is %s", health)
	}
	var last *httptest.ResponseRecorder
	for range 50 {
		last = ask(g, "GET", "http://x/")
	}
	if health := g.Status().Upstreams[0].Targets[0].Health; health != "open" {
		t.Errorf("behind an open breaker the target is %s", health)
	}
	if heard.Load() != 10 || last.Code != 503 || last.Header().Get("Retry-After") != "3600" {
		t.Errorf("%d calls, status %d, Retry-After %q", heard.Load(), last.Code, last.Header().Get("Retry-After"))
	}
	config = to(bad, fleet(t, 1, nil)[0])
	config.Upstreams["u"] = gateway.Upstream{Targets: config.Upstreams["u"].Targets, Breaker: &gateway.Breaker{MinCalls: 10, Open: time.Hour}}
	g = opened(t, config)
	heard.Store(0)
	for i := 0; i < 10_000 && heard.Load() < 10; i++ { // as many as open it
		ask(g, "POST", "http://x/")
	}
	for range 50 {
		if w := ask(g, "POST", "http://x/"); w.Code != 200 {
			t.Errorf("beside an open breaker: status %d", w.Code)
		}
	}
}

// More requests than a route may have at once are refused.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	began, release := make(chan bool), make(chan bool)
	u := behind(t, func(http.ResponseWriter, *http.Request) {
		began <- true
		<-release
	})
	config := to(u)
	config.Routes[0].Concurrency = &gateway.Concurrency{Max: 2}
	g := opened(t, config)
	var under sync.WaitGroup
	for range 2 {
		under.Go(func() {
			if w := ask(g, "GET", "http://x/"); w.Code != 200 {
				t.Errorf("status %d", w.Code)
			}
		})
		<-began
	}
	if w := ask(g, "GET", "http://x/"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the third at once: status %d", w.Code)
	}
	close(release)
	under.Wait()
}

func TestFallback(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good" {
			_, _ = io.WriteString(w, "good")
			return
		}
		panic(http.ErrAbortHandler)
	})
	config := to(u)
	config.Routes[0].Fallback = &gateway.Fallback{Body: `{"recommendations":[]}`}
	g := opened(t, config)
	if w := ask(g, "GET", "http://x/bad"); w.Code != 200 || w.Body.String() != `{"recommendations":[]}` || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("status %d %q %v", w.Code, w.Body, w.Header())
	}
	if w := ask(g, "GET", "http://x/good"); w.Body.String() != "good" {
		t.Errorf("answer %q", w.Body)
	}
}

// The faster of two answers counts.
func TestHedge(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if heard.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "second")
	})
	config := to(u)
	config.Routes[0].Hedge = &gateway.Hedge{After: 10 * time.Millisecond}
	if w := ask(opened(t, config), "GET", "http://x/"); w.Body.String() != "second" {
		t.Errorf("status %d %q after %d calls", w.Code, w.Body, heard.Load())
	}
}

func TestWrongPolicies(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]gateway.Route{
		"retry":       {Retry: &gateway.Retry{Attempts: -1}},
		"hedge":       {Hedge: &gateway.Hedge{}},
		"concurrency": {Concurrency: &gateway.Concurrency{}},
	} {
		r.Match, r.To = "/", "u"
		config := gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://127.0.0.1:1"}}}, Routes: []gateway.Route{r}}
		if found := config.Check(); len(found) != 1 || found[0].Path != "$.routes[0]" {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// Under load the unimportant go first.
func TestShed(t *testing.T) {
	t.Parallel()
	app := behind(t, func(http.ResponseWriter, *http.Request) { <-time.After(10 * time.Millisecond) })
	c, err := gateway.Parse("f", []byte(`
upstreams: {app: {targets: ["`+app+`"], shed: {min: 2, max: 2, wait: 200ms}}}
routes: [{match: /, to: app, priority: lowest}, {match: /pay, to: app, priority: high}]
`))
	if err != nil {
		t.Fatal(err)
	}
	g := opened(t, c)
	var done, shed [2]atomic.Int64 // unimportant, important
	var all sync.WaitGroup
	for n := range 1200 { // 200 a second fit; 400 come, a quarter of them important
		path, i := "http://x/", 0
		if n%4 == 0 {
			path, i = "http://x/pay", 1
		}
		all.Go(func() {
			switch w := ask(g, "GET", path); {
			case w.Code == http.StatusOK:
				done[i].Add(1)
			case w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "":
				shed[i].Add(1)
			default:
				t.Errorf("status %d", w.Code)
			}
		})
		<-time.After(2500 * time.Microsecond)
	}
	all.Wait()
	// Of the important ones a smaller part is shed.
	if low, high := float64(shed[0].Load())/900, float64(shed[1].Load())/300; low < 0.2 || high > 0.75*low {
		t.Errorf("unimportant: %d done, %d shed; important: %d done, %d shed", done[0].Load(), shed[0].Load(), done[1].Load(), shed[1].Load())
	}
	if target := g.Status().Upstreams[0].Targets[0]; target.Failures != 0 {
		t.Errorf("%+v", target)
	}
}
