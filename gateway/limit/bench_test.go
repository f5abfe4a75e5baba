package limit_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// A key that needs no formatting, as the gateway has it.
func address(r *http.Request) string { return r.RemoteAddr }

func BenchmarkDecide(b *testing.B) {
	for _, rules := range []int{1, 2, 4} {
		for _, keys := range []int{1, 1 << 20} {
			b.Run(fmt.Sprintf("rules=%d/keys=%d", rules, keys), func(b *testing.B) {
				memory := newMemory(b, rules<<20)
				var all []limit.Rule
				for i := range rules {
					all = append(all, limit.Rule{Name: fmt.Sprint(i), Rate: limit.Rate{Count: 1_000_000, Per: time.Second, Burst: 10_000_000}, Key: address})
				}
				l := newLimiter(b, &limit.Options{Memory: memory}, all...)
				r := request("", 1)
				addresses := make([]string, keys)
				for i := range addresses {
					addresses[i] = fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
				}
				for _, r.RemoteAddr = range addresses {
					l.Decide(r)
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					r.RemoteAddr = addresses[i&(keys-1)]
					i += 7919
					l.Decide(r)
				}
			})
		}
	}
}

// BenchmarkAttack asks each time for another client, so that with a full memory
// each request evicts one.
func BenchmarkAttack(b *testing.B) {
	memory := newMemory(b, 1<<20)
	l := newLimiter(b, &limit.Options{Memory: memory}, limit.Rule{Rate: limit.Rate{Count: 1, Per: time.Hour}, Key: address})
	r := request("", 1)
	i := 0
	buf := make([]byte, 0, 16)
	next := func() {
		buf = fmt.Appendf(buf[:0], "%x", i)
		i++
		r.RemoteAddr = string(buf)
		l.Decide(r)
	}
	for range 1 << 20 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
	b.ReportMetric(float64(memory.Stats().Evicted)/float64(b.N), "evicted/op")
}

// headers is a response writer that costs nothing.
type headers struct{ h http.Header }

func (w headers) Header() http.Header         { return w.h }
func (w headers) Write(b []byte) (int, error) { return len(b), nil }
func (w headers) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	l := newLimiter(b, nil, limit.Rule{Name: "client", Rate: limit.Rate{Count: 1_000_000, Per: time.Second}, Key: address})
	h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := request("", 1)
	w := headers{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		h.ServeHTTP(w, r)
	}
}
