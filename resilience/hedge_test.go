package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/resilience"
)

// replicas answers request n after delays[n] with statuses[n], and notices what
// becomes of each.
type replicas struct {
	delays   []time.Duration
	statuses []int

	mu        sync.Mutex
	sent      int
	cancelled int
	open      int
}

func (u *replicas) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	n := u.sent
	u.sent++
	u.mu.Unlock()
	if err := within(r.Context(), u.delays[n%len(u.delays)]); err != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.cancelled++
		return nil, err
	}
	status := 200
	if u.statuses != nil {
		status = u.statuses[n%len(u.statuses)]
	}
	resp := answer(status, "N", fmt.Sprint(n))
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open++
	resp.Body = &closer{Reader: &needs{r.Context(), strings.NewReader("body")}, closed: func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.open--
	}}
	return resp, nil
}

// needs reads like a real response body: not after its context has ended.
type needs struct {
	ctx context.Context
	io.Reader
}

func (n *needs) Read(b []byte) (int, error) {
	if err := n.ctx.Err(); err != nil {
		return 0, err
	}
	return n.Reader.Read(b)
}

func TestHedge(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	cases := []struct {
		name            string
		method, body    string
		delays          []time.Duration
		statuses        []int
		sent, cancelled int
		took            time.Duration
		winner          string
		status          int
	}{
		{"fast first", "GET", "", []time.Duration{50 * ms}, nil, 1, 0, 50 * ms, "0", 200},
		{"slow first", "GET", "", []time.Duration{time.Hour, 10 * ms}, nil, 2, 1, 110 * ms, "1", 200},
		{"first wins although hedged", "GET", "", []time.Duration{150 * ms, time.Hour}, nil, 2, 1, 150 * ms, "0", 200},
		{"hedge fails, first is waited for", "GET", "", []time.Duration{300 * ms, 10 * ms}, []int{200, 503}, 2, 0, 300 * ms, "0", 200},
		{"first fails, hedge is waited for", "GET", "", []time.Duration{150 * ms, 200 * ms}, []int{503, 200}, 2, 0, 300 * ms, "1", 200},
		{"both fail", "GET", "", []time.Duration{150 * ms, 200 * ms}, []int{503, 500}, 2, 0, 300 * ms, "0", 503},
		{"fast failure is not hedged", "GET", "", []time.Duration{50 * ms}, []int{503}, 1, 0, 50 * ms, "0", 503},
		{"PUT", "PUT", "", []time.Duration{150 * ms}, nil, 1, 0, 150 * ms, "0", 200},
		{"POST", "POST", "", []time.Duration{150 * ms}, nil, 1, 0, 150 * ms, "0", 200},
		{"GET with a body", "GET", "x", []time.Duration{150 * ms}, nil, 1, 0, 150 * ms, "0", 200},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				hedges := 0
				p := policy(t, &resilience.Options{
					Hedge:    &resilience.Hedge{Delay: 100 * ms},
					Bulkhead: &resilience.Bulkhead{Max: 2},
					Breaker:  &resilience.Breaker{MinCalls: 1, FailureRate: 0.01},
					Hooks:    &resilience.Hooks{OnHedge: func(context.Context, string) { hedges++ }},
				})
				up := &replicas{delays: c.delays, statuses: c.statuses}
				start := time.Now()
				resp, err := p.Transport(up).RoundTrip(request(t, t.Context(), c.method, c.body))
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				synctest.Wait()
				if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "body" {
					t.Errorf("the winner's body: %q, %v", body, err)
				}
				_ = resp.Body.Close()
				synctest.Wait()
				if resp.Header.Get("N") != c.winner || resp.StatusCode != c.status || took != c.took {
					t.Errorf("request %s won with %d after %v, want %s, %d, %v", resp.Header.Get("N"), resp.StatusCode, took, c.winner, c.status, c.took)
				}
				if up.sent != c.sent || up.cancelled != c.cancelled || up.open != 0 || hedges != c.sent-1 {
					t.Errorf("%d sent, %d cancelled, %d bodies open, %d hedges; want %d, %d, 0", up.sent, up.cancelled, up.open, hedges, c.sent, c.cancelled)
				}
				if s := p.Stats(); c.statuses == nil && s.Breaker != resilience.Closed {
					t.Error("losers opened the breaker")
				}
				if c.statuses == nil {
					fill(t, p, 2)
				}
			})
		})
	}
}

// fill checks that all n places of the bulkhead are free.
func fill(t *testing.T, p *resilience.Policy, n int) {
	t.Helper()
	var nest func(n int) error
	nest = func(n int) error {
		if n == 0 {
			return nil
		}
		return p.Do(t.Context(), func(context.Context) error { return nest(n - 1) })
	}
	if err := nest(n); err != nil {
		t.Errorf("a place was not given back: %v", err)
	}
}

func TestHedgesArePaidFromTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{
			Hedge: &resilience.Hedge{Delay: time.Millisecond}, Retry: &resilience.Retry{},
			Budget: &resilience.Budget{Ratio: 0.1, MinPerSecond: -1},
		})
		up := &replicas{delays: []time.Duration{2 * time.Millisecond}, statuses: []int{503}}
		for range 1000 {
			plain(t, p.Transport(up))
		}
		if extra := up.sent - 1000; extra > 100 || extra < 50 {
			t.Errorf("%d hedges and retries for 1000 calls, the budget is 10 %%", extra)
		}
	})
}

func TestHedgeAfterAQuantile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hedged []time.Duration
		var start time.Time
		p := policy(t, &resilience.Options{
			Hedge: &resilience.Hedge{Quantile: 0.9},
			Hooks: &resilience.Hooks{OnHedge: func(context.Context, string) { hedged = append(hedged, time.Since(start)) }},
		})
		var delay, status atomic.Int64
		status.Store(200)
		rt := p.Transport(upstream(func(r *http.Request) (*http.Response, error) {
			return answer(int(status.Load())), within(r.Context(), time.Duration(delay.Load()))
		}))
		send := func(n int, d time.Duration) {
			for range n {
				start = time.Now()
				delay.Store(int64(d))
				plain(t, rt)
				synctest.Wait()
			}
		}
		send(31, 10*time.Millisecond)
		send(1, 10*time.Second) // too few to know what is slow
		if len(hedged) > 0 {
			t.Fatalf("hedged after %v with 31 latencies", hedged)
		}
		send(96, time.Millisecond) // of 128, 31 took 10ms: so does the quantile
		status.Store(503)
		send(200, 0) // fast failures say nothing about what is slow
		status.Store(200)
		hedged = nil
		send(3, 9*time.Millisecond)
		send(1, time.Second)
		if len(hedged) != 1 || hedged[0] != 10*time.Millisecond {
			t.Errorf("hedged after %v, want [10ms]", hedged)
		}
	})
}

func TestHedgedCallerCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Hedge: &resilience.Hedge{Delay: time.Second}, Breaker: &resilience.Breaker{MinCalls: 1}})
		up := &replicas{delays: []time.Duration{time.Hour}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		_, err := roundTrip(p.Transport(up), request(t, ctx, "GET", ""))
		if !errors.Is(err, context.Canceled) || up.cancelled != 2 || p.Stats().Breaker != resilience.Closed {
			t.Errorf("%v, %d cancelled, breaker %v", err, up.cancelled, p.Stats().Breaker)
		}
	})
}

// Many hedged calls at once, for the race detector.
func TestHedgeRaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{
			Timeout: 20 * time.Millisecond, Retry: &resilience.Retry{}, Breaker: &resilience.Breaker{FailureRate: 1}, Bulkhead: &resilience.Bulkhead{Max: 1000},
			Hedge: &resilience.Hedge{Delay: 5 * time.Millisecond}, Budget: &resilience.Budget{Ratio: 1},
			Deadline: &resilience.Deadline{},
		})
		up := &replicas{delays: []time.Duration{1e6, 5e6, 6e6, 10e6, 10e6, 25e6, 5e6}, statuses: []int{200, 503, 429, 200, 500}}
		var failed atomic.Int32
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if _, err := roundTrip(p.Transport(up), request(t, t.Context(), "GET", "")); err != nil {
					failed.Add(1)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		if up.open != 0 || failed.Load() == 500 {
			t.Errorf("%d bodies open, %d of 500 failed", up.open, failed.Load())
		}
		fill(t, p, 1000)
	})
}
