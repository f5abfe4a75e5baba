package limittest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
)

// Count is what the processes asked of their stores together.
type Count struct{ Calls, Requests atomic.Int64 }

type counted struct {
	limit.Store
	count *Count
}

func (c counted) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	c.count.Calls.Add(1)
	c.count.Requests.Add(int64(len(requests)))
	return c.Store.Take(ctx, requests)
}

// Processes returns limiters with a rule, as n processes on a server would have
// them, and counts what they ask.
func Processes(t testing.TB, s Server, n int, rule limit.Rule) ([]*limit.Limiter, *Count) {
	t.Helper()
	var count Count
	var all []*limit.Limiter
	for range n {
		// A busy machine may take its time: what is tested here is the store's answer.
		o := &limit.ClusterOptions{Timeout: 20 * time.Second, Processes: n}
		all = append(all, limiter(t, counted{s.Open(t), &count}, o, rule))
	}
	return all, &count
}

func limiter(t testing.TB, s limit.Store, o *limit.ClusterOptions, rule limit.Rule) *limit.Limiter {
	t.Helper()
	c, err := limit.NewCluster(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	l, err := limit.New([]limit.Rule{rule}, &limit.Options{Cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func decide(l *limit.Limiter) limit.Decision {
	return l.Decide(httptest.NewRequest(http.MethodGet, "/", nil))
}

// leases: while there is room a process that has one rarely asks the store.
func leases(t testing.TB, h Harness) {
	const each, lease = 500, 100
	all, count := Processes(t, h.New(t), 4, limit.Rule{Rate: limit.Rate{Count: 10_000, Per: time.Second}, Lease: lease})
	for _, l := range all {
		for range each {
			if d := decide(l); !d.Allowed || d.Err != nil {
				t.Fatalf("got %+v, want that it is allowed", d)
			}
		}
	}
	if got, most := count.Calls.Load(), int64(4*(each/lease+1)); got > most {
		t.Errorf("%d calls for %d requests, want at most %d", got, 4*each, most)
	}
}

// Exact is R39: four processes on one server never let through more than the limit
// and its burst, nor less than 99 % to a client that takes all it gets; with leases
// four of them less. It runs as long as given without leases and with them, at the
// same time, and logs a line of figures for each by report; nil is t.Logf.
func Exact(t *testing.T, start func(testing.TB) Server, lasting time.Duration, report func(t testing.TB, format string, args ...any)) {
	t.Helper()
	if report == nil {
		report = func(t testing.TB, format string, args ...any) { t.Logf(format, args...) }
	}
	for _, lease := range []int64{0, 20} {
		t.Run(fmt.Sprintf("lease %d", lease), func(t *testing.T) {
			t.Parallel()
			exact(t, start(t), lease, lasting, report)
		})
	}
}

func exact(t testing.TB, s Server, lease int64, lasting time.Duration, report func(t testing.TB, format string, args ...any)) {
	t.Helper()
	const perSecond, burst = 400, 1000 // a pause of 2.5 s loses nothing
	all, count := Processes(t, s, 4, limit.Rule{Rate: limit.Rate{Count: perSecond, Per: time.Second, Burst: burst}, Lease: lease})
	began := time.Now()
	passed := hammer(t, all, lasting, time.Second/perSecond)
	took := time.Since(began)
	// With leases the shared bucket stays within its limit too: what a lease
	// can add is what was taken before the window, and here nothing was.
	most := burst + int64(took.Seconds()*perSecond)
	least := (burst + int64(lasting.Seconds()*perSecond)) * 99 / 100
	if passed > most || passed < least-4*lease {
		t.Errorf("%d came through in %s, want %d to %d", passed, took, least-4*lease, most)
	}
	report(t, "%s: 4 processes in %.0f s: %d came through, at least %d and at most %d should; %d calls with %d requests", t.Name(), took.Seconds(), passed, least, most, count.Calls.Load(), count.Requests.Load())
	if lease == 0 && count.Requests.Load() < passed {
		t.Errorf("%d requests came through and the store was asked for %d", passed, count.Requests.Load())
	}
}

// hammer asks through all limiters, each from several goroutines, for as long as
// given, and returns how many were let through. Who is refused must not be told to
// wait longer than it takes a unit to come back.
func hammer(t testing.TB, all []*limit.Limiter, long, unit time.Duration) int64 {
	t.Helper()
	var passed atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(long)
	for _, l := range all {
		for range 4 {
			wg.Go(func() {
				// At the end what has come back during the last pause is taken too,
				// which on a busy machine may be long.
				for d := decide(l); d.Allowed || time.Now().Before(end); d = decide(l) {
					if d.Err != nil || d.RetryAfter > unit {
						t.Errorf("got %+v, want no error, and at most %s to wait", d, unit)
						return
					}
					if d.Allowed {
						passed.Add(1)
						continue
					}
					timer := time.NewTimer(d.RetryAfter)
					<-timer.C
				}
			})
		}
	}
	wg.Wait()
	return passed.Load()
}

// outage: while the server is dead, requests go by Down within the timeout, and
// soon without it; when it is back it decides again.
func outage(t testing.TB, h Harness) {
	if h.Mortal == nil {
		t.Skip("Harness.Mortal is nil")
	}
	server := h.Mortal(t)
	var failures atomic.Int64
	o := &limit.ClusterOptions{Timeout: 5 * time.Second, Pause: 100 * time.Millisecond, StoreFailed: func(err error) {
		failures.Add(1)
		if !errors.Is(err, banyan.ErrUnavailable) && !banyan.Stopped(err) {
			t.Errorf("error of another kind: %v", err)
		}
	}}
	l := limiter(t, server.Open(t), o, limit.Rule{Rate: limit.Rate{Count: 2, Per: 24 * time.Hour}, Down: limit.DownClosed})
	if d := decide(l); !d.Allowed || d.Err != nil {
		t.Fatalf("before: %+v", d)
	}
	server.Kill(t)
	for range 200 {
		if d := decide(l); d.Status != http.StatusServiceUnavailable || d.Err == nil {
			t.Fatalf("while it is down: status %d, %v, want 503 and an error", d.Status, d.Err)
		}
	}
	if n := failures.Load(); n < 3 || n > 100 {
		t.Errorf("%d calls of the dead store for 200 requests, want 3 and one in each pause", n)
	}
	server.Start(t)
	wait(t, l)
	passed := 1
	last := decide(l)
	for ; last.Allowed && last.Err == nil && passed <= 2; last = decide(l) {
		passed++
	}
	if last.Err != nil || last.Status != http.StatusTooManyRequests || server.Forgets && passed != 2 {
		t.Errorf("after the restart %d came through, then status %d, %v; want at most 2, and 429 by the store", passed, last.Status, last.Err)
	}
}

// wait waits until a request is allowed.
func wait(t testing.TB, l *limit.Limiter) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for d := decide(l); !d.Allowed; d = decide(l) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not back in time: %+v", d)
		}
	}
}
