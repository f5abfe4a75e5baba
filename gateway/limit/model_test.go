package limit_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/gateway/limit"
)

// leaky is the other definition of the algorithm (ITU-T I.371, annex A): a
// bucket that leaks continuously. It counts units in fractions, where the code
// counts nanoseconds to the time when the bucket is full.
type leaky struct {
	interval time.Duration // in which one unit leaks
	size     int64         // units
	content  map[string]*big.Rat
	last     map[string]time.Time
}

func newLeaky(r limit.Rate) *leaky {
	interval := r.Per / time.Duration(r.Count)
	if r.Per%time.Duration(r.Count) != 0 {
		interval++ // as Rate.Count says
	}
	return &leaky{interval: interval, size: r.Burst, content: map[string]*big.Rat{}, last: map[string]time.Time{}}
}

// at returns what is in the bucket.
func (l *leaky) at(key string, now time.Time) *big.Rat {
	content := l.content[key]
	if content == nil {
		return new(big.Rat)
	}
	leaked := big.NewRat(int64(now.Sub(l.last[key])), int64(l.interval))
	if leaked.Cmp(content) >= 0 {
		return new(big.Rat)
	}
	return new(big.Rat).Sub(content, leaked)
}

func (l *leaky) fits(key string, cost int64, now time.Time) bool {
	after := new(big.Rat).Add(l.at(key, now), big.NewRat(cost, 1))
	return after.Cmp(big.NewRat(l.size, 1)) <= 0
}

func (l *leaky) pour(key string, cost int64, now time.Time) {
	l.content[key] = l.at(key, now).Add(l.at(key, now), big.NewRat(cost, 1))
	l.last[key] = now
}

// wait is how long it takes until the cost fits, to a nanosecond.
func (l *leaky) wait(key string, cost int64, now time.Time) time.Duration {
	over := new(big.Rat).Add(l.at(key, now), big.NewRat(cost-l.size, 1))
	over.Mul(over, big.NewRat(int64(l.interval), 1))
	ns := new(big.Int).Div(new(big.Int).Add(over.Num(), new(big.Int).Sub(over.Denom(), big.NewInt(1))), over.Denom())
	return max(time.Duration(ns.Int64()), 0)
}

func drawRate(t *rapid.T, name string) limit.Rate {
	return limit.Rate{
		Count: rapid.Int64Range(1, 1000).Draw(t, name+" count"),
		Per:   time.Duration(rapid.Int64Range(1_000_000, int64(time.Hour)).Draw(t, name+" per")),
		Burst: rapid.Int64Range(1, 20).Draw(t, name+" burst"),
	}
}

// checkModel lets random clients send random requests to a limiter and to the
// model, and compares. Retry-After is exact in one process; one of a cluster may
// not know what others took since.
func checkModel(t *rapid.T, rates []limit.Rate, exact bool, decide func(client string, cost int64) limit.Decision) {
	models := make([]*leaky, len(rates))
	for i, r := range rates {
		models[i] = newLeaky(r)
	}
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		client := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "client")
		cost := rapid.Int64Range(0, 25).Draw(t, "cost")
		time.Sleep(drawPause(t, models[rapid.IntRange(0, len(models)-1).Draw(t, "pause of")]))
		now := time.Now()
		fits, never, wait := true, false, time.Duration(0)
		for _, m := range models {
			fits = fits && m.fits(client, cost, now)
			never = never || cost > m.size
			wait = max(wait, m.wait(client, cost, now))
		}
		if never {
			wait = 0
		}
		d := decide(client, cost)
		if !exact && d.RetryAfter > 0 && d.RetryAfter < wait {
			wait = d.RetryAfter
		}
		if d.Allowed != fits || d.RetryAfter != wait || never != (d.Status == 403) || d.Err != nil {
			t.Fatalf("cost %d by %s: allowed %t, status %d, retry after %s, error %v; the model says %t, never %t, %s", cost, client, d.Allowed, d.Status, d.RetryAfter, d.Err, fits, never, wait)
		}
		if fits {
			for _, m := range models {
				m.pour(client, cost, now)
			}
		}
	}
}

// drawPause prefers times at which a unit just comes back, or just does not.
func drawPause(t *rapid.T, m *leaky) time.Duration {
	switch rapid.IntRange(0, 3).Draw(t, "kind of pause") {
	case 0:
		return 0
	case 1:
		return m.interval*time.Duration(rapid.Int64Range(1, m.size).Draw(t, "units")) + time.Duration(rapid.Int64Range(-1, 1).Draw(t, "ns"))
	default:
		return time.Duration(rapid.Int64Range(0, int64(m.interval)*m.size).Draw(t, "pause"))
	}
}

func rules(rates []limit.Rate) []limit.Rule {
	rules := make([]limit.Rule, len(rates))
	for i, r := range rates {
		rules[i] = limit.Rule{Name: fmt.Sprint(i), Rate: r, Key: byClient, Cost: byCost}
	}
	return rules
}

// R39: 0 differences between the code and an independent model, for one rule and
// for several that consume all or none.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var rates []limit.Rate
		for i := range rapid.IntRange(1, 3).Draw(rt, "rules") {
			rates = append(rates, drawRate(rt, fmt.Sprint(i)))
		}
		rapid.SyncTest(rt, func(rt *rapid.T) {
			l := newLimiter(rt, nil, rules(rates)...)
			checkModel(rt, rates, true, func(client string, cost int64) limit.Decision { return l.Decide(request(client, cost)) })
		})
	})
}

// The same for a cluster on a memory: the way through batches, remembered
// refusals and hashed keys changes no answer.
func TestModelOfCluster(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rates := []limit.Rate{drawRate(rt, "0"), drawRate(rt, "1")}
		rapid.SyncTest(rt, func(rt *rapid.T) {
			store := newMemory(rt, 100)
			var all []*limit.Limiter
			for range 3 {
				all = append(all, newLimiter(rt, &limit.Options{Cluster: newCluster(rt, store, nil)}, rules(rates)...))
			}
			checkModel(rt, rates, false, func(client string, cost int64) limit.Decision {
				return all[rapid.IntRange(0, 2).Draw(rt, "process")].Decide(request(client, cost))
			})
		})
	})
}

// Buckets that are full again are dropped first, and dropping them loses nothing:
// with room for the buckets in use only, all answers are those of the model.
func TestModelWithLittleMemory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := limit.Rate{Count: 1, Per: time.Second, Burst: 2}
		rapid.SyncTest(rt, func(rt *rapid.T) {
			memory := newMemory(rt, 6) // at one request in 400 ms at most 6 are not full
			l := newLimiter(rt, &limit.Options{Memory: memory}, rules([]limit.Rate{r})...)
			model := newLeaky(r)
			for range rapid.IntRange(1, 200).Draw(rt, "steps") {
				time.Sleep(time.Duration(rapid.IntRange(400, 500).Draw(rt, "pause")) * time.Millisecond)
				client := fmt.Sprint(rapid.IntRange(0, 30).Draw(rt, "client"))
				now := time.Now()
				fits := model.fits(client, 1, now)
				if got := l.Decide(request(client, 1)).Allowed; got != fits {
					rt.Fatalf("%s at %s: allowed %t, the model says %t", client, now, got, fits)
				}
				if fits {
					model.pour(client, 1, now)
				}
			}
			if s := memory.Stats(); s.Evicted != 0 || s.Keys > 6 {
				rt.Errorf("stats %+v, want nothing evicted and at most 6 keys", s)
			}
		})
	})
}
