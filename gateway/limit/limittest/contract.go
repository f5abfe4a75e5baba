package limittest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// decisions are those of limit.Memory, which are checked against a model: batches
// with several charges, buckets in common, and extra.
func decisions(t testing.TB, h Harness) {
	store := h.New(t).Open(t)
	var allowed, refused int
	for sequence := range uint64(100) {
		random := rand.New(rand.NewPCG(sequence, 39))
		memory, err := limit.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(10) {
			requests := batch(random, sequence)
			got, want := takeAll(t, store, requests), takeAll(t, memory, requests)
			for i, w := range want {
				if w.Allowed {
					allowed++
				} else {
					refused++
				}
				if d := differ(got[i], w); d != "" {
					t.Fatalf("sequence %d: %+v: %s", sequence, requests[i], d)
				}
			}
		}
	}
	if allowed == 0 || refused == 0 {
		t.Errorf("%d allowed and %d refused: the test compares nothing", allowed, refused)
	}
}

// batch returns requests whose charges are hours, so that what passes during the
// test does not matter. Each sequence has its own buckets, and their capacities
// differ from one request to the next, as when a rule was changed.
func batch(random *rand.Rand, sequence uint64) []limit.Request {
	requests := make([]limit.Request, 1+random.IntN(8))
	for i := range requests {
		for _, key := range random.Perm(12)[:random.IntN(5)] {
			requests[i].Charges = append(requests[i].Charges, limit.Charge{
				Key:      fmt.Sprintf("\x00\xff\r\n%d-%d", sequence, key),
				Cost:     time.Duration(random.IntN(5)) * time.Hour,
				Extra:    time.Duration(random.IntN(2)*random.IntN(21)) * time.Hour,
				Capacity: time.Duration((10+5*key)*(1+random.IntN(4)/3)) * time.Hour,
			})
		}
	}
	return requests
}

// differ compares to a minute.
func differ(got, want limit.Result) string {
	if got.Allowed != want.Allowed {
		return fmt.Sprintf("got %+v, want %+v", got, want)
	}
	for i, w := range want.Levels {
		if g := got.Levels[i]; (g.Debt-w.Debt).Abs() > time.Minute || (g.Extra-w.Extra).Abs() > time.Minute {
			return fmt.Sprintf("level %d: got %+v, want %+v", i, g, w)
		}
	}
	return ""
}

// debts are kept to the nanosecond, and come back as time passes.
func debts(t testing.TB, h Harness) {
	store := h.New(t).Open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	const most = 100 * 24 * time.Hour
	for i, cost := range []time.Duration{time.Hour + 1, 61*time.Second - 1, 99*24*time.Hour + 123_456_789, most} {
		key := fmt.Sprint(i)
		began := time.Now()
		first := Take(t, store, Request(key, cost, 0, most))
		if !first.Allowed || first.Levels[0].Debt != cost {
			t.Errorf("cost %d: got %+v, want that debt", cost, first)
		}
		for previous := cost; previous > cost-time.Millisecond; {
			debt := Take(t, store, Request(key, 0, 0, most)).Levels[0].Debt
			// The clocks are two, and go alike but for a second.
			if back := cost - debt; debt > previous || back > time.Since(began)+time.Second {
				t.Fatalf("cost %d: %s came back in %s, and %s before", cost, back, time.Since(began), cost-previous)
			}
			if previous = debt; ctx.Err() != nil {
				t.Fatalf("cost %d: %s came back in %s", cost, cost-debt, time.Since(began))
			}
		}
	}
}

// anySize: large batches, none, and requests of nothing.
func anySize(t testing.TB, h Harness) {
	store := h.New(t).Open(t)
	var requests []limit.Request
	for i := range 5000 {
		both := append(Request(fmt.Sprint("a", i), time.Hour, 0, time.Hour).Charges, Request(fmt.Sprint("b", i/2), time.Hour, 0, time.Hour).Charges...)
		requests = append(requests, limit.Request{Charges: both}, limit.Request{})
	}
	for i, r := range takeAll(t, store, requests) {
		if want := i%4 != 2; r.Allowed != want { // of two neighbours the first has b
			t.Fatalf("request %d: got %+v, want allowed %t", i, r, want)
		}
	}
	for _, few := range [][]limit.Request{nil, {}, {{}, {}}} {
		for _, r := range takeAll(t, store, few) {
			if !r.Allowed {
				t.Error("a request without charges was refused")
			}
		}
	}
}

// concurrency: batches of several processes have buckets in common, in any order.
// They meet no deadlock, and no unit is given twice.
func concurrency(t testing.TB, h Harness) {
	const workers, rounds, keys, units = 6, 60, 100, 60
	server := h.New(t)
	var asked, given [keys]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		store := server.Open(t)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range rounds {
				requests := make([]limit.Request, 60)
				chosen := make([]int, len(requests))
				for i := range requests {
					chosen[i] = random.IntN(keys)
					requests[i] = Request(fmt.Sprint(chosen[i]), time.Hour, 0, units*time.Hour)
				}
				results, err := store.Take(t.Context(), requests)
				if err != nil || len(results) != len(requests) {
					t.Errorf("%d results for %d requests, %v", len(results), len(requests), err)
					return
				}
				for i, r := range results {
					asked[chosen[i]].Add(1)
					if r.Allowed {
						given[chosen[i]].Add(1)
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

// clock: R44, the server's is set by ten minutes. Only the difference between it
// and what is stored counts, so that moving what is stored does the same.
func clock(t testing.TB, h Harness) {
	const burst = 5
	server := h.New(t)
	if server.Shift == nil {
		t.Skip("Server.Shift is nil")
	}
	store := server.Open(t)
	take := func() (passed int, debt time.Duration) {
		for range 20 {
			r := Take(t, store, Request("k", time.Minute, 0, burst*time.Minute))
			if r.Allowed {
				passed++
			}
			debt = r.Levels[0].Debt
		}
		return passed, debt
	}
	if passed, _ := take(); passed != burst {
		t.Fatalf("%d came through at first, want %d", passed, burst)
	}
	server.Shift(t, 10*time.Minute)
	if passed, _ := take(); passed != burst {
		t.Errorf("%d came through after the clock was set forward, want one burst, %d", passed, burst)
	}
	server.Shift(t, -10*time.Minute)
	passed, debt := take()
	if passed != 0 || debt > burst*time.Minute {
		t.Errorf("%d came through after the clock was set back, and the bucket lacks %s; want 0 and at most %s", passed, debt, burst*time.Minute)
	}
	server.Shift(t, time.Minute+time.Second) // the time of one unit passes
	if passed, _ := take(); passed != 1 {
		t.Errorf("%d came through a minute after the clock was set back, want 1", passed)
	}
}
