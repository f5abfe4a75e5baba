package machine_test

import (
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/machine"
)

// Not parallel: rapid has one size for the process.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("rapid runs fewer checks with -short")
	}
	for _, c := range []struct {
		percent string
		checks  int
	}{{"", 20}, {"50", 50}} {
		t.Run("long="+c.percent, func(t *testing.T) {
			t.Setenv(long.SizeVariable, c.percent)
			checks, steps, cleaned, dir := 0, 0, 0, ""
			machine.Run(t, "R8", machine.Sizes{Checks: 20, Steps: 5, LongChecks: 100, LongSteps: 40}, func(t testing.TB, r *rapid.T) {
				if _, err := os.Stat(dir); err == nil {
					t.Fatalf("the folder of the last check, %s, is still there", dir)
				}
				checks++
				dir = t.TempDir()
				t.Cleanup(func() { cleaned++ })
				choose := machine.Choose(r)
				machine.Repeat(r, map[string]func(){"step": func() {
					steps++
					if n := choose("number", 3); n < 0 || n > 2 {
						t.Fatalf("chose %d, want 0 to 2", n)
					}
				}})
			})
			if checks != c.checks || cleaned != checks {
				t.Errorf("%d checks, cleaned up after %d; want %d", checks, cleaned, c.checks)
			}
			if short := steps < 10*checks; short != (c.percent == "") {
				t.Errorf("%d steps in %d checks", steps, checks)
			}
		})
	}
}
