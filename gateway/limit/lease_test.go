package limit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// A lease is in units of the rule that uses it: after a reload with another rate
// or lease, what was taken before is worth no more than the new lease.
func TestLeaseOfAnotherRate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		old, now limit.Rule
		most     int // at once, by the new rule: its burst and its lease
	}{
		{"faster", limit.Rule{Rate: rate(t, "1/m burst 50"), Lease: 40}, limit.Rule{Rate: rate(t, "100/s"), Lease: 10}, 110},
		{"smaller lease", limit.Rule{Rate: rate(t, "1/m burst 50"), Lease: 40}, limit.Rule{Rate: rate(t, "1/m burst 50"), Lease: 1}, 51},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, newMemory(t, 10), nil)
			before, after := newLimiter(t, &limit.Options{Cluster: c}, tt.old), newLimiter(t, &limit.Options{Cluster: c}, tt.now)
			if !before.Decide(request("c", 1)).Allowed {
				t.Fatal("refused within the limit")
			}
			time.Sleep(24 * time.Hour) // the bucket is full again
			passed := 0
			for after.Decide(request("c", 1)).Allowed {
				passed++
			}
			if passed > tt.most {
				t.Errorf("%s: %d came through at once, want %d at most", tt.name, passed, tt.most)
			}
		})
	}
}

// A store is never asked to take a negative amount, which would give units back,
// or fail the requests of everybody in the batch.
func TestLeaseAsksForNothingNegative(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, &strict{newMemory(t, 10)}, nil)
		r := limit.Rule{Rate: rate(t, "1/m burst 50"), Lease: 40, Cost: byCost}
		before := newLimiter(t, &limit.Options{Cluster: c}, r)
		r.Lease = 1
		after := newLimiter(t, &limit.Options{Cluster: c}, r)
		for _, l := range []*limit.Limiter{before, after} {
			time.Sleep(time.Hour)
			if d := l.Decide(request("c", 45)); d.Err != nil {
				t.Error(d.Err)
			}
			if d := l.Decide(request("c", 0)); d.Err != nil {
				t.Error(d.Err)
			}
			time.Sleep(time.Hour)
			if d := l.Decide(request("c", 1)); d.Err != nil {
				t.Error(d.Err)
			}
		}
	})
}

// strict is a store that refuses what the contract does not allow.
type strict struct{ limit.Store }

func (s *strict) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	for _, r := range requests {
		for _, c := range r.Charges {
			if c.Cost < 0 || c.Extra < 0 || c.Cost > c.Capacity {
				return nil, errors.New("a negative amount")
			}
		}
	}
	return s.Store.Take(ctx, requests)
}
