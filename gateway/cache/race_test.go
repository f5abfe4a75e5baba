package cache_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/internal/long"
)

// Purged means gone, with everything at once: readers, writers that purge by
// tag and by prefix, and a store so small that it evicts all the time.
// Whoever asks after a purge has returned gets nothing that is older than it.
func TestNothingOldAfterAPurge(t *testing.T) {
	t.Parallel()
	const pages = 8
	var value, purged [pages]atomic.Int64
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Path[1:])
		now := value[n].Load()
		w.Header().Set("Cache-Control", "max-age=600, stale-while-revalidate=600")
		w.Header().Set("Etag", strconv.Quote(strconv.FormatInt(now, 10)))
		w.Header().Set("Surrogate-Key", "p"+r.URL.Path)
		if r.Method == "GET" && r.Header.Get("If-None-Match") == w.Header().Get("Etag") {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = io.WriteString(w, strconv.FormatInt(now, 10))
	})
	b := setup(t, &cache.Options{Bytes: 64 << 10, Trace: &cache.Trace{}}, nil, next)
	rounds, seed := long.Size(3000, 300_000), long.Seed(t)
	var all sync.WaitGroup
	for reader := range 4 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(reader)))
			for range rounds {
				n := random.IntN(pages)
				least := purged[n].Load()
				got, err := strconv.ParseInt(b.get("http://shop.example/"+strconv.Itoa(n)+"?"+strconv.Itoa(random.IntN(20))).Body.String(), 10, 64)
				if err != nil || got < least {
					t.Errorf("page %d: got %d, %v; %d was purged before", n, got, err, least)
					return
				}
			}
		})
	}
	for writer := range 2 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(writer+10)))
			for range rounds / 10 {
				n := writer + 2*random.IntN(pages/2) // each page has one writer
				now := value[n].Add(1)
				p := "/" + strconv.Itoa(n)
				purge := cache.Purge{Tags: []string{"p" + p}}
				if random.IntN(2) == 0 {
					purge = cache.Purge{Prefixes: []string{"http://shop.example" + p}}
				}
				if _, err := b.Purge(purge); err != nil {
					t.Error(err)
				}
				purged[n].Store(now)
			}
		})
	}
	all.Wait()
	long.Report(t, "R38", "%d requests among %d purges, 0 old answers, %+v", 4*rounds, 2*(rounds/10), b.Stats())
}
