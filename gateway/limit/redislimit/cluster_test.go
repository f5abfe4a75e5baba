package redislimit_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

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
