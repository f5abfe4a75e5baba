package resilience_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

// From many goroutines: changes are reported once, and in their order.
func TestBreakerReportsInOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	last, changes := resilience.Closed, 0
	p := policy(t, &resilience.Options{
		Breaker: &resilience.Breaker{FailureRate: 0.1, MinCalls: 2, Window: time.Millisecond, Open: time.Microsecond, Probes: 2},
		Hooks: &resilience.Hooks{OnBreaker: func(_ string, from, to resilience.State) {
			mu.Lock()
			defer mu.Unlock()
			if from != last || to == from {
				t.Errorf("%v>%v after %v", from, to, last)
			}
			last = to
			changes++
		}},
	})
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 2000 {
				_ = p.Do(t.Context(), func(context.Context) error {
					if (i/10+g)%3 == 0 {
						return banyan.ErrUnavailable
					}
					return nil
				})
			}
		})
	}
	all.Wait()
	if changes < 10 {
		t.Errorf("%d changes only", changes)
	}
}

// A hook that panics is the caller's mistake; the breaker goes on.
func TestBreakerSurvivesAPanicInItsHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []resilience.State
		p := policy(t, &resilience.Options{
			Breaker: &resilience.Breaker{MinCalls: 1, Open: time.Second, Probes: 1},
			Hooks: &resilience.Hooks{OnBreaker: func(_ string, _, to resilience.State) {
				told = append(told, to)
				if to == resilience.Open {
					panic("hook")
				}
			}},
		})
		func() {
			defer func() { _ = recover() }()
			_ = p.Do(t.Context(), func(context.Context) error { return banyan.ErrUnavailable })
		}()
		time.Sleep(time.Second)
		if err := p.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff([]resilience.State{resilience.Open, resilience.HalfOpen, resilience.Closed}, told); d != "" {
			t.Error(d)
		}
	})
}

// The answer that opened the breaker is worth more than being turned away.
func TestNoRetryIntoAnOpenBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := retrying()
		o.Breaker = &resilience.Breaker{MinCalls: 1, Open: time.Second}
		p := policy(t, o)
		req := request(t, t.Context(), "GET", "")
		resp, err := p.Transport(&target{status: 503}).RoundTrip(req)
		if err != nil || resp.StatusCode != 503 || resp.Request != req {
			t.Fatalf("%v, %+v", err, resp)
		}
		_ = resp.Body.Close()
		if s := p.Stats(); s.Breaker != resilience.Open {
			t.Errorf("%v", s.Breaker)
		}
		time.Sleep(time.Second)
		if s := p.Stats(); s.Breaker != resilience.HalfOpen {
			t.Errorf("%v although the next call is a probe", s.Breaker)
		}
	})
}
