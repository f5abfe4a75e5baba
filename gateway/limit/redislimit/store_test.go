package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

func charge(key string, cost, extra, capacity time.Duration) limit.Charge {
	return limit.Charge{Key: key, Cost: cost, Extra: extra, Capacity: capacity}
}

func request(charges ...limit.Charge) limit.Request { return limit.Request{Charges: charges} }

// one takes a batch with one request.
func one(t testing.TB, s *redislimit.Store, charges ...limit.Charge) limit.Result {
	t.Helper()
	r, err := s.Take(t.Context(), []limit.Request{request(charges...)})
	if err != nil {
		t.Fatal(err)
	}
	return r[0]
}

// batch draws requests whose charges are hours, so that what passes during the
// test does not matter.
func batch(t *rapid.T, run int64) []limit.Request {
	hours := func(what string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, what)) * time.Hour
	}
	var requests []limit.Request
	for range rapid.IntRange(1, 8).Draw(t, "requests") {
		var r limit.Request
		for _, key := range rapid.SliceOfNDistinct(rapid.IntRange(0, 11), 0, 4, rapid.ID).Draw(t, "keys") {
			// Capacities differ from one request to the next: a rule was changed.
			capacity := time.Duration(10+5*key) * time.Hour * time.Duration(rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "capacity"))
			extra := hours("extra", 20) * time.Duration(rapid.IntRange(0, 1).Draw(t, "has extra"))
			r.Charges = append(r.Charges, charge(fmt.Sprintf("\x00\xff\r\n%d-%d", run, key), hours("cost", 4), extra, capacity))
		}
		requests = append(requests, r)
	}
	return requests
}

// The script decides as limit.Memory does, whose decisions are checked against a
// model: batches with several charges, buckets in common, and extra.
func TestStoreDecidesAsMemoryDoes(t *testing.T) {
	t.Parallel()
	store := open(t, startServer(t).url(), nil)
	var run, allowed, refused atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		run := run.Add(1) // buckets of its own
		memory, err := limit.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 10).Draw(t, "batches") {
			requests := batch(t, run)
			got, err := store.Take(context.Background(), requests)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := memory.Take(context.Background(), requests)
			for i, w := range want {
				if w.Allowed {
					allowed.Add(1)
				} else {
					refused.Add(1)
				}
				if diff := differ(got[i], w); diff != "" {
					t.Fatalf("%+v: %s", requests[i], diff)
				}
			}
		}
	})
	if allowed.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d allowed and %d refused: the test compares nothing", allowed.Load(), refused.Load())
	}
}

// differ compares to a minute.
func differ(got, want limit.Result) string {
	if got.Allowed != want.Allowed || len(got.Levels) != len(want.Levels) {
		return fmt.Sprintf("got %+v, want %+v", got, want)
	}
	for i, w := range want.Levels {
		if g := got.Levels[i]; (g.Debt-w.Debt).Abs() > time.Minute || (g.Extra-w.Extra).Abs() > time.Minute {
			return fmt.Sprintf("level %d: got %+v, want %+v", i, g, w)
		}
	}
	return ""
}

// Debts are kept to the nanosecond: what came back is a whole number of
// microseconds, those of the server's clock, for the longest debts too.
func TestStoreIsExact(t *testing.T) {
	t.Parallel()
	store := open(t, startServer(t).url(), nil)
	for i, cost := range []time.Duration{
		redislimit.MostCapacity - 1, 100*24*time.Hour + 123_456_789, 8_388_609*time.Second - 1,
		time.Hour + 1, time.Minute + 999_999_999, 61*time.Second - 1,
	} {
		key := strconv.Itoa(i)
		first := one(t, store, charge(key, cost, 0, redislimit.MostCapacity))
		if !first.Allowed || first.Levels[0].Debt != cost {
			t.Errorf("cost %d: got %+v, want that debt", cost, first)
		}
		for range 3 {
			debt := one(t, store, charge(key, 0, 0, redislimit.MostCapacity)).Levels[0].Debt
			if back := cost - debt; back%time.Microsecond != 0 || back <= 0 || back > 30*time.Second {
				t.Errorf("cost %d: %d ns came back, want a few µs, whole ones", cost, back)
			}
			// What is charged next is computed from what was stored.
			cost = one(t, store, charge(key, 0, 7, redislimit.MostCapacity)).Levels[0].Debt
		}
	}
}

// A bucket is as long in the server as it is not full, and a second.
func TestStoreExpires(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	store := open(t, server.url(), &redislimit.Options{Prefix: "shop"})
	one(t, store, charge("free", 0, 0, time.Hour), charge("busy", time.Minute, 0, time.Hour), charge("brief", 1, 0, time.Hour))
	raw := server.raw()
	for key, most := range map[string]time.Duration{"{shop}:busy": 61 * time.Second, "{shop}:brief": 1001 * time.Millisecond} {
		left, err := raw.PTTL(t.Context(), key).Result()
		if err != nil || left > most || left < most-30*time.Second {
			t.Errorf("%q expires in %s, %v; want %s", key, left, err, most)
		}
	}
	if n := raw.Exists(t.Context(), "{shop}:free").Val(); n != 0 {
		t.Error("a bucket that is full takes memory")
	}
	used := raw.MemoryUsage(t.Context(), "{shop}:busy").Val()
	t.Logf("a bucket takes %d bytes", used)
	if one(t, store, charge("busy", time.Hour, 0, time.Hour)).Allowed {
		t.Error("the busy bucket is full")
	}
}

// R44: the server's clock is set by ten minutes. Only the difference between it
// and what is stored counts, so that moving what is stored does the same.
func TestStoreWhenTheClockIsSet(t *testing.T) {
	t.Parallel()
	const burst = 5
	server := startServer(t)
	store := open(t, server.url(), &redislimit.Options{Prefix: "p"})
	raw := server.raw()
	set := func(by time.Duration) {
		var sec, ns int64
		if _, err := fmt.Sscan(raw.Get(t.Context(), "{p}:k").Val(), &sec, &ns); err != nil {
			t.Fatal(err)
		}
		if err := raw.Set(t.Context(), "{p}:k", fmt.Sprint(sec-int64(by/time.Second), ns), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	take := func() (passed int, debt time.Duration) {
		for range 20 {
			r := one(t, store, charge("k", time.Minute, 0, burst*time.Minute))
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

// Batches of several processes have buckets in common: no unit is given twice.
func TestStoreConcurrently(t *testing.T) {
	t.Parallel()
	const workers, rounds, keys, units = 6, 60, 100, 60
	server := startServer(t)
	var asked, given [keys]atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		store := open(t, server.url(), nil)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range rounds {
				requests := make([]limit.Request, 60)
				chosen := make([]int, len(requests))
				for i := range requests {
					chosen[i] = random.IntN(keys)
					requests[i] = request(charge(fmt.Sprint(chosen[i]), time.Hour, 0, units*time.Hour))
				}
				results, err := store.Take(t.Context(), requests)
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

// Batches beyond what Lua can hold on its stack, none, and requests of nothing.
func TestStoreTakesAnySize(t *testing.T) {
	t.Parallel()
	store := open(t, startServer(t).url(), nil)
	var requests []limit.Request
	for i := range 5000 {
		requests = append(requests, request(charge(fmt.Sprint("a", i), time.Hour, 0, time.Hour), charge(fmt.Sprint("b", i/2), time.Hour, 0, time.Hour)), request())
	}
	results, err := store.Take(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if want := i%4 != 2; r.Allowed != want { // of two neighbours the first has b
			t.Fatalf("request %d: got %+v, want allowed %t", i, r, want)
		}
	}
	for _, few := range [][]limit.Request{nil, {}, {request(), request()}} {
		results, err := store.Take(t.Context(), few)
		if err != nil || len(results) != len(few) {
			t.Errorf("%d requests without charges: %+v, %v", len(few), results, err)
		}
		for _, r := range results {
			if !r.Allowed {
				t.Error("a request without charges was refused")
			}
		}
	}
}

func TestStoreRefusesWhatItCannotCount(t *testing.T) {
	t.Parallel()
	store := open(t, startServer(t).url(), nil)
	for _, c := range []limit.Charge{
		charge("k", -1, 0, time.Hour), charge("k", 0, -1, time.Hour),
		charge("k", 2, 0, 1), charge("k", 1, 0, redislimit.MostCapacity+1),
	} {
		if _, err := store.Take(t.Context(), []limit.Request{request(c)}); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%+v: got %v, want it invalid", c, err)
		}
	}
	if r := one(t, store, charge("k", 1, 1<<62, time.Hour)); !r.Allowed || r.Levels[0].Extra != time.Hour-1 {
		t.Errorf("as much as there is: got %+v, want an hour but 1 ns", r)
	}
}

// The server forgot the script: it is sent again, and the buckets are as before.
func TestStoreSendsTheScriptAgain(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	store := open(t, server.url(), nil)
	one(t, store, charge("k", time.Hour, 0, time.Hour))
	server.do("SCRIPT", "FLUSH")
	if one(t, store, charge("k", time.Hour, 0, time.Hour)).Allowed {
		t.Error("the bucket is full after the script was sent again")
	}
	if sent := server.do("INFO", "commandstats").(string); !strings.Contains(sent, "cmdstat_evalsha:") {
		t.Error("the script goes over the wire with each call")
	}
}
