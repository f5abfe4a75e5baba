package cache_test

import (
	"container/list"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/long"
)

// R34: a million keys of tiny answers stay within the budget, by what the cache
// counts and by what the heap holds.
func TestMemoryIsBounded(t *testing.T) {
	const budget = 32 << 20
	keys := long.Size(60_000, 1_000_000)
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Cache-Control"] = []string{"max-age=3600"}
		w.Header()["Content-Type"] = []string{"application/json"}
		w.Header()["Etag"] = []string{`"0123456789"`}
		w.Header()["Surrogate-Key"] = []string{"product:" + strconv.Itoa(rand.IntN(1000))}
		w.Header()["Vary"] = []string{"Accept-Encoding"}
		_, _ = io.WriteString(w, `{"id":1,"name":"tiny"}`)
	})
	before := heap()
	c, err := cache.New(&cache.Options{Bytes: budget})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := c.Handler(nil, next)
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", page, "Accept-Encoding: gzip")
	for i := range keys {
		r.URL.RawQuery = "id=" + strconv.Itoa(i)
		h.ServeHTTP(&nowhere{http.Header{}}, r)
	}
	s := c.Stats()
	used := heap() - before
	long.Report(t, "R34", "%d keys, %d stored, counted %d, heap %d bytes (%.2f of the budget), %d bytes each", keys, s.Entries, s.Bytes, used, float64(used)/budget, s.Bytes/int64(s.Entries))
	if s.Bytes > budget || s.Bytes < budget*9/10 || used > s.Bytes || used < s.Bytes*3/4 { // stricter than the 1.3 of the goal: the count errs to the safe side, by a tenth
		t.Errorf("counted %d and holds %d bytes of a budget of %d", s.Bytes, used, int64(budget))
	}
	if _, err := c.Purge(cache.Purge{All: true}); err != nil || c.Stats().Bytes != 0 || c.Stats().Entries != 0 {
		t.Errorf("after purging all: %+v, %v", c.Stats(), err)
	}
	runtime.KeepAlive(c)
}

func heap() int64 {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The accounting follows what is stored, whatever comes and goes.
func TestBytesAreExact(t *testing.T) {
	t.Parallel()
	o := &origin{serve: func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Surrogate-Key", r.URL.Path+" all")
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.RawQuery)*100))
	}}
	b := setup(t, &cache.Options{Bytes: 64 << 10}, nil, o)
	random := rand.New(rand.NewPCG(long.Seed(t), 1))
	for range 3000 {
		p := "/" + strconv.Itoa(random.IntN(10))
		switch random.IntN(10) {
		case 0:
			b.do(request("POST", "http://shop.example"+p))
		case 1:
			_, _ = b.Purge(cache.Purge{Tags: []string{p}, Soft: random.IntN(2) == 0})
		default:
			b.get("http://shop.example" + p + "?" + strings.Repeat("q", random.IntN(30)))
		}
		if s := b.Stats(); s.Bytes > 64<<10 || s.Bytes < 0 || s.Bytes < int64(s.Entries)*300 {
			t.Fatalf("%+v", s)
		}
	}
	if _, err := b.Purge(cache.Purge{Tags: []string{"all"}}); err != nil || b.Stats().Bytes != 0 || b.Stats().Entries != 0 {
		t.Errorf("after purging all: %+v, %v", b.Stats(), err)
	}
}

// What is evicted is chosen well: on a Zipf trace with one-time requests between
// the hit ratio is well above that of LRU with as many entries.
func TestHitRatio(t *testing.T) {
	t.Parallel()
	b := setup(t, &cache.Options{Bytes: 1 << 20, Trace: &cache.Trace{}}, nil, answering(200, "Cache-Control: max-age=3600"))
	random := rand.New(rand.NewPCG(1, 2))
	draw := zipf(20_000, 0.9)
	lru, capacity := newLRU(), 0
	hits, base := 0, uint64(0)
	const requests, warm = 40_000, 15_000
	for i := range requests {
		n := draw(random)
		if random.IntN(10) < 3 {
			n = 1_000_000 + i
		}
		if i == warm {
			base = b.Stats().Served[cache.Hit]
		}
		if capacity == 0 && b.Stats().Evicted > 0 {
			capacity = b.Stats().Entries // LRU gets as many
		}
		if lru.get(n, capacity) && i >= warm {
			hits++
		}
		b.get("http://shop.example/" + strconv.Itoa(n))
	}
	own := float64(b.Stats().Served[cache.Hit]-base) / (requests - warm)
	other := float64(hits) / (requests - warm)
	t.Logf("hit ratio %.3f, LRU %.3f, %d entries", own, other, capacity)
	if own < other+0.03 {
		t.Errorf("hit ratio %.3f, LRU has %.3f", own, other)
	}
}

type lru struct {
	order *list.List
	at    map[int]*list.Element
}

func newLRU() *lru { return &lru{list.New(), map[int]*list.Element{}} }

func (l *lru) get(n, capacity int) bool {
	if e, ok := l.at[n]; ok {
		l.order.MoveToFront(e)
		return true
	}
	l.at[n] = l.order.PushFront(n)
	if capacity > 0 && l.order.Len() > capacity {
		last := l.order.Back()
		delete(l.at, last.Value.(int))
		l.order.Remove(last)
	}
	return false
}

func zipf(n int, a float64) func(*rand.Rand) int {
	sums, sum := make([]float64, n), 0.0
	for i := range sums {
		sum += 1 / math.Pow(float64(i+1), a)
		sums[i] = sum
	}
	return func(r *rand.Rand) int { return sort.SearchFloat64s(sums, r.Float64()*sum) }
}
