package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

// target is an upstream whose answer a test changes.
type target struct {
	calls  int
	status int
	err    error
}

func (u *target) RoundTrip(*http.Request) (*http.Response, error) {
	u.calls++
	if u.err != nil {
		return nil, u.err
	}
	return answer(u.status), nil
}

func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		p := policy(t, &resilience.Options{
			Breaker: &resilience.Breaker{FailureRate: 0.5, MinCalls: 10, Window: 10 * time.Second, Open: 5 * time.Second, Probes: 2},
			Hooks: &resilience.Hooks{OnBreaker: func(name string, from, to resilience.State) {
				changes = append(changes, fmt.Sprintf("%s %v>%v", name, from, to))
			}},
		})
		up := &target{status: 200}
		rt := p.Transport(up)
		send := func(n int) (err error) {
			for range n {
				_, err = roundTrip(rt, request(t, t.Context(), "GET", ""))
			}
			return err
		}
		_ = send(5)
		up.status = 503
		_ = send(4) // 9 calls: below the minimum volume, whatever the rate
		if s := p.Stats(); s.Breaker != resilience.Closed {
			t.Fatalf("%v with 9 calls, the minimum is 10", s.Breaker)
		}
		_ = send(1) // 5 of 10
		if s := p.Stats(); s.Breaker != resilience.Open || s.FailureRate != 0.5 {
			t.Fatalf("after 5 failures of 10: %+v", s)
		}

		before := up.calls
		err := send(3)
		var e *resilience.Error
		if !errors.As(err, &e) || e.Reason != resilience.ReasonOpen || !e.Rejected() || !errors.Is(err, banyan.ErrUnavailable) {
			t.Fatalf("open breaker: %v", err)
		}
		if up.calls != before || e.RetryAfter != 5*time.Second {
			t.Fatalf("%d calls reached the target while open, RetryAfter is %v", up.calls-before, e.RetryAfter)
		}
		time.Sleep(5*time.Second - time.Nanosecond)
		if err := send(1); err == nil || up.calls != before {
			t.Fatal("a call went through before Breaker.Open was over")
		}
		time.Sleep(time.Nanosecond)
		_ = send(1) // a probe that fails
		if s := p.Stats(); s.Breaker != resilience.Open || up.calls != before+1 {
			t.Fatalf("after a failed probe: %v, %d calls", s.Breaker, up.calls-before)
		}
		time.Sleep(5 * time.Second)
		up.status = 200
		_ = send(1)
		if s := p.Stats(); s.Breaker != resilience.HalfOpen {
			t.Fatalf("after one of two probes: %v", s.Breaker)
		}
		_ = send(1)
		want := []string{"users closed>open", "users open>half-open", "users half-open>open", "users open>half-open", "users half-open>closed"}
		if d := cmp.Diff(want, changes); d != "" {
			t.Error(d)
		}
	})
}

func TestBreakerForgetsOldFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 4, Window: 10 * time.Second}})
		up := &target{status: 500}
		rt := p.Transport(up)
		for range 3 {
			_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
		}
		time.Sleep(12 * time.Second)
		for range 3 {
			_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
		}
		if s := p.Stats(); s.Breaker != resilience.Closed {
			t.Fatalf("%v: three failures are 12 s old and count still", s.Breaker)
		}
	})
}

func TestHalfOpenLimitsProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, up, rt := opened(t, 2)
		hanging := make(chan struct{})
		slow := p.Transport(upstream(func(*http.Request) (*http.Response, error) {
			<-hanging
			return answer(200), nil
		}))
		done := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := roundTrip(slow, request(t, t.Context(), "GET", ""))
				done <- err
			}()
		}
		synctest.Wait()
		before := up.calls
		if _, err := roundTrip(rt, request(t, t.Context(), "GET", "")); !errors.Is(err, banyan.ErrUnavailable) || up.calls != before {
			t.Fatalf("a third call beside two probes: %v", err)
		}
		close(hanging)
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if s := p.Stats(); s.Breaker != resilience.Closed {
			t.Fatalf("after two good probes: %v", s.Breaker)
		}
	})
}

// opened returns a policy whose breaker is about to become half-open.
func opened(t *testing.T, probes int, hooks ...*resilience.Hooks) (*resilience.Policy, *target, http.RoundTripper) {
	t.Helper()
	o := &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 4, Open: 5 * time.Second, Probes: probes}}
	for _, h := range hooks {
		o.Hooks = h
	}
	p := policy(t, o)
	up := &target{status: 500}
	rt := p.Transport(up)
	for range 4 {
		_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
	}
	if s := p.Stats(); s.Breaker != resilience.Open {
		t.Fatalf("set up: %v", s.Breaker)
	}
	time.Sleep(5 * time.Second)
	up.status = 200
	return p, up, rt
}

// A probe whose caller goes away says nothing, and must not take its place with
// it: otherwise the breaker stays half-open for ever.
func TestProbesThatSayNothingDoNotStrandTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var states []resilience.State
		p, _, rt := opened(t, 2, &resilience.Hooks{OnBreaker: func(_ string, _, to resilience.State) { states = append(states, to) }})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		gone := p.Transport(upstream(hang))
		for range 10 {
			_, _ = roundTrip(gone, request(t, ctx, "GET", ""))
		}
		if s := p.Stats(); s.Breaker != resilience.HalfOpen {
			t.Fatalf("cancelled probes made it %v", s.Breaker)
		}
		for range 2 {
			if _, err := roundTrip(rt, request(t, t.Context(), "GET", "")); err != nil {
				t.Fatal(err)
			}
		}
		if s := p.Stats(); s.Breaker != resilience.Closed {
			t.Fatalf("two good probes left it %v", s.Breaker)
		}
		if d := cmp.Diff([]resilience.State{resilience.Open, resilience.HalfOpen, resilience.Closed}, states); d != "" {
			t.Error("reported:", d)
		}
	})
}

func TestProbesThatHangDoNotStrandTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, _, rt := opened(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = roundTrip(p.Transport(upstream(hang)), request(t, ctx, "GET", "")) }()
		synctest.Wait()
		if _, err := roundTrip(rt, request(t, t.Context(), "GET", "")); err == nil {
			t.Fatal("a second probe went through at once")
		}
		time.Sleep(5 * time.Second)
		if _, err := roundTrip(rt, request(t, t.Context(), "GET", "")); err != nil {
			t.Fatalf("the probe has hung for as long as the breaker opens: %v", err)
		}
	})
}

// A call that began before the breaker opened says nothing about later.
func TestOldCallsDoNotDecideTheHalfOpenState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 4, Open: 5 * time.Second, Probes: 2}})
		release := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Do(t.Context(), func(context.Context) error { <-release; return errors.New("old") })
		}()
		synctest.Wait()
		for range 4 {
			_ = p.Do(t.Context(), func(context.Context) error { return errors.New("down") })
		}
		time.Sleep(5 * time.Second)
		_ = p.Do(t.Context(), func(context.Context) error { return nil }) // half-open, one of two
		close(release)
		<-ended
		if s := p.Stats(); s.Breaker != resilience.HalfOpen {
			t.Fatalf("a failure from before the opening made it %v", s.Breaker)
		}
	})
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, errors.New("malformed chunked encoding") }
func (brokenBody) Close() error             { return nil }

// sends reads the request's body, as a transport does.
func sends(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, fmt.Errorf("write request: %w", err)
		}
	}
	return answer(200), nil
}

func TestCallersFaultsNeverOpenTheBreaker(t *testing.T) {
	t.Parallel()
	status := func(code int) upstream {
		return func(*http.Request) (*http.Response, error) { return answer(code), nil }
	}
	cases := []struct {
		name string
		next upstream
		send func(t *testing.T, rt http.RoundTripper)
		want resilience.State
	}{
		{"400", status(400), plain, resilience.Closed},
		{"429", status(429), plain, resilience.Closed},
		{"501", status(501), plain, resilience.Closed},
		{"500", status(500), plain, resilience.Open},
		{"504", status(504), plain, resilience.Open},
		{"connection error", func(*http.Request) (*http.Response, error) { return nil, errors.New("reset") }, plain, resilience.Open},
		{"cancelled by the caller", hang, func(t *testing.T, rt http.RoundTripper) {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, nil)
			time.AfterFunc(10*time.Second, cancel)
			_, _ = roundTrip(rt, request(t, ctx, "GET", ""))
		}, resilience.Closed},
		{"impatient caller", hang, func(t *testing.T, rt http.RoundTripper) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, _ = roundTrip(rt, request(t, ctx, "GET", ""))
		}, resilience.Closed},
		{"patient caller whose deadline ended", hang, func(t *testing.T, rt http.RoundTripper) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, _ = roundTrip(rt, request(t, ctx, "GET", ""))
		}, resilience.Open},
		{"malformed request body", sends, func(t *testing.T, rt http.RoundTripper) {
			req := request(t, t.Context(), "POST", "x")
			req.Body = brokenBody{}
			_, err := roundTrip(rt, req)
			var e *resilience.Error
			if !errors.As(err, &e) || e.Reason != resilience.ReasonRequest || !errors.Is(err, banyan.ErrInvalid) {
				t.Errorf("error of a bad body: %v", err)
			}
		}, resilience.Closed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 5, Window: time.Hour, Open: time.Hour}})
				for range 20 {
					c.send(t, p.Transport(c.next))
				}
				if s := p.Stats(); s.Breaker != c.want {
					t.Errorf("breaker is %v, want %v", s.Breaker, c.want)
				}
			})
		})
	}
}

func plain(t *testing.T, rt http.RoundTripper) {
	_, _ = roundTrip(rt, request(t, t.Context(), "GET", ""))
}

func TestDoCountsByKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want resilience.State
	}{
		{banyan.ErrInvalid, resilience.Closed},
		{banyan.ErrConflict, resilience.Closed},
		{banyan.ErrNotFound, resilience.Closed},
		{context.Canceled, resilience.Closed},
		{banyan.ErrUnavailable, resilience.Open},
		{banyan.ErrUnknown, resilience.Open},
		{errors.New("any other"), resilience.Open},
	} {
		p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 5}})
		for range 20 {
			err := p.Do(t.Context(), func(context.Context) error { return fmt.Errorf("read: %w", c.err) })
			if c.want == resilience.Closed && !errors.Is(err, c.err) {
				t.Errorf("%v became %v", c.err, err)
			}
		}
		if s := p.Stats(); s.Breaker != c.want {
			t.Errorf("%v: breaker is %v, want %v", c.err, s.Breaker, c.want)
		}
	}
}

func TestBreakerCountsWhatItIsTold(t *testing.T) {
	t.Parallel()
	p := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 5, Counts: func(resp *http.Response, err error) bool {
		return err == nil && resp.StatusCode == 404
	}}})
	for range 5 {
		plain(t, p.Transport(&target{status: 404}))
	}
	if s := p.Stats(); s.Breaker != resilience.Open {
		t.Error("Counts was not asked")
	}
}

// A hook that looks at the policy must not deadlock.
func TestHookMayReadStats(t *testing.T) {
	t.Parallel()
	var p *resilience.Policy
	var seen []resilience.State
	p = policy(t, &resilience.Options{
		Breaker: &resilience.Breaker{MinCalls: 1},
		Hooks:   &resilience.Hooks{OnBreaker: func(string, resilience.State, resilience.State) { seen = append(seen, p.Stats().Breaker) }},
	})
	plain(t, p.Transport(&target{err: io.ErrUnexpectedEOF}))
	if d := cmp.Diff([]resilience.State{resilience.Open}, seen); d != "" {
		t.Error(d)
	}
	if text := p.Do(t.Context(), nil).Error(); !strings.Contains(text, "users") || !strings.Contains(text, "try again in 5s") {
		t.Errorf("the text does not name the policy and what to do: %s", text)
	}
}
