package redislimit_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/limittest"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

func charge(key string, cost, extra, capacity time.Duration) limit.Charge {
	return limit.Charge{Key: key, Cost: cost, Extra: extra, Capacity: capacity}
}

func request(charges ...limit.Charge) limit.Request { return limit.Request{Charges: charges} }

func one(t testing.TB, s *redislimit.Store, charges ...limit.Charge) limit.Result {
	t.Helper()
	return limittest.Take(t, s, request(charges...))
}

// limitServer is a server that processes share. It saves nothing, so that a restart
// makes all buckets full.
func limitServer(t testing.TB) limittest.Server {
	server := startServer(t)
	return limittest.Server{
		Open:  func(t testing.TB) limit.Store { return open(t, server.url(), &redislimit.Options{Prefix: "p"}) },
		Shift: server.shift,
		Kill:  func(testing.TB) { server.kill() },
		Start: func(t testing.TB) {
			if !server.start() {
				t.Fatal(server.output())
			}
		},
		Forgets: true,
	}
}

// shift moves what the buckets of limitServer hold back by so many seconds.
func (s *server) shift(t testing.TB, by time.Duration) {
	t.Helper()
	raw := s.raw()
	for _, key := range raw.Keys(t.Context(), "{p}:*").Val() {
		var sec, ns int64
		if _, err := fmt.Sscan(raw.Get(t.Context(), key).Val(), &sec, &ns); err != nil {
			t.Fatal(err)
		}
		if err := raw.Set(t.Context(), key, fmt.Sprint(sec-int64(by/time.Second), ns), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	limittest.Run(t, limittest.Harness{New: limitServer, Mortal: limitServer})
}

// R39.
func TestLimitIsExactAcrossProcesses(t *testing.T) {
	t.Parallel()
	limittest.Exact(t, limitServer, 3*time.Second, nil)
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
