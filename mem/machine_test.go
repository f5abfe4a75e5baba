package mem_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/internal/machine"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// R8: any sequence of calls means what a model of slices and maps says.
func TestMachine(t *testing.T) {
	t.Parallel()
	sizes := machine.Sizes{Checks: 1_000, Steps: 50, LongChecks: 20_000, LongSteps: 100}
	machine.Run(t, "R8", sizes, func(t testing.TB, r *rapid.T) {
		m := storetest.NewMachine(t, storetest.Harness{Open: backend, Reopen: again}, machine.Choose(r))
		machine.Repeat(r, m.Actions())
		m.Check()
	})
}

// again closes a Store of a DB, whose events stay.
func again(t testing.TB, b store.Backend) store.Backend {
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	return b
}
