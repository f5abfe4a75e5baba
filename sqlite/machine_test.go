package sqlite_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/internal/machine"
	"github.com/banyanhq/banyan/store/storetest"
)

// R8: any sequence of calls, also with the file closed and opened again, means
// what a model of slices and maps says.
func TestMachine(t *testing.T) {
	t.Parallel()
	sizes := machine.Sizes{Checks: 100, Steps: 50, LongChecks: 20_000, LongSteps: 100}
	machine.Run(t, "R8", sizes, func(t testing.TB, r *rapid.T) {
		m := storetest.NewMachine(t, harness(), machine.Choose(r))
		machine.Repeat(r, m.Actions())
		m.Check()
	})
}
