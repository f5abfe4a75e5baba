package resilience_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

// hold occupies a place until released.
func hold(t *testing.T, p *resilience.Policy, ctx context.Context) (release func()) { //nolint:revive // t comes first in helpers
	t.Helper()
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Do(ctx, func(context.Context) error { close(in); <-out; return nil })
	}()
	<-in
	return sync.OnceFunc(func() { close(out); <-done })
}

func TestBulkhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var rejected []resilience.Reason
		p := policy(t, &resilience.Options{
			Bulkhead: &resilience.Bulkhead{Max: 1, MaxWait: time.Second},
			Hooks:    &resilience.Hooks{OnReject: func(_ context.Context, e *resilience.Error) { rejected = append(rejected, e.Reason) }},
		})
		release := hold(t, p, t.Context())
		start := time.Now()
		err := p.Do(t.Context(), func(context.Context) error { t.Error("called"); return nil })
		var e *resilience.Error
		if !errors.As(err, &e) || e.Reason != resilience.ReasonFull || !e.Rejected() || e.RetryAfter == 0 || !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("full bulkhead: %v", err)
		}
		if time.Since(start) != time.Second {
			t.Errorf("waited %v, want 1s", time.Since(start))
		}
		time.AfterFunc(500*time.Millisecond, release)
		if err := p.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Errorf("a place became free within MaxWait: %v", err)
		}
		if d := cmp.Diff([]resilience.Reason{resilience.ReasonFull}, rejected); d != "" {
			t.Error(d)
		}
	})
}

// What one part let in and another turned away leaves nothing behind.
func TestTurnedAwayLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1}, Shed: &resilience.Shed{}, Breaker: &resilience.Breaker{MinCalls: 1}})
		release := hold(t, p, t.Context())
		for range 100 {
			if err := p.Do(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, banyan.ErrUnavailable) {
				t.Fatal(err)
			}
		}
		release()
		if s := p.Stats(); s.ShedInFlight != 0 || s.Breaker != resilience.Closed {
			t.Errorf("%+v", s)
		}
	})
}

func TestWaitingCallerMayGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1, MaxWait: time.Hour}, Breaker: &resilience.Breaker{MinCalls: 1}})
		release := hold(t, p, t.Context())
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Do(ctx, func(context.Context) error { t.Error("called"); return nil })
		var e *resilience.Error
		if !errors.As(err, &e) || e.Reason != resilience.ReasonEnded || !errors.Is(err, context.DeadlineExceeded) || p.Stats().Breaker != resilience.Closed {
			t.Errorf("%v, breaker %v", err, p.Stats().Breaker)
		}
		release()
		fill(t, p, 1)
	})
}

// The place is that of the whole answer.
func TestPlaceIsHeldUntilTheBodyEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*http.Response){
		"close":              func(r *http.Response) { _ = r.Body.Close() },
		"close twice":        func(r *http.Response) { _ = r.Body.Close(); _ = r.Body.Close() },
		"end":                func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body) },
		"end and then close": func(r *http.Response) { _, _ = io.Copy(io.Discard, r.Body); _ = r.Body.Close() },
	}
	for name, end := range ends {
		p := policy(t, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1}})
		rt := p.Transport(&target{status: 200})
		resp, err := rt.RoundTrip(request(t, t.Context(), "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(request(t, t.Context(), "GET", "")); !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("%s: the body is open and its place is free: %v", name, err)
		}
		end(resp)
		fill(t, p, 1)
		if err := p.Do(t.Context(), func(ctx context.Context) error { return p.Do(ctx, func(context.Context) error { return nil }) }); err == nil {
			t.Errorf("%s: the bulkhead grew", name)
		}
	}
}

func TestPlaceIsFreeAfterAnythingElse(t *testing.T) {
	t.Parallel()
	all := &resilience.Options{
		Timeout: time.Second, Retry: &resilience.Retry{}, Breaker: &resilience.Breaker{MinCalls: 1000},
		Bulkhead: &resilience.Bulkhead{Max: 1}, Shed: &resilience.Shed{},
	}
	noBody := func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 204, Body: http.NoBody}, nil
	}
	nilBody := func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 204}, nil }
	panics := func(*http.Request) (*http.Response, error) { panic("transport") }
	for name, next := range map[string]upstream{"no body": noBody, "nil body": nilBody, "hang": hang, "panic": panics} {
		synctest.Test(t, func(t *testing.T) {
			p := policy(t, all)
			func() {
				defer func() { _ = recover() }()
				resp, err := p.Transport(next).RoundTrip(request(t, t.Context(), "POST", ""))
				if err == nil && resp.Body == nil {
					t.Errorf("%s: a response without a body", name)
				}
			}()
			fill(t, p, 1)
			if s := p.Stats(); s.ShedInFlight != 0 {
				t.Errorf("%s: %d in flight", name, s.ShedInFlight)
			}
		})
	}
	p := policy(t, all)
	func() {
		defer func() { _ = recover() }()
		_ = p.Do(t.Context(), func(context.Context) error { panic("function") })
	}()
	fill(t, p, 1)
}

// Under load the unimportant go first.
func TestShedTurnsLowPriorityAwayFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Shed: &resilience.Shed{Min: 10, Max: 10, Initial: 10, MaxWait: time.Second}})
		var mu sync.Mutex
		done := map[resilience.Priority]int{}
		shed := map[resilience.Priority]int{}
		var all sync.WaitGroup
		// 10 fit, and 200 a second come for 100 places a second.
		for i := range 2000 {
			prio := []resilience.Priority{resilience.Lowest, resilience.High}[i%2]
			all.Go(func() {
				err := p.Do(resilience.WithPriority(t.Context(), prio), func(ctx context.Context) error {
					return within(ctx, 100*time.Millisecond)
				})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done[prio]++
					return
				}
				shed[prio]++
				var e *resilience.Error
				if !errors.As(err, &e) || e.Reason != resilience.ReasonShed || e.RetryAfter == 0 {
					t.Errorf("shed: %v", err)
				}
			})
			time.Sleep(5 * time.Millisecond)
		}
		all.Wait()
		if shed[resilience.Lowest] < 4*shed[resilience.High] || done[resilience.High] < 800 {
			t.Errorf("done %v, shed %v: the low ones should have gone", done, shed)
		}
		if s := p.Stats(); s.ShedInFlight != 0 || s.ShedQueued != 0 || s.ShedLimit != 10 {
			t.Errorf("%+v", s)
		}
	})
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	byMethod := func(r *http.Request) resilience.Priority {
		if r.Method == "HEAD" {
			return resilience.Lowest
		}
		return resilience.High
	}
	lowest := func(ctx context.Context) context.Context { return resilience.WithPriority(ctx, resilience.Lowest) }
	same := func(ctx context.Context) context.Context { return ctx }
	for name, c := range map[string]struct {
		of   func(*http.Request) resilience.Priority
		head func(context.Context) context.Context
	}{
		"by request":          {byMethod, same},
		"none is not lowest":  {nil, lowest},
		"request over caller": {byMethod, func(ctx context.Context) context.Context { return resilience.WithPriority(ctx, resilience.Highest) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := policy(t, &resilience.Options{Shed: &resilience.Shed{Min: 10, Max: 10, Initial: 10, MaxWait: time.Second, Priority: c.of}})
				shed := overload(t, p, c.head)
				if shed["HEAD"] < 4*shed["GET"] {
					t.Errorf("shed %v: HEAD should have gone first", shed)
				}
			})
		})
	}
}

// overload sends twice of what fits and returns how many of each were shed.
func overload(t *testing.T, p *resilience.Policy, head func(context.Context) context.Context) map[string]int {
	t.Helper()
	rt := p.Transport(upstream(func(r *http.Request) (*http.Response, error) {
		return answer(200), within(r.Context(), 100*time.Millisecond)
	}))
	var mu sync.Mutex
	shed := map[string]int{}
	var all sync.WaitGroup
	for i := range 2000 {
		method, ctx := "GET", t.Context()
		if i%2 == 1 {
			method, ctx = "HEAD", head(ctx)
		}
		all.Go(func() {
			if _, err := roundTrip(rt, request(t, ctx, method, "")); err != nil {
				mu.Lock()
				defer mu.Unlock()
				shed[method]++
			}
		})
		time.Sleep(5 * time.Millisecond)
	}
	all.Wait()
	return shed
}

func TestFallback(t *testing.T) {
	t.Parallel()
	cached := func(*http.Request, error) (*http.Response, error) {
		resp := answer(203)
		resp.Body = io.NopCloser(strings.NewReader("cached"))
		return resp, nil
	}
	for _, c := range []struct {
		name   string
		next   upstream
		status int
		reason resilience.Reason // "" is no fallback
	}{
		{"good", func(*http.Request) (*http.Response, error) { return answer(200), nil }, 200, ""},
		{"caller's fault", func(*http.Request) (*http.Response, error) { return answer(404), nil }, 404, ""},
		{"down", func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 203, resilience.ReasonFailed},
		{"503", func(*http.Request) (*http.Response, error) { return answer(503), nil }, 203, resilience.ReasonStatus},
		{"hangs", hang, 203, resilience.ReasonTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			p := policy(t, &resilience.Options{Timeout: time.Second, Deadline: &resilience.Deadline{Overall: time.Minute}, Fallback: &resilience.Fallback{
				Response: func(r *http.Request, err error) (*http.Response, error) { cause = err; return cached(r, err) },
			}})
			status, err := roundTrip(p.Transport(c.next), request(t, t.Context(), "GET", ""))
			var e *resilience.Error
			if errors.As(cause, &e); err != nil || status != c.status || (e == nil) != (c.reason == "") || e != nil && e.Reason != c.reason {
				t.Errorf("%s: %d, %v, cause %v", c.name, status, err, cause)
			}
		})
	}
	t.Run("closes", func(t *testing.T) {
		t.Parallel()
		closed := false
		p := policy(t, &resilience.Options{Fallback: &resilience.Fallback{Response: cached}})
		rt := p.Transport(upstream(func(*http.Request) (*http.Response, error) {
			resp := answer(500)
			resp.Body = &closer{Reader: strings.NewReader("x"), closed: func() { closed = true }}
			return resp, nil
		}))
		if status, err := roundTrip(rt, request(t, t.Context(), "GET", "")); status != 203 || err != nil || !closed {
			t.Errorf("%d %v; the response that was replaced is closed: %v", status, err, closed)
		}
	})
	t.Run("Do", func(t *testing.T) {
		t.Parallel()
		p := policy(t, &resilience.Options{Fallback: &resilience.Fallback{Do: func(_ context.Context, cause error) error {
			if !errors.Is(cause, banyan.ErrUnavailable) {
				return cause
			}
			return nil
		}}})
		if err := p.Do(t.Context(), func(context.Context) error { return banyan.ErrUnavailable }); err != nil {
			t.Error(err)
		}
		if err := p.Do(t.Context(), func(context.Context) error { return banyan.ErrConflict }); !errors.Is(err, banyan.ErrConflict) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Do(ctx, func(ctx context.Context) error { return banyan.ErrUnavailable }); err == nil {
			t.Error("a fallback for a caller who has gone")
		}
	})
	t.Run("nothing", func(t *testing.T) {
		t.Parallel()
		p := policy(t, &resilience.Options{Fallback: &resilience.Fallback{Response: func(*http.Request, error) (*http.Response, error) { return nil, nil }}})
		if _, err := roundTrip(p.Transport(&target{status: 503}), request(t, t.Context(), "GET", "")); !errors.Is(err, banyan.ErrInvalid) {
			t.Error(err)
		}
	})
}
