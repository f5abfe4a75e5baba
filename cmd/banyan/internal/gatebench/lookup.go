package gatebench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// tables are the numbers of routes that lookups are compared for.
func tables() []int { return []int{10, 10_000} }

// lookups measures how long it takes to find a route, in this process: beside a
// whole request it would not be seen.
func (b *bench) lookups(ctx context.Context) ([]Result, error) {
	if !slices.Contains(b.Cases, CaseRoutes) {
		return nil, nil
	}
	var rates [2][]float64
	for round := range b.Rounds {
		for i, n := range tables() {
			b.Progress(fmt.Sprintf("round %d of %d: lookup among %d routes", round+1, b.Rounds, n))
			rate, err := lookup(ctx, n, b.Round)
			if err != nil {
				return nil, fmt.Errorf("lookup among %d routes: %w", n, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	var out []Result
	for i, n := range tables() {
		out = append(out, Result{Case: CaseRoutes, Name: fmt.Sprintf("banyan, %d routes", n), Rate: median(rates[i]), Ratio: median(rates[i]) / median(rates[0])})
	}
	return out, nil
}

// lookup returns lookups in a second. The requests go to routes all over the table;
// there are few, so that reading them costs the same for every table, and that the
// search is measured and not the processor's caches.
func lookup(ctx context.Context, n int, d time.Duration) (float64, error) {
	g, err := manyRoutes(n)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	var requests []*http.Request
	for i := range 50 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://bench.example/service%d/orders/536365", i*n/50), http.NoBody)
		if err != nil {
			return 0, err
		}
		requests = append(requests, r)
	}
	count := 0
	begin := time.Now()
	for time.Since(begin) < d {
		for range 20 { // the clock costs as much as a lookup
			for _, r := range requests {
				if g.Match(r) == nil {
					return 0, errors.New("no route is found")
				}
			}
		}
		if count += 20 * len(requests); ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	return float64(count) / time.Since(begin).Seconds(), nil
}

func manyRoutes(n int) (*gateway.Gateway, error) {
	c := &gateway.Config{Upstreams: map[string]gateway.Upstream{"u": {Targets: []string{"http://127.0.0.1:1"}}}}
	for i := range n {
		c.Routes = append(c.Routes, gateway.Route{Match: fmt.Sprintf("GET /service%d/orders/{id}", i), To: "u"})
	}
	return gateway.New(c, nil)
}
