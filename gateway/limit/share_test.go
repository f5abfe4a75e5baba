package limit_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// A store that is almost too slow decides some requests, and the share of this
// process the others: what the one lets through the other does not give again.
func TestSlowStoreDoesNotDoubleTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const perSecond, burst, long = 100, 10, 20 * time.Second
		store := &fake{Store: newMemory(t, 10), delay: 30 * time.Millisecond} // of 50 ms
		l := inCluster(t, store, 1, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "100/s burst 10")})[0]
		var mu sync.Mutex
		var wg sync.WaitGroup
		passed, byShare := 0, 0
		began := time.Now()
		for range 20 {
			wg.Go(func() {
				for time.Since(began) < long {
					d := l.Decide(request("c", 1))
					mu.Lock()
					if d.Allowed {
						passed++
						if d.Err != nil {
							byShare++
						}
					}
					mu.Unlock()
					time.Sleep(7 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		most := int(long.Seconds()*perSecond) + 3*burst
		if passed > most || passed < int(long.Seconds()*perSecond)*99/100 {
			t.Errorf("%d came through, %d of them by the share, want %d at most and 99 %%", passed, byShare, most)
		}
	})
}

// When the store goes down a client has of its share what it has not used yet.
func TestShareKnowsWhatTheStoreAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, lease := range []int64{0, 3} {
			store := &fake{Store: newMemory(t, 10)}
			l := inCluster(t, store, 2, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "20/h"), Lease: lease})[0]
			for range 4 {
				if d := l.Decide(request("c", 1)); !d.Allowed || d.Err != nil {
					t.Fatalf("within the limit: %+v", d)
				}
			}
			store.set(http.ErrServerClosed, 0)
			passed := 0
			for range 20 {
				if d := l.Decide(request("c", 1)); d.Allowed && d.Err != nil {
					passed++
				}
			}
			if passed > 6 || passed == 0 {
				t.Errorf("lease %d: %d came through by the share of 10, of which 4 were used", lease, passed)
			}
			store.set(nil, 0)
			time.Sleep(24 * time.Hour)
		}
	})
}

// A request that costs more than the share of a process cannot pass by it, however
// long it waits: it is told that the store is down, and not a time that is wrong.
func TestCostAboveTheShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fake{Store: newMemory(t, 10), err: http.ErrServerClosed}
		l := inCluster(t, store, 4, limit.ClusterOptions{}, limit.Rule{Rate: rate(t, "10/h")})[0]
		if d := l.Decide(request("c", 3)); d.Allowed || d.Status != http.StatusServiceUnavailable || d.RetryAfter != time.Second || d.Rule != "default" {
			t.Errorf("3 units of a share of 2.5: %+v, want 503 and the pause", d)
		}
		if d := l.Decide(request("c", 2)); !d.Allowed {
			t.Errorf("2 units of 2.5: %+v; the refused request has taken something", d)
		}
		if d := l.Decide(request("c", 11)); d.Status != http.StatusForbidden {
			t.Errorf("more than the whole bucket: %+v, want 403", d)
		}
		store.set(nil, 0)
		time.Sleep(2 * time.Second)
		if d := l.Decide(request("c", 3)); !d.Allowed || d.Err != nil {
			t.Errorf("with the store back: %+v", d)
		}
	})
}

// A structured field has integers of 15 digits at most (RFC 9651 §3.3.1), so what
// could not be said in a header is no rate.
func TestRateFitsItsHeader(t *testing.T) {
	t.Parallel()
	if r, err := limit.ParseRate("9000000000000000/36500d burst 10"); err == nil {
		t.Errorf("got %s, want an error", r)
	}
	if _, err := limit.ParseRate("999999999999999/36500d burst 10"); err != nil {
		t.Error(err)
	}
}
