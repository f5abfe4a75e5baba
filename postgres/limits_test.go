package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
)

// limits returns the limits of a database as one more process would have them.
func limits(t testing.TB, dsn string) *postgres.Limits {
	t.Helper()
	l, err := open(t, dsn, nil).Limits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// counted counts the calls of one store, or of several together.
type counted struct {
	limit.Store
	count *count
}

type count struct{ calls, requests atomic.Int64 }

func (c counted) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	c.count.calls.Add(1)
	c.count.requests.Add(int64(len(requests)))
	return c.Store.Take(ctx, requests)
}

// processes returns limiters of n processes on one database, and what they ask.
func processes(t testing.TB, dsn string, n int, rule limit.Rule) ([]*limit.Limiter, *count) {
	t.Helper()
	var asked count
	var all []*limit.Limiter
	for range n {
		// A busy machine may take its time: what is tested here is the store's answer.
		c, err := limit.NewCluster(counted{limits(t, dsn), &asked}, &limit.ClusterOptions{Timeout: 20 * time.Second, Processes: n})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		l, err := limit.New([]limit.Rule{rule}, &limit.Options{Cluster: c})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all, &asked
}

// hammer asks through all limiters, each from several goroutines, for as long as
// given, and returns how many were let through.
func hammer(t testing.TB, all []*limit.Limiter, long time.Duration) int64 {
	t.Helper()
	var passed atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(long)
	for _, l := range all {
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(end) {
					d := l.Decide(httptest.NewRequest(http.MethodGet, "/", nil))
					if d.Err != nil {
						t.Error(d.Err)
						return
					}
					if d.Allowed {
						passed.Add(1)
						continue
					}
					timer := time.NewTimer(min(d.RetryAfter, time.Until(end)))
					<-timer.C
				}
			})
		}
	}
	wg.Wait()
	return passed.Load()
}

// R39: four processes on one PostgreSQL never let through more than the limit and
// its burst, nor less than 99 % to a client that takes all it gets; with leases
// four of them more.
func TestLimitsAreExactAcrossProcesses(t *testing.T) {
	t.Parallel()
	const perSecond, burst = 400, 1000 // a pause of 2.5 s loses nothing
	lasting := long.Duration(3*time.Second, 2*time.Minute)
	for _, lease := range []int64{0, 20} {
		t.Run(fmt.Sprintf("lease %d", lease), func(t *testing.T) {
			t.Parallel()
			all, asked := processes(t, pgtest.Database(t), 4, limit.Rule{Rate: limit.Rate{Count: perSecond, Per: time.Second, Burst: burst}, Lease: lease})
			began := time.Now()
			passed := hammer(t, all, lasting)
			took := time.Since(began)
			// With leases the shared bucket stays within its limit too: what a lease
			// can add is what was taken before the window, and here nothing was.
			most := burst + int64(took.Seconds()*perSecond)
			least := (burst + int64(lasting.Seconds()*perSecond)) * 99 / 100
			if passed > most || passed < least-4*lease {
				t.Errorf("%d came through in %s, want %d to %d", passed, took, least-4*lease, most)
			}
			calls := asked.calls.Load()
			long.Report(t, "R39", "%s: 4 processes in %.0f s: %d came through, at least %d and at most %d should; %d calls with %d requests", t.Name(), took.Seconds(), passed, least, most, calls, asked.requests.Load())
			if lease == 0 && asked.requests.Load() < passed {
				t.Errorf("%d requests came through and the store was asked for %d", passed, asked.requests.Load())
			}
		})
	}
}

// While there is room a process with leases rarely asks the store.
func TestLimitsWithLeases(t *testing.T) {
	t.Parallel()
	const each, lease = 500, 100
	all, asked := processes(t, pgtest.Database(t), 4, limit.Rule{Rate: limit.Rate{Count: 10_000, Per: time.Second}, Lease: lease})
	for _, l := range all {
		for range each {
			if d := l.Decide(httptest.NewRequest(http.MethodGet, "/", nil)); !d.Allowed || d.Err != nil {
				t.Fatalf("got %+v, want that it is allowed", d)
			}
		}
	}
	if got, most := asked.calls.Load(), int64(4*(each/lease+1)); got > most {
		t.Errorf("%d calls for %d requests, want at most %d", got, 4*each, most)
	}
}

// R44: the server's clock is set by ten minutes. Only the difference between it
// and what is stored counts, so that moving all buckets does the same.
func TestLimitsWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	const burst = 5
	dsn := pgtest.Database(t)
	store := limits(t, dsn)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's
	set := func(by time.Duration) {
		if _, err := conn.Exec(t.Context(), `update banyan.limits set tat = tat - $1`, int64(by)); err != nil {
			t.Fatal(err)
		}
	}
	take := func() (passed int, debt time.Duration) {
		for range 20 {
			r, err := store.Take(t.Context(), []limit.Request{{Charges: []limit.Charge{{Key: "k", Cost: time.Minute, Capacity: burst * time.Minute}}}})
			if err != nil {
				t.Fatal(err)
			}
			if r[0].Allowed {
				passed++
			}
			debt = r[0].Levels[0].Debt
		}
		return passed, debt
	}
	if passed, _ := take(); passed != burst {
		t.Fatalf("%d came through at first, want %d", passed, burst)
	}
	set(10 * time.Minute)
	if passed, _ := take(); passed != burst {
		t.Errorf("%d came through after the clock was set forward, want one burst, %d", passed, burst)
	}
	set(-10 * time.Minute)
	passed, debt := take()
	if passed != 0 || debt > burst*time.Minute {
		t.Errorf("%d came through after the clock was set back, and the bucket lacks %s; want 0 and at most %s", passed, debt, burst*time.Minute)
	}
	set(time.Minute + time.Second) // the time of one unit passes
	if passed, _ := take(); passed != 1 {
		t.Errorf("%d came through a minute after the clock was set back, want 1", passed)
	}
}

// The statement decides as limit.Memory does, whose decisions are checked against
// a model: batches with several charges, buckets in common, and extra.
func TestLimitsDifferential(t *testing.T) {
	t.Parallel()
	store := limits(t, pgtest.Database(t))
	memory, err := limit.NewMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(39, 1))
	refused := 0
	for step := range 60 {
		batch := make([]limit.Request, 1+random.IntN(8))
		for i := range batch {
			for _, key := range random.Perm(12)[:random.IntN(4)] {
				// Hours, so that what passes during the test does not matter.
				batch[i].Charges = append(batch[i].Charges, limit.Charge{
					Key:      fmt.Sprintf("\x00\xff%d", key),
					Cost:     time.Duration(random.IntN(4)) * time.Hour,
					Extra:    time.Duration(random.IntN(2)*random.IntN(20)) * time.Hour,
					Capacity: time.Duration(10+10*key) * time.Hour,
				})
			}
		}
		got, err := store.Take(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := memory.Take(t.Context(), batch)
		for i := range batch {
			if !want[i].Allowed {
				refused++
			}
			wantResult(t, fmt.Sprintf("step %d: %+v", step, batch[i]), got[i], want[i])
		}
		if t.Failed() {
			return
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: the test compares nothing")
	}
}

// wantResult compares to a minute.
func wantResult(t *testing.T, what string, got, want limit.Result) {
	t.Helper()
	if got.Allowed != want.Allowed || len(got.Levels) != len(want.Levels) {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
		return
	}
	for i, w := range want.Levels {
		g := got.Levels[i]
		if (g.Debt-w.Debt).Abs() > time.Minute || (g.Extra-w.Extra).Abs() > time.Minute {
			t.Errorf("%s: level %d: got %+v, want %+v", what, i, g, w)
		}
	}
}

// Batches of several processes have buckets in common, in any order: they meet no
// deadlock, and no unit is given twice.
func TestLimitsConcurrently(t *testing.T) {
	t.Parallel()
	const workers, rounds, keys, units = 6, 60, 100, 60
	dsn := pgtest.Database(t)
	var asked, given [keys]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		store := limits(t, dsn)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range rounds {
				batch := make([]limit.Request, 60)
				chosen := make([]int, len(batch))
				for i := range batch {
					chosen[i] = random.IntN(keys)
					batch[i].Charges = []limit.Charge{{Key: fmt.Sprint(chosen[i]), Cost: time.Hour, Capacity: units * time.Hour}}
				}
				results, err := store.Take(t.Context(), batch)
				if err != nil {
					t.Error(err)
					return
				}
				for i, r := range results {
					asked[chosen[i]].Add(1)
					if r.Allowed {
						given[chosen[i]].Add(1)
					}
				}
				if w == 0 {
					if _, err := store.Sweep(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range given {
		if got, want := given[i].Load(), min(asked[i].Load(), units); got != want {
			t.Errorf("key %d: %d units given, want %d", i, got, want)
		}
	}
}

func TestLimitsSweep(t *testing.T) {
	t.Parallel()
	store := limits(t, pgtest.Database(t))
	charge := func(key string, cost time.Duration) limit.Request {
		return limit.Request{Charges: []limit.Charge{{Key: key, Cost: cost, Capacity: time.Hour}}}
	}
	batch := []limit.Request{charge("empty", time.Hour), charge("free", 0)}
	const short = 3000 // more blocks than are swept at once
	for i := range short {
		batch = append(batch, charge(fmt.Sprint("short", i), time.Microsecond))
	}
	if _, err := store.Take(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	n, err := store.Sweep(t.Context())
	if err != nil || n != short+1 {
		t.Errorf("swept %d, %v, want %d", n, err, short+1)
	}
	results, err := store.Take(t.Context(), []limit.Request{charge("empty", time.Hour), charge("short1", time.Hour)})
	if err != nil || results[0].Allowed || !results[1].Allowed {
		t.Errorf("after the sweep: %+v, %v; want that empty is refused and short1 allowed", results, err)
	}
}

// A server that dies: requests go by Down within the timeout, and soon without
// it; when it is back it decides again, with full buckets (the table is unlogged).
func TestLimitsWhileTheServerIsDown(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	store := limits(t, server.DSN("postgres"))
	var failures atomic.Int64
	c, err := limit.NewCluster(store, &limit.ClusterOptions{Timeout: 5 * time.Second, Pause: 100 * time.Millisecond, StoreFailed: func(err error) {
		failures.Add(1)
		if !errors.Is(err, banyan.ErrUnavailable) && !banyan.Stopped(err) {
			t.Errorf("error of another kind: %v", err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	l, err := limit.New([]limit.Rule{{Rate: limit.Rate{Count: 2, Per: 24 * time.Hour}, Down: limit.DownClosed}}, &limit.Options{Cluster: c})
	if err != nil {
		t.Fatal(err)
	}
	decide := func() limit.Decision { return l.Decide(httptest.NewRequest(http.MethodGet, "/", nil)) }
	if d := decide(); !d.Allowed || d.Err != nil {
		t.Fatalf("before: %+v", d)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		if d := decide(); d.Status != http.StatusServiceUnavailable || d.Err == nil {
			t.Fatalf("while it is down: status %d, %v, want 503 and an error", d.Status, d.Err)
		}
	}
	if n := failures.Load(); n < 3 || n > 100 {
		t.Errorf("%d calls of the dead store for 200 requests, want 3 and one in each pause", n)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for d := decide(); !d.Allowed; d = decide() {
		select {
		case <-ctx.Done():
			t.Fatalf("not back after 30 s: %+v", d)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if d := decide(); !d.Allowed || d.Err != nil {
		t.Errorf("the second after the crash: %+v, want that the bucket is full again", d)
	}
	if d := decide(); d.Status != http.StatusTooManyRequests || d.Err != nil {
		t.Errorf("the third after the crash: status %d, %v, want 429 by the store", d.Status, d.Err)
	}
}

// BenchmarkLimits is one busy process: 64 requests at a time of 10,000 clients.
func BenchmarkLimits(b *testing.B) {
	key := func(r *http.Request) string { return r.RemoteAddr }
	all, asked := processes(b, pgtest.Database(b), 1, limit.Rule{Rate: limit.Rate{Count: 1000, Per: time.Second}, Key: key})
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for pb.Next() {
			r.RemoteAddr = fmt.Sprint(rand.IntN(10_000))
			if d := all[0].Decide(r); d.Err != nil {
				b.Error(d.Err)
			}
		}
	})
	b.ReportMetric(float64(asked.requests.Load())/float64(asked.calls.Load()), "requests/call")
}
