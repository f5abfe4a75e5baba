// Package storetest is the acceptance test of store back ends: it checks every
// sentence of the contract of store.Backend, and exactly what the back end
// promises.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{Open: open, Reopen: reopen})
//	}
//
// Run has four groups of subtests. Contract: what a call answers. Concurrency:
// many callers at once. Recovery: closed and opened again; only where the
// promise is Durable. Promises: what is promised is kept, what is not promised
// is refused with the documented error. Every subtest opens a store of its own
// and runs in parallel with the others.
//
// [Differential] compares a back end with a reference on random sequences of
// calls; package mem is the reference. [Machine] compares one with a model of
// slices and maps, for libraries that search for the shortest sequence that
// fails. [Recorder] records what concurrent
// clients saw, for a check of linearizability.
//
// The package imports the standard library and the contract only.
package storetest

import (
	"testing"

	"github.com/banyanhq/banyan/store"
)

// Harness is how the suite gets at a back end.
type Harness struct {
	// Open returns a new, empty store that shares nothing with those of other
	// calls. It registers its own cleanup with t, which closes the back end.
	Open func(t testing.TB) store.Backend
	// Reopen closes b, which Open or Reopen returned, and opens the same data
	// again, with its own cleanup. Required when the back end promises Durable.
	Reopen func(t testing.TB, b store.Backend) store.Backend
	// Share opens the data of b a second time while b stays open, as another
	// process would. Required when the back end promises Shared.
	Share func(t testing.TB, b store.Backend) store.Backend
}

// check is one subtest.
type check struct {
	name string
	run  func(*kit)
}

type group struct {
	name   string
	checks []check
}

func groups() []group {
	contract := append(appendChecks(), repeatChecks()...)
	contract = append(contract, readChecks()...)
	contract = append(contract, logChecks()...)
	contract = append(contract, recordChecks()...)
	contract = append(contract, snapshotChecks()...)
	return []group{
		{"Contract", contract},
		{"Concurrency", concurrencyChecks()},
		{"Recovery", recoveryChecks()},
		{"Promises", promiseChecks()},
	}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range g.checks {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(newKit(t, h))
				})
			}
		})
	}
}
