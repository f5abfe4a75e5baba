package limit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// While a new rate is rolled out some processes have the old one and some the new.
// A client that asks both in turn has at most what the two rates give together: the
// smaller bucket does not cut what the other one is owed.
func TestTwoRatesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory(t, 10)
		before := newLimiter(t, &limit.Options{Cluster: newCluster(t, shared, nil)}, limit.Rule{Rate: rate(t, "100/h")})
		after := newLimiter(t, &limit.Options{Cluster: newCluster(t, shared, nil)}, limit.Rule{Rate: rate(t, "5/s")})
		passed := [2]int{}
		for range 50 {
			for range 40 {
				if before.Decide(request("c", 1)).Allowed {
					passed[0]++
				}
			}
			if after.Decide(request("c", 1)).Allowed {
				passed[1]++
			}
			time.Sleep(time.Second)
		}
		if passed[0] > 102 || passed[0] < 100 || passed[1] != 50 {
			t.Errorf("%d and %d came through in 50 s, want 100 to 102 at 100/h, and 50 of 5/s", passed[0], passed[1])
		}
	})
}

// A process whose rate is changed, as by a reload, has one burst more at most.
func TestRateOfAClusterChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, newMemory(t, 10), nil)
		passed := 0
		for _, text := range []string{"20/h", "10/h", "20/h", "10/h"} {
			l := newLimiter(t, &limit.Options{Cluster: c}, limit.Rule{Rate: rate(t, text)})
			for range 50 {
				if l.Decide(request("c", 1)).Allowed {
					passed++
				}
			}
		}
		if passed > 30 {
			t.Errorf("%d came through at once, want 20 and 10 at most", passed)
		}
	})
}
