package postgres_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/internal/machine"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// R8: any sequence of calls means what a model of slices and maps says. Making a
// schema takes longer than the calls, so there are fewer sequences here.
func TestMachine(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	h := storetest.Harness{
		Open:   func(t testing.TB) store.Backend { return p.store(t, p.passing(t)) },
		Reopen: func(t testing.TB, b store.Backend) store.Backend { return p.store(t, p.shut(t, b)) },
	}
	sizes := machine.Sizes{Checks: 15, Steps: 50, LongChecks: 5_000, LongSteps: 100}
	machine.Run(t, "R8", sizes, func(t testing.TB, r *rapid.T) {
		m := storetest.NewMachine(t, h, machine.Choose(r))
		machine.Repeat(r, m.Actions())
		m.Check()
	})
}
