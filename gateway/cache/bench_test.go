package cache_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/banyanhq/banyan/gateway/cache"
)

// nowhere is a ResponseWriter that costs nothing, as a server's header map is
// made anew for each request but not by the cache.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(int)             {}
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func benchmarkBed(b *testing.B, rules *cache.Rules) (http.Handler, *http.Request) {
	next := answering(200, "Cache-Control: max-age=3600", "Content-Type: application/json", "ETag: \"abc\"", "Vary: Accept-Encoding")
	c, err := cache.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	h, err := c.Handler(rules, next)
	if err != nil {
		b.Fatal(err)
	}
	r := request(http.MethodGet, "http://shop.example/products/1234?full=1&lang=en", "Accept: */*",
		"Accept-Encoding: gzip, br", "Accept-Language: en", "User-Agent: x", "Sec-Fetch-Mode: cors", "Referer: http://shop.example/", "X-Request-Id: 1", "Traceparent: 00-1-1-00")
	h.ServeHTTP(&nowhere{http.Header{}}, r)
	return h, r
}

// The path of a hit: R38's speed. Goal: at most 1.5 µs and 6 allocations.
func BenchmarkHit(b *testing.B) {
	for name, rules := range map[string]*cache.Rules{
		"plain":     nil,
		"principal": {Principal: func(r *http.Request) string { return "user-17" }},
	} {
		b.Run(name, func(b *testing.B) {
			h, r := benchmarkBed(b, rules)
			w := &nowhere{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkHitParallel(b *testing.B) {
	h, r := benchmarkBed(b, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		w := &nowhere{http.Header{}}
		for pb.Next() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
	})
}

// What the cache adds to a call whose answer it stores.
func BenchmarkMiss(b *testing.B) {
	h, r := benchmarkBed(b, nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		r.URL.RawQuery = strconv.Itoa(n)
		h.ServeHTTP(&nowhere{http.Header{}}, r)
	}
}

// A hit stays cheap: a rise here is a step back that a benchmark nobody reads
// would not show.
func TestHitAllocatesLittle(t *testing.T) {
	c, err := cache.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h, err := c.Handler(nil, answering(200, "Cache-Control: max-age=3600", "Vary: Accept-Encoding"))
	if err != nil {
		t.Fatal(err)
	}
	r := request(http.MethodGet, page, "Accept-Encoding: gzip", "X-Forwarded-Host: a")
	w := &nowhere{http.Header{}}
	allocs := testing.AllocsPerRun(100, func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if allocs > 2 {
		t.Errorf("%v allocations, want at most 2", allocs)
	}
}
