package limit_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// oneRule is a limiter of one rule per client on a memory.
func oneRule(t tb, m *limit.Memory, r limit.Rate) *limit.Limiter {
	t.Helper()
	return newLimiter(t, &limit.Options{Memory: m}, limit.Rule{Rate: r, Key: byClient, Cost: byCost})
}

// At the bound the bucket that would be full first goes, whatever the order in
// which they came, and its client gets one burst too much at most.
func TestEvictionOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			const keys = 50
			memory := newMemory(t, keys)
			l := oneRule(t, memory, rate(t, "1/s burst 100"))
			random := rand.New(rand.NewPCG(seed, 0))
			costs := random.Perm(keys)
			for i, c := range costs {
				l.Decide(request(fmt.Sprint(i), 1))
				if c > 0 {
					l.Decide(request(fmt.Sprint(i), int64(c))) // a debt of c + 1: the heap has to notice
				}
			}
			if s := memory.Stats(); s.Keys != keys || s.Evicted != 0 {
				t.Fatalf("stats %+v, want all kept", s)
			}
			for n := range 10 { // newcomers with more debt than all
				if !l.Decide(request(fmt.Sprint("new", n), 100)).Allowed {
					t.Fatal("a newcomer was refused")
				}
			}
			if s := memory.Stats(); s.Keys != keys || s.Evicted != 10 {
				t.Errorf("stats %+v, want %d keys and 10 evicted", s, keys)
			}
			for i, c := range costs {
				// Who was kept has 100 - c - 1 left; who was evicted has 100.
				kept := !l.Decide(request(fmt.Sprint(i), int64(100-c))).Allowed
				if kept != (c >= 10) {
					t.Errorf("seed %d: the client with debt %d s: kept %t; want that the ten lowest are gone", seed, c+1, kept)
				}
				if kept && !l.Decide(request(fmt.Sprint(i), int64(99-c))).Allowed {
					t.Errorf("the client with debt %d s has lost something", c+1)
				}
				if c < 10 {
					break // its return has evicted another
				}
			}
		})
	}
}

// Full buckets go before others do, however many there are.
func TestFullBucketsGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, 1000)
		l := oneRule(t, memory, rate(t, "10/s burst 10"))
		for i := range 400 {
			l.Decide(request(fmt.Sprint("long", i), 10)) // full after 1 s
		}
		for round := range 9 {
			for i := range 500 {
				l.Decide(request(fmt.Sprint("short", round, i), 1)) // full after 100 ms
			}
			time.Sleep(100 * time.Millisecond)
		}
		if s := memory.Stats(); s.Evicted != 0 || s.Keys > 1000 {
			t.Errorf("stats %+v, want nothing evicted: 900 were not full at once at most", s)
		}
		for i := range 400 {
			if l.Decide(request(fmt.Sprint("long", i), 10)).Allowed {
				t.Fatalf("client %d was forgotten", i)
			}
		}
		time.Sleep(time.Second)
		for i := range 500 {
			l.Decide(request(fmt.Sprint("last", i), 1))
		}
		if s := memory.Stats(); s.Keys > 501 {
			t.Errorf("stats %+v, want that the full ones are gone", s)
		}
	})
}

// R34, R39: a million keys take what is stated, and ten million no more.
func TestMemoryIsBounded(t *testing.T) { //nolint:paralleltest // it measures the heap
	const keys, stated = 1 << 20, 52
	before := heap()
	memory := newMemory(t, keys)
	requests := make([]limit.Request, 1)
	at := 0
	fill := func(n int) {
		for range n {
			requests[0].Charges = []limit.Charge{{Key: fmt.Sprint(at), Cost: time.Hour, Capacity: time.Hour}}
			at++
			if _, err := memory.Take(t.Context(), requests); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(keys / 2)
	if s := memory.Stats(); s.Keys != keys/2 || s.Evicted != 0 {
		t.Errorf("stats %+v at half of the bound", s)
	}
	fill(keys)
	full := heap() - before
	fill(keys / 2)
	after := heap() - before
	s := memory.Stats()
	if s.Keys != keys || s.Evicted != keys || after > full+1<<20 || full > keys*stated {
		t.Errorf("stats %+v, %d bytes for each key, %d after as many others; want all %d keys and at most %d bytes", s, full/keys, after/keys, keys, stated)
	}
	t.Logf("%.1f bytes for each of %d keys", float64(full)/keys, keys)
	runtime.KeepAlive(memory)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Nobody gets a unit twice, however many ask at once, over several shards.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	memory := newMemory(t, 1<<17)
	l := newLimiter(t, &limit.Options{Memory: memory},
		limit.Rule{Name: "client", Rate: rate(t, "25000/7d"), Key: byClient},
		limit.Rule{Name: "all", Rate: rate(t, "150000/7d")})
	requests := make([]*http.Request, 10)
	for i := range requests {
		requests[i] = request(fmt.Sprint(i), 1)
	}
	passed := make([]atomic.Int64, len(requests))
	begin := time.Now()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 0))
			for range 100_000 {
				client := random.IntN(len(passed))
				if l.Decide(requests[client]).Allowed {
					passed[client].Add(1)
				}
			}
		})
	}
	wg.Wait()
	var each []int64
	sum := int64(0)
	for i := range passed {
		each = append(each, passed[i].Load())
		sum += passed[i].Load()
	}
	most := 150_000 + int64(time.Since(begin)/(7*24*time.Hour/150_000)) // one comes back every four seconds
	if sum < 150_000 || sum > most || slices.Max(each) > 25_000 {
		t.Errorf("came through: %v, %d together; want at most 25000 each and 150000 to %d together", each, sum, most)
	}
}

// R39: a greedy client gets all of its limit, and in no window more.
func TestGreedyClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const burst, perSecond, long = 20, 300, 20 * time.Second
		l := oneRule(t, nil, rate(t, "300/s burst 20"))
		passed := greedy(time.Millisecond, long, func() bool { return l.Decide(request("c", 1)).Allowed })
		wantWithin(t, passed, burst, time.Second/perSecond, 0)
		if least := int(long.Seconds()*perSecond) * 99 / 100; len(passed) < least {
			t.Errorf("%d came through, want at least %d", len(passed), least)
		}
	})
}

// A limiter that replaces another on the same memory goes on with its buckets,
// and a lower limit holds at once.
func TestReload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := newMemory(t, 10)
		l := oneRule(t, memory, rate(t, "1/h burst 20"))
		if !l.Decide(request("c", 15)).Allowed {
			t.Fatal("refused at first")
		}
		if oneRule(t, memory, rate(t, "1/h burst 20")).Decide(request("c", 6)).Allowed {
			t.Error("a new limiter has forgotten what was taken")
		}
		l = oneRule(t, memory, rate(t, "1/s burst 10"))
		if d := l.Decide(request("c", 3)); d.Allowed || d.RetryAfter != 3*time.Second {
			t.Errorf("after the change: allowed %t, retry after %s; want that the bucket is empty, no more", d.Allowed, d.RetryAfter)
		}
		time.Sleep(3 * time.Second)
		if !l.Decide(request("c", 3)).Allowed {
			t.Error("the old rule's debt outlived it")
		}
	})
}
