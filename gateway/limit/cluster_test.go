package limit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/limit"
)

// inCluster returns limiters of n processes with one rule.
func inCluster(t *testing.T, store limit.Store, n int, o limit.ClusterOptions, r limit.Rule) []*limit.Limiter {
	t.Helper()
	r.Key, r.Cost = byClient, byCost
	o.Processes = n
	var all []*limit.Limiter
	for range n {
		all = append(all, newLimiter(t, &limit.Options{Cluster: newCluster(t, store, &o)}, r))
	}
	return all
}

// R39: four processes together let a greedy client have all of its limit, and in
// no window more than that and its burst.
func TestClusterIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst, long = 200, 10, 20 * time.Second
		store := &fake{Store: newMemory(t, 10), delay: time.Millisecond}
		var decide []func() bool
		for _, l := range inCluster(t, store, 4, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "200/s burst 10")}) {
			decide = append(decide, func() bool { return l.Decide(request("c", 1)).Allowed })
		}
		passed := greedy(500*time.Microsecond, long, decide...)
		wantWithin(t, passed, burst, time.Second/perSecond, 1) // seen up to a call of the store later, so one closer
		if least := int(long.Seconds()*perSecond) * 99 / 100; len(passed) < least {
			t.Errorf("%d came through, want at least %d", len(passed), least)
		}
	})
}

// A client above its limit costs the store nothing, until it may have room again.
func TestRefusalsAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 10)}
		l := inCluster(t, store, 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "1/s burst 3")})[0]
		passed := 0
		for i := range 4000 {
			if l.Decide(request("c", 1)).Allowed {
				passed++
			}
			if i >= 1000 {
				time.Sleep(time.Millisecond)
			}
		}
		if calls := len(store.calls()); passed != 5 || calls != 8 {
			t.Errorf("%d came through with %d calls of the store, want 5 with 8: each refusal that it gave was its last for a second", passed, calls)
		}
	})
}

// Requests that come while a call is under way share the next one.
func TestRequestsShareACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 10), delay: 10 * time.Millisecond}
		l := inCluster(t, store, 1, limit.ClusterOptions{Batch: 40}, limit.Rule{Rate: rate(t, "70/h")})[0]
		var wg sync.WaitGroup
		var mu sync.Mutex
		passed := 0
		for range 100 {
			wg.Go(func() {
				d := l.Decide(request("c", 1))
				mu.Lock()
				defer mu.Unlock()
				if d.Allowed && d.Err == nil {
					passed++
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if diff := cmp.Diff([]int{1, 40, 40, 19}, store.calls()); diff != "" || passed != 70 {
			t.Errorf("%d came through, want 70; requests in calls (-want +got):\n%s", passed, diff)
		}
	})
}

// A lease adds at most itself for each process: that is reached, and not passed.
func TestLeaseBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const processes, burst, lease = 4, 100, 5
		all := inCluster(t, newMemory(t, 10), processes, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "100/m"), Lease: lease})
		for _, l := range all {
			for range 4 { // takes a lease besides, uses it but for one unit, and makes it whole
				l.Decide(request("c", 2))
			}
		}
		time.Sleep(time.Hour)
		passed := 0
		for range 100 {
			for _, l := range all {
				if l.Decide(request("c", 1)).Allowed {
					passed++
				}
			}
		}
		if most := burst + processes*lease; passed != most {
			t.Errorf("%d came through at once, want the burst and the leases, %d", passed, most)
		}
	})
}

func TestLeasesSaveCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 100)}
		l := inCluster(t, store, 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "1000/s"), Lease: 49})[0]
		for range 500 {
			if !l.Decide(request("c", 1)).Allowed {
				t.Fatal("refused within the limit")
			}
		}
		if got := len(store.calls()); got != 10 {
			t.Errorf("%d calls for 500 requests, want 10", got)
		}
	})
}

// Leases of a greedy client cost it nothing and give it no more than stated.
func TestGreedyClientWithLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst, lease, processes, long = 200, 40, 5, 4, 20 * time.Second
		var decide []func() bool
		for _, l := range inCluster(t, newMemory(t, 10), processes, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "200/s burst 40"), Lease: lease}) {
			decide = append(decide, func() bool { return l.Decide(request("c", 1)).Allowed })
		}
		passed := greedy(time.Millisecond, long, decide...)
		wantWithin(t, passed, burst, time.Second/perSecond, processes*lease)
		if least := int(long.Seconds()*perSecond) * 99 / 100; len(passed) < least {
			t.Errorf("%d came through, want at least %d", len(passed), least)
		}
	})
}

// More clients than there is room for leases go on without, and get the room
// when others' leases have ended.
func TestLeasesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 1000)}
		l := inCluster(t, store, 1, limit.ClusterOptions{Keys: 160}, limit.Rule{Rate: rate(t, "10/s"), Lease: 9})[0] // 10 leases
		twice := func(from int) int {
			before := len(store.calls())
			for i := range 20 {
				for range 2 {
					if !l.Decide(request(fmt.Sprint(from+i), 1)).Allowed {
						t.Fatal("refused within the limit")
					}
				}
			}
			return len(store.calls()) - before
		}
		if got := twice(0); got != 10+2*10 {
			t.Errorf("%d calls, want 30: one for each of ten leases, two for each of the others", got)
		}
		time.Sleep(2 * time.Second)
		if got := twice(100); got != 10+2*10 {
			t.Errorf("%d calls later, want 30: ten leases more", got)
		}
	})
}

// A request whose client goes before it was sent takes nothing.
func TestClientGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 10), delay: 10 * time.Millisecond}
		l := inCluster(t, store, 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "2/h"), Down: limit.DownClosed})[0]
		var wg sync.WaitGroup
		wg.Go(func() { l.Decide(request("c", 1)) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if d := l.Decide(request("c", 1).WithContext(ctx)); !errors.Is(d.Err, context.Canceled) {
				t.Errorf("got %v, want canceled", d.Err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if d := l.Decide(request("c", 1)); !d.Allowed {
			t.Error("the client that has gone has taken something")
		}
		if diff := cmp.Diff([]int{1, 1}, store.calls()); diff != "" {
			t.Errorf("requests in calls (-want +got):\n%s", diff)
		}
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	c := newCluster(t, newMemory(t, 10), nil)
	l := newLimiter(t, &limit.Options{Cluster: c}, limit.Rule{Rate: rate(t, "1/h"), Down: limit.DownClosed})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if d := l.Decide(request("c", 1)); !errors.Is(d.Err, banyan.ErrClosed) || d.Status != http.StatusServiceUnavailable {
		t.Errorf("after Close: status %d, %v, want 503, closed", d.Status, d.Err)
	}
}

// Clients' keys reach the store as hashes of one size, and differ by rule.
func TestKeysAreHashed(t *testing.T) {
	t.Parallel()
	store := &recording{Store: newMemory(t, 10)}
	l := newLimiter(t, &limit.Options{Cluster: newCluster(t, store, nil)},
		limit.Rule{Name: "a", Rate: rate(t, "9/h"), Key: byClient}, limit.Rule{Name: "b", Rate: rate(t, "9/h"), Key: byClient})
	for _, client := range []string{"", "secret", "\x00\xff", strings.Repeat("x", 10_000)} {
		l.Decide(request(client, 1))
	}
	seen := map[string]bool{}
	for _, r := range store.requests {
		for _, c := range r.Charges {
			if seen[c.Key] || len(c.Key) != 16 || strings.Contains(c.Key, "secret") {
				t.Errorf("key %q: want 16 bytes that nobody else has", c.Key)
			}
			seen[c.Key] = true
		}
	}
	if len(seen) != 8 {
		t.Errorf("%d keys, want 8", len(seen))
	}
}

type recording struct {
	limit.Store
	requests []limit.Request
}

func (r *recording) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	r.requests = append(r.requests, requests...)
	return r.Store.Take(ctx, requests)
}
