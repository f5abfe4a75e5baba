// Package machine runs properties, above all state machines, with rapid in two
// sizes: the short one of every test run and that of package long.
//
//	machine.Run(t, "R8", machine.Sizes{Checks: 1_000, Steps: 50, LongChecks: 20_000, LongSteps: 100}, func(t testing.TB, r *rapid.T) {
//		m := storetest.NewMachine(t, harness, machine.Choose(r))
//		machine.Repeat(r, m.Actions())
//		m.Check()
//	})
//
// A failure is shrunk and kept under testdata/rapid, where the next run tries it
// first. rapid has one size for a whole process: tests that call Run must not run
// at the same time in one package. RAPID_CHECKS, RAPID_STEPS and the flags of
// rapid win over the sizes.
package machine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan/internal/long"
)

// Sizes are how many sequences are tried, and how many steps each has on
// average.
type Sizes struct {
	Checks, Steps         int
	LongChecks, LongSteps int
}

// Run checks a property so often, and reports under the number of a guarantee.
// The property gets the same test twice: as what test kits take, which reports
// to rapid and cleans up after each check, and as rapid's own.
func Run(t *testing.T, guarantee string, s Sizes, property func(t testing.TB, r *rapid.T)) {
	t.Helper()
	checks, steps := long.Size(s.Checks, s.LongChecks), s.Steps
	if long.Long() {
		steps = max(s.Steps, s.LongSteps)
	}
	checks = set(t, "rapid.checks", checks)
	steps = set(t, "rapid.steps", steps)
	set(t, "rapid.seed", max(long.Seed(t), 1))
	if testing.Short() {
		checks /= 5 // as rapid does
	}
	var done atomic.Int64
	start := time.Now()
	rapid.Check(t, func(r *rapid.T) {
		done.Add(1)
		property(&both{TB: t, r: r}, r)
	})
	if int(done.Load()) < checks {
		t.Errorf("only %d of %d checks were run before the deadline of the test", done.Load(), checks)
	}
	long.Report(t, guarantee, "%s: %d checks of %d steps on average, 0 failures, %.0f s", t.Name(), done.Load(), steps, time.Since(start).Seconds())
}

// set changes a flag of rapid until the end of the test, unless somebody chose its
// value, and returns what it is.
func set[N int | uint64](t *testing.T, name string, value N) N {
	t.Helper()
	f := flag.Lookup(name)
	before := f.Value.String()
	if before != f.DefValue {
		var chosen N
		if _, err := fmt.Sscan(before, &chosen); err != nil {
			t.Fatalf("flag %s: %v", name, err)
		}
		return chosen
	}
	if err := f.Value.Set(fmt.Sprint(value)); err != nil {
		t.Fatalf("flag %s: %v", name, err)
	}
	t.Cleanup(func() { _ = f.Value.Set(before) })
	return value
}

// Choose returns a function that draws from 0 to n-1.
func Choose(r *rapid.T) func(what string, n int) int {
	return func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(r, what) }
}

// Repeat runs random actions; the one without a name runs after each.
func Repeat(r *rapid.T, actions map[string]func()) {
	r.Helper()
	taken := make(map[string]func(*rapid.T), len(actions))
	for name, action := range actions {
		taken[name] = func(*rapid.T) { action() }
	}
	r.Repeat(taken)
}

// both is a check of rapid as a testing.TB.
type both struct {
	testing.TB // for what rapid does not have, and because a TB cannot be made otherwise
	r          *rapid.T
}

func (b *both) Helper()                   { b.r.Helper() }
func (b *both) Log(a ...any)              { b.r.Log(a...) }
func (b *both) Logf(f string, a ...any)   { b.r.Logf(f, a...) }
func (b *both) Error(a ...any)            { b.r.Error(a...) }
func (b *both) Errorf(f string, a ...any) { b.r.Errorf(f, a...) }
func (b *both) Fatal(a ...any)            { b.r.Fatal(a...) }
func (b *both) Fatalf(f string, a ...any) { b.r.Fatalf(f, a...) }
func (b *both) Fail()                     { b.r.Fail() }
func (b *both) FailNow()                  { b.r.FailNow() }
func (b *both) Failed() bool              { return b.r.Failed() }
func (b *both) Skip(a ...any)             { b.r.Skip(a...) }
func (b *both) Skipf(f string, a ...any)  { b.r.Skipf(f, a...) }
func (b *both) SkipNow()                  { b.r.SkipNow() }
func (b *both) Cleanup(f func())          { b.r.Cleanup(f) }
func (b *both) Context() context.Context  { return b.r.Context() }

// TempDir removes the folder after each check; that of testing would keep them
// all until the end.
func (b *both) TempDir() string {
	dir, err := os.MkdirTemp("", "machine")
	if err != nil {
		b.Fatalf("temporary folder: %v", err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.TB.Errorf("temporary folder: %v", err)
		}
	})
	return dir
}
