package limit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/gateway/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tb is what testing.TB and rapid.T have in common, as far as it is needed.
type tb interface {
	Helper()
	Error(...any)
	Fatal(...any)
	Cleanup(func())
}

// rate is ParseRate for texts that are right.
func rate(t tb, text string) limit.Rate {
	t.Helper()
	r, err := limit.ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newLimiter(t tb, o *limit.Options, rules ...limit.Rule) *limit.Limiter {
	t.Helper()
	l, err := limit.New(rules, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newMemory(t tb, keys int) *limit.Memory {
	t.Helper()
	m, err := limit.NewMemory(&limit.MemoryOptions{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newCluster(t tb, s limit.Store, o *limit.ClusterOptions) *limit.Cluster {
	t.Helper()
	c, err := limit.NewCluster(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// byClient and byCost read what the tests put into a request.
func byClient(r *http.Request) string { return r.Header.Get("Client") }

func byCost(r *http.Request) int64 {
	var cost int64
	if _, err := fmt.Sscan(r.Header.Get("Cost"), &cost); err != nil {
		return 1
	}
	return cost
}

func request(client string, cost int64) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Client", client)
	r.Header.Set("Cost", fmt.Sprint(cost))
	return r
}

// fake is a store for tests: a memory that can be slow, fail, or hang.
type fake struct {
	limit.Store

	mu    sync.Mutex
	err   error         // guarded by mu
	delay time.Duration // guarded by mu
	sizes []int         // guarded by mu; requests of each call
}

func (f *fake) set(err error, delay time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.delay = err, delay
}

func (f *fake) calls() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int(nil), f.sizes...)
}

func (f *fake) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	f.mu.Lock()
	err, delay := f.err, f.delay
	f.sizes = append(f.sizes, len(requests))
	f.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timer.C:
		}
	}
	if err != nil {
		return nil, err
	}
	return f.Store.Take(ctx, requests)
}

// greedy asks all the time through each of the limiters in turn, for as long as
// given, and returns the times at which it was let through.
func greedy(step, long time.Duration, decide ...func() bool) []time.Duration {
	var passed []time.Duration
	began := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; time.Since(began) < long; i++ {
		if decide[i%len(decide)]() {
			passed = append(passed, time.Since(began))
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * step)))) // of a bubble's clock
	}
	return passed
}

// wantWithin checks that in no window more than burst + window × rate came
// through, give or take what is stated.
func wantWithin(t *testing.T, passed []time.Duration, burst int, interval time.Duration, stated int) {
	t.Helper()
	// passed[j] - passed[i] is the shortest window with j - i + 1 of them. With
	// potential p(i) = passed[i] - i × interval the condition is one on p(j) - p(i).
	var highest time.Duration
	for j, at := range passed {
		p := at - time.Duration(j)*interval
		if j == 0 || p > highest {
			highest = p
		}
		if slack := p - highest + time.Duration(burst+stated-1)*interval; slack < 0 {
			t.Fatalf("at %s one request too much came through: %s too early", at, -slack)
		}
	}
}
