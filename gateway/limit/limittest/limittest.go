// Package limittest is the acceptance test of limit.Store: it checks every sentence
// of its contract, and what package limit promises with it.
//
//	func TestStore(t *testing.T) {
//		limittest.Run(t, limittest.Harness{New: server})
//	}
//
//	func TestLimitIsExactAcrossProcesses(t *testing.T) {
//		limittest.Exact(t, server, 3*time.Second, nil)
//	}
//
// [Run] has a subtest for each promise. Each has a server of its own and runs in
// parallel with the others; none takes more than a few seconds of a store that
// answers in milliseconds. [Exact] is apart because it takes as long as it is told.
//
// The package imports the standard library, the vocabulary and the contract only.
package limittest

import (
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
)

// Server is what processes share: a database, or a part of one.
type Server struct {
	// Open returns a store as one more process would have it. It registers its own
	// cleanup with t. Required; calls from one goroutine at a time.
	Open func(t testing.TB) limit.Store
	// Shift moves all that is stored as far back as the clock is set forward.
	// Default: nil, and what happens when the clock is set is not tested.
	Shift func(t testing.TB, by time.Duration)
	// Kill ends the server without warning, and Start starts it again. Both are
	// required of Harness.Mortal only.
	Kill, Start func(t testing.TB)
	// Forgets says that all buckets are full when it was started again. Default:
	// false, and they may be.
	Forgets bool
}

// Harness is how the suite gets at a store.
type Harness struct {
	// New returns a server without buckets that ends with t. Required.
	New func(t testing.TB) Server
	// Mortal returns one that may be killed. Default: nil, and Outage is skipped.
	Mortal func(t testing.TB) Server
}

type check struct {
	name string
	run  func(testing.TB, Harness)
}

// checks in the order of the contract.
func checks() []check {
	return []check{
		{"Decisions", decisions},
		{"Debts", debts},
		{"AnySize", anySize},
		{"Concurrency", concurrency},
		{"Clock", clock},
		{"Leases", leases},
		{"Outage", outage},
	}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, h)
		})
	}
}

// Request returns one that takes from one bucket.
func Request(key string, cost, extra, capacity time.Duration) limit.Request {
	return limit.Request{Charges: []limit.Charge{{Key: key, Cost: cost, Extra: extra, Capacity: capacity}}}
}

// Take takes a batch of one request, and fails the test where the store fails.
func Take(t testing.TB, s limit.Store, r limit.Request) limit.Result {
	t.Helper()
	return takeAll(t, s, []limit.Request{r})[0]
}

func takeAll(t testing.TB, s limit.Store, requests []limit.Request) []limit.Result {
	t.Helper()
	results, err := s.Take(t.Context(), requests)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(requests) {
		t.Fatalf("%d results for %d requests", len(results), len(requests))
	}
	for i, r := range results {
		if len(r.Levels) != len(requests[i].Charges) {
			t.Fatalf("request %d: %d levels for %d charges", i, len(r.Levels), len(requests[i].Charges))
		}
	}
	return results
}
