package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

func retrying() *resilience.Options {
	return &resilience.Options{Retry: &resilience.Retry{}, Budget: &resilience.Budget{Ratio: 1, MinPerSecond: 1000}}
}

// R36: whatever fails, retries add at most the budget.
func TestRetriesAddAtMostTheBudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail error
	}{{"503", nil}, {"reset", io.ErrUnexpectedEOF}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				refused := 0
				p := policy(t, &resilience.Options{
					Retry: &resilience.Retry{MaxAttempts: 5},
					Hooks: &resilience.Hooks{OnReject: func(_ context.Context, e *resilience.Error) {
						if e.Reason == resilience.ReasonBudget {
							refused++
						}
					}},
				})
				up := &target{status: 503, err: c.fail}
				rt := p.Transport(up)
				const calls = 10_000
				for range calls {
					_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
				}
				extra := up.calls - calls
				if extra > calls/5 {
					t.Errorf("%d extra calls for %d: more than 20 %%", extra, calls)
				}
				if extra < calls/10 || refused == 0 {
					t.Errorf("%d extra calls, %d refused: the budget was hardly used", extra, refused)
				}
			})
		})
	}
}

// The bound holds however calls are spread over time.
func TestBudgetHoldsForAnyTraffic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		pauses := rapid.SliceOfN(rapid.IntRange(0, 12_000), 1, 60).Draw(rt, "pauses in ms")
		burst := rapid.IntRange(1, 40).Draw(rt, "burst")
		worst := ""
		synctest.Test(t, func(t *testing.T) {
			p := policy(t, &resilience.Options{
				Retry:  &resilience.Retry{MaxAttempts: 10, Backoff: time.Nanosecond, MaxBackoff: time.Nanosecond},
				Budget: &resilience.Budget{Ratio: 0.2, MinPerSecond: -1},
			})
			up := &target{status: 503}
			calls := 0
			for _, pause := range pauses {
				time.Sleep(time.Duration(pause) * time.Millisecond)
				for range burst {
					plain(t, p.Transport(up))
					calls++
				}
				if 5*(up.calls-calls) > calls {
					worst = fmt.Sprintf("%d extra calls for %d", up.calls-calls, calls)
				}
			}
		})
		if worst != "" {
			rt.Fatal(worst) // not in the bubble, which is another goroutine
		}
	})
}

func TestRareCallsMayBeRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		up := &target{status: 503}
		p := policy(t, &resilience.Options{Retry: &resilience.Retry{}})
		plain(t, p.Transport(up))
		if up.calls != 3 {
			t.Errorf("%d attempts of a single call, want 3", up.calls)
		}
	})
}

func TestWhatIsRetried(t *testing.T) {
	t.Parallel()
	keyed := func(r *http.Request) { r.Header.Set("Idempotency-Key", "k1") }
	onceOnly := func(r *http.Request) { r.Body, r.GetBody = io.NopCloser(strings.NewReader("x")), nil }
	cases := []struct {
		name   string
		method string
		body   string
		change func(*http.Request)
		resp   *http.Response
		err    error
		want   int
	}{
		{"GET", "GET", "", nil, answer(503), nil, 3},
		{"HEAD", "HEAD", "", nil, answer(502), nil, 3},
		{"OPTIONS", "OPTIONS", "", nil, answer(504), nil, 3},
		{"TRACE", "TRACE", "", nil, answer(503), nil, 3},
		{"DELETE", "DELETE", "", nil, answer(503), nil, 3},
		{"PUT with a body that can be replayed", "PUT", "x", nil, answer(503), nil, 3},
		{"PUT with a body that cannot", "PUT", "x", onceOnly, answer(503), nil, 1},
		{"POST without a key", "POST", "x", nil, answer(503), nil, 1},
		{"POST without a key, reset", "POST", "x", nil, nil, io.ErrUnexpectedEOF, 1},
		{"POST without a key, nobody there", "POST", "", nil, nil, &net.OpError{Op: "dial", Err: errors.New("refused")}, 1},
		{"PATCH without a key", "PATCH", "x", nil, answer(503), nil, 1},
		{"POST with a key", "POST", "x", keyed, answer(503), nil, 3},
		{"PATCH with a key", "PATCH", "x", keyed, answer(503), nil, 3},
		{"POST with a key and a body that cannot be replayed", "POST", "x", func(r *http.Request) { keyed(r); onceOnly(r) }, answer(503), nil, 1},
		{"reset", "GET", "", nil, nil, io.ErrUnexpectedEOF, 3},
		{"500", "GET", "", nil, answer(500), nil, 1},
		{"404", "GET", "", nil, answer(404), nil, 1},
		{"200", "GET", "", nil, answer(200), nil, 1},
		{"429 without Retry-After", "GET", "", nil, answer(429), nil, 1},
		{"429 with Retry-After", "GET", "", nil, answer(429, "Retry-After", "1"), nil, 3},
		{"Retry-After too far away", "GET", "", nil, answer(503, "Retry-After", "6"), nil, 1},
		{"somebody above retries", "GET", "", func(r *http.Request) { r.Header.Set("X-Retry-Attempt", "1") }, answer(503), nil, 1},
		{"marked context", "GET", "", func(r *http.Request) { *r = *r.WithContext(resilience.NoRetry(r.Context())) }, answer(503), nil, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var bodies []string
				rt := policy(t, retrying()).Transport(upstream(func(r *http.Request) (*http.Response, error) {
					var body []byte
					if r.Body != nil {
						body, _ = io.ReadAll(r.Body)
						_ = r.Body.Close()
					}
					bodies = append(bodies, string(body))
					if c.err != nil {
						return nil, c.err
					}
					resp := *c.resp
					return &resp, nil
				}))
				req := request(t, t.Context(), c.method, c.body)
				if c.change != nil {
					c.change(req)
				}
				_, _ = roundTrip(rt, req)
				want := make([]string, c.want) // each attempt has the whole body
				for i := range want {
					want[i] = c.body
				}
				if d := cmp.Diff(want, bodies); d != "" {
					t.Error("bodies of the attempts:", d)
				}
			})
		})
	}
}

func TestBackoffIsFullJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := retrying()
		o.Retry = &resilience.Retry{MaxAttempts: 8, Backoff: 100 * time.Millisecond, MaxBackoff: time.Second}
		most, least := map[int]time.Duration{}, map[int]time.Duration{}
		o.Hooks = &resilience.Hooks{OnRetry: func(_ context.Context, _ string, attempt int, wait time.Duration, _ error) {
			most[attempt] = max(most[attempt], wait)
			if _, ok := least[attempt]; !ok || wait < least[attempt] {
				least[attempt] = wait
			}
		}}
		rt := policy(t, o).Transport(&target{status: 503})
		for range 300 {
			plain(t, rt)
		}
		for attempt := 2; attempt <= 8; attempt++ {
			bound := min(100*time.Millisecond<<(attempt-2), time.Second)
			if most[attempt] > bound {
				t.Errorf("attempt %d waited %v, the bound is %v", attempt, most[attempt], bound)
			}
			if most[attempt] < bound*9/10 || least[attempt] > bound/10 {
				t.Errorf("attempt %d waited %v to %v: that is not the whole of 0 to %v", attempt, least[attempt], most[attempt], bound)
			}
		}
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		value func() string
		least time.Duration
	}{
		{"seconds", func() string { return "3" }, 3 * time.Second},
		{"date", func() string { return time.Now().Add(4 * time.Second).UTC().Format(http.TimeFormat) }, 4 * time.Second},
		{"date in the past", func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, 0},
		{"nonsense", func() string { return "soon" }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at []time.Time
				rt := policy(t, retrying()).Transport(upstream(func(*http.Request) (*http.Response, error) {
					at = append(at, time.Now())
					if len(at) == 1 {
						return answer(503, "Retry-After", c.value()), nil
					}
					return answer(200), nil
				}))
				if status, err := roundTrip(rt, request(t, t.Context(), "GET", "")); err != nil || status != 200 {
					t.Fatal(status, err)
				}
				if waited := at[1].Sub(at[0]); waited < c.least || waited > c.least+50*time.Millisecond {
					t.Errorf("waited %v, want %v and the jitter of at most 50ms", waited, c.least)
				}
			})
		})
	}
}

func TestNoRetryWithoutTimeForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		up := upstream(func(*http.Request) (*http.Response, error) { return answer(503, "Retry-After", "3"), nil })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		status, err := roundTrip(policy(t, retrying()).Transport(up), request(t, ctx, "GET", ""))
		if status != 503 || err != nil || time.Since(start) != 0 {
			t.Errorf("%d %v after %v: the caller should have the 503 at once", status, err, time.Since(start))
		}
	})
}

func TestCallerEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		up := upstream(func(*http.Request) (*http.Response, error) { return answer(503, "Retry-After", "4"), nil })
		_, err := roundTrip(policy(t, retrying()).Transport(up), request(t, ctx, "GET", ""))
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Discarded responses are closed, every body of the caller too.
func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := 0
		o := retrying()
		o.Timeout = time.Second
		rt := policy(t, o).Transport(upstream(func(*http.Request) (*http.Response, error) {
			open++
			resp := answer(503)
			resp.Body = &closer{Reader: strings.NewReader("body"), closed: func() { open-- }}
			return resp, nil
		}))
		for range 10 {
			_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
		}
		if open != 0 {
			t.Errorf("%d response bodies were left open", open)
		}
	})
}

type closer struct {
	io.Reader
	closed func()
}

func (c *closer) Close() error {
	if c.closed != nil {
		c.closed()
		c.closed = nil
	}
	return nil
}

func TestTurnedAwayRequestsHaveTheirBodiesClosed(t *testing.T) {
	t.Parallel()
	p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 1}})
	plain(t, p.Transport(&target{status: 500}))
	closed := false
	req := request(t, t.Context(), "POST", "x")
	req.Body = &closer{Reader: strings.NewReader("x"), closed: func() { closed = true }}
	if _, err := p.Transport(sendsOK()).RoundTrip(req); err == nil || !closed {
		t.Errorf("error %v, body closed: %v", err, closed)
	}
}

func sendsOK() upstream { return sends }

func TestDoRetries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		calls int
	}{
		{banyan.ErrUnavailable, 3},
		{banyan.ErrUnknown, 3},
		{banyan.ErrConflict, 1},
		{errors.New("other"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			err := policy(t, retrying()).Do(t.Context(), func(context.Context) error { calls++; return fmt.Errorf("read: %w", c.err) })
			if calls != c.calls || !errors.Is(err, c.err) {
				t.Errorf("%v: %d calls, want %d: %v", c.err, calls, c.calls, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		_ = policy(t, retrying()).Do(resilience.NoRetry(t.Context()), func(context.Context) error { calls++; return banyan.ErrUnavailable })
		if calls != 1 {
			t.Errorf("%d calls under NoRetry", calls)
		}
	})
}

// Three layers of three attempts are 3 calls of the lowest, not 27.
func TestLayersDoNotMultiply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var marks []string
		lowest := policy(t, retrying()).Transport(upstream(func(r *http.Request) (*http.Response, error) {
			marks = append(marks, r.Header.Get(resilience.HeaderAttempt))
			return answer(503), nil
		}))
		middle := policy(t, retrying())
		_ = policy(t, retrying()).Do(t.Context(), func(ctx context.Context) error {
			return middle.Do(ctx, func(ctx context.Context) error {
				if status, err := roundTrip(lowest, request(t, ctx, "GET", "")); err != nil || status == 503 {
					return banyan.ErrUnavailable
				}
				return nil
			})
		})
		if d := cmp.Diff([]string{"1", "1", "1"}, marks); d != "" {
			t.Error(d)
		}
	})
}

func TestAttemptsAreNumbered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var marks []string
		up := upstream(func(r *http.Request) (*http.Response, error) {
			marks = append(marks, r.Header.Get(resilience.HeaderAttempt))
			return answer(503), nil
		})
		req := request(t, t.Context(), "GET", "")
		_, _ = roundTrip(policy(t, retrying()).Transport(up), req)
		_, _ = roundTrip(policy(t, retrying()).Transport(up), request(t, t.Context(), "POST", "x")) // not repeated: not marked
		if d := cmp.Diff([]string{"1", "2", "3", ""}, marks); d != "" {
			t.Error(d)
		}
		if len(req.Header) != 0 {
			t.Errorf("the caller's request was changed: %v", req.Header)
		}
	})
}
