package resilience_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/bulkhead"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"

	"github.com/banyanhq/banyan/resilience"
)

func usual() *resilience.Options {
	return &resilience.Options{Timeout: time.Second, Breaker: &resilience.Breaker{}, Bulkhead: &resilience.Bulkhead{Max: 100}}
}

func BenchmarkTransport(b *testing.B) {
	shared := answer(200)
	next := upstream(func(*http.Request) (*http.Response, error) {
		resp := *shared
		return &resp, nil
	})
	cases := map[string]http.RoundTripper{
		"bare":                     next,
		"off":                      policy(b, nil).Transport(next),
		"breaker":                  policy(b, &resilience.Options{Breaker: &resilience.Breaker{}}).Transport(next),
		"breaker-bulkhead-timeout": policy(b, usual()).Transport(next),
		"retry":                    policy(b, &resilience.Options{Retry: &resilience.Retry{}}).Transport(next),
		"shed":                     policy(b, &resilience.Options{Shed: &resilience.Shed{}}).Transport(next),
		"failsafehttp-executor": failsafehttp.NewRoundTripper(next,
			failsafe.Policy[*http.Response](circuitbreaker.NewBuilder[*http.Response]().WithFailureRateThreshold(0.5, 20, 10*time.Second).Build()),
			bulkhead.New[*http.Response](100), timeout.New[*http.Response](time.Second)),
	}
	for name, rt := range cases {
		b.Run(name, func(b *testing.B) {
			ctx, cancel := context.WithCancel(b.Context()) // as a server's request has
			defer cancel()
			req := request(b, ctx, "GET", "")
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}

func BenchmarkHandler(b *testing.B) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	cases := map[string]http.Handler{
		"bare":             next,
		"off":              policy(b, nil).Handler(next),
		"bulkhead":         policy(b, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 10}}).Handler(next),
		"bulkhead-timeout": policy(b, usual()).Handler(next),
	}
	for name, h := range cases {
		b.Run(name, func(b *testing.B) {
			req := request(b, b.Context(), "GET", "")
			w := httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, req)
			}
		})
	}
}

func BenchmarkDo(b *testing.B) {
	p := policy(b, usual())
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Do(b.Context(), func(context.Context) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
