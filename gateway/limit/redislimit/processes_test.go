package redislimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

// counted counts the calls of several stores together.
type counted struct {
	limit.Store
	calls *atomic.Int64
}

func (c counted) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	c.calls.Add(1)
	return c.Store.Take(ctx, requests)
}

// processes returns limiters as n processes on one server would have them.
func processes(t testing.TB, server *server, n int, rule limit.Rule) ([]*limit.Limiter, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	var all []*limit.Limiter
	for range n {
		// A busy machine may take its time: what is tested here is the store's answer.
		c, err := limit.NewCluster(counted{open(t, server.url(), nil), &calls}, &limit.ClusterOptions{Timeout: 20 * time.Second, Processes: n})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		l, err := limit.New([]limit.Rule{rule}, &limit.Options{Cluster: c})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all, &calls
}

// hammer asks through all limiters, each from several goroutines, for as long as
// given, and returns how many were let through.
func hammer(t testing.TB, all []*limit.Limiter, long time.Duration) int64 {
	t.Helper()
	var passed atomic.Int64
	var wg sync.WaitGroup
	end := time.Now().Add(long)
	for _, l := range all {
		for range 4 {
			wg.Go(func() {
				for time.Now().Before(end) {
					d := l.Decide(httptest.NewRequest(http.MethodGet, "/", nil))
					if d.Err != nil {
						t.Error(d.Err)
						return
					}
					if d.Allowed {
						passed.Add(1)
						continue
					}
					timer := time.NewTimer(min(d.RetryAfter, time.Until(end)))
					<-timer.C
				}
			})
		}
	}
	wg.Wait()
	return passed.Load()
}

// R39: four processes on one server never let through more than the limit and its
// burst, nor less than 99 % to a client that takes all it gets; with leases four
// of them more or less.
func TestLimitIsExactAcrossProcesses(t *testing.T) {
	t.Parallel()
	const long, perSecond, burst = 3 * time.Second, 400, 1000 // a pause of 2.5 s loses nothing
	for _, lease := range []int64{0, 20} {
		t.Run(fmt.Sprintf("lease %d", lease), func(t *testing.T) {
			t.Parallel()
			all, calls := processes(t, startServer(t), 4, limit.Rule{Rate: limit.Rate{Count: perSecond, Per: time.Second, Burst: burst}, Lease: lease})
			began := time.Now()
			passed := hammer(t, all, long)
			took := time.Since(began)
			// With leases the shared bucket stays within its limit too: what a lease
			// can add is what was taken before the window, and here nothing was.
			most := burst + int64(took.Seconds()*perSecond)
			least := (burst+int64(long.Seconds()*perSecond))*99/100 - 4*lease
			if passed > most || passed < least {
				t.Errorf("%d came through in %s, want %d to %d", passed, took, least, most)
			}
			t.Logf("%d came through of at most %d; %d calls", passed, most, calls.Load())
		})
	}
}

// While there is room a process with leases rarely asks the store.
func TestLeasesAskRarely(t *testing.T) {
	t.Parallel()
	const each, lease = 500, 100
	all, calls := processes(t, startServer(t), 4, limit.Rule{Rate: limit.Rate{Count: 10_000, Per: time.Second}, Lease: lease})
	for _, l := range all {
		for range each {
			if d := l.Decide(httptest.NewRequest(http.MethodGet, "/", nil)); !d.Allowed || d.Err != nil {
				t.Fatalf("got %+v, want that it is allowed", d)
			}
		}
	}
	if got, most := calls.Load(), int64(4*(each/lease+1)); got > most {
		t.Errorf("%d calls for %d requests, want at most %d", got, 4*each, most)
	}
}

// redisCluster starts a Redis Cluster of two nodes with half of the slots each.
func redisCluster(t *testing.T) (first, second *server) {
	t.Helper()
	nodes := []*server{startServer(t, "--cluster-enabled", "yes"), startServer(t, "--cluster-enabled", "yes")}
	for i, n := range nodes {
		slots := []any{"CLUSTER", "ADDSLOTS"}
		for slot := range 16384 / 2 {
			slots = append(slots, slot+i*16384/2)
		}
		n.do("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		n.do(slots...)
	}
	nodes[0].do("CLUSTER", "MEET", "127.0.0.1", nodes[1].port)
	for _, n := range nodes {
		raw := n.raw()
		for range 3000 {
			if knows(t, raw) {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		if !knows(t, raw) {
			t.Fatal("the cluster does not form:\n" + n.output())
		}
	}
	return nodes[0], nodes[1]
}

// knows reports whether a node knows of all slots and of both nodes.
func knows(t *testing.T, raw *redis.Client) bool {
	slots, err := raw.Do(t.Context(), "CLUSTER", "SLOTS").Slice()
	return err == nil && len(slots) == 2 && strings.Contains(raw.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
}

// In a Redis Cluster all buckets of a prefix are on one node, whichever the URL
// names, so that a batch may have any keys.
func TestRedisCluster(t *testing.T) {
	t.Parallel()
	first, second := redisCluster(t)
	for i := range 8 {
		prefix := fmt.Sprint("tenant", i)
		var stores []*redislimit.Store
		for _, node := range []*server{first, second} {
			stores = append(stores, open(t, node.url(), &redislimit.Options{Prefix: prefix, Cluster: true}))
		}
		var batch []limit.Request
		for k := range 20 {
			batch = append(batch, request(charge(fmt.Sprint("{", k, "}"), time.Hour, 0, time.Hour), charge(fmt.Sprint("}", k), time.Hour, 0, 100*time.Hour)))
		}
		for n, store := range stores {
			results, err := store.Take(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for j, r := range results {
				if r.Allowed != (n == 0) {
					t.Errorf("prefix %s, node %d, request %d: allowed %t, want that the first store took it", prefix, n, j, r.Allowed)
				}
			}
		}
	}
	for _, node := range []*server{first, second} {
		if n := node.do("DBSIZE").(int64); n == 0 || n%40 != 0 {
			t.Errorf("a node has %d buckets, want the 40 of some of the prefixes", n)
		}
	}
}

// BenchmarkTake is a batch of 64 requests of 10,000 clients.
func BenchmarkTake(b *testing.B) {
	store := open(b, startServer(b).url(), nil)
	batch := make([]limit.Request, 64)
	n := 0
	for b.Loop() {
		for i := range batch {
			n++
			batch[i] = request(charge(fmt.Sprintf("%016d", n*7919%10_000), time.Millisecond, 0, time.Second))
		}
		if _, err := store.Take(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/request")
}
