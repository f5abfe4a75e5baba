package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// CheckNames returns the names of all checks, "Group/Check".
func CheckNames() []string {
	var names []string
	for _, g := range groups() {
		for _, c := range g.checks {
			names = append(names, g.name+"/"+c.name)
		}
	}
	return names
}

// RunCheck runs one check against a harness, within limit, and returns how it
// failed, or "". A check that skips says so as a failure: nothing was tested.
func RunCheck(t testing.TB, h Harness, name string, limit time.Duration) string {
	t.Helper()
	for _, g := range groups() {
		for _, c := range g.checks {
			if g.name+"/"+c.name == name {
				return record(t, limit, func(r testing.TB) { c.run(newKit(r, h)) })
			}
		}
	}
	t.Fatalf("there is no check %s", name)
	return ""
}

// RunDifferential runs one sequence and returns how it failed, or "".
func RunDifferential(t testing.TB, c Comparison, seed uint64, limit time.Duration) string {
	t.Helper()
	return record(t, limit, func(r testing.TB) { compare(r, c, seed) })
}

// RunMachine runs a machine for so many steps and returns how it failed, or "".
func RunMachine(t testing.TB, h Harness, seed uint64, steps int, limit time.Duration) string {
	t.Helper()
	return record(t, limit, func(r testing.TB) {
		rng := rand.New(rand.NewPCG(seed, 8))
		m := NewMachine(r, h, func(_ string, n int) int { return rng.IntN(n) })
		for range steps {
			m.Step()
		}
		m.Check()
	})
}

// record runs a test on a T of its own that only takes notes.
func record(t testing.TB, limit time.Duration, run func(testing.TB)) string {
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	r := &recorder{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	cancel()
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	if r.failed {
		return strings.Join(r.notes, "\n")
	}
	return ""
}

type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	failed   bool     // guarded by mu
	notes    []string // guarded by mu
	cleanups []func() // guarded by mu
}

func (r *recorder) note(failed bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = r.failed || failed
	if failed {
		r.notes = append(r.notes, text)
	}
}

func (r *recorder) Helper()                   {}
func (r *recorder) Context() context.Context  { return r.ctx }
func (r *recorder) Log(...any)                {}
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Error(a ...any)            { r.note(true, fmt.Sprintln(a...)) }
func (r *recorder) Errorf(f string, a ...any) { r.note(true, fmt.Sprintf(f, a...)) }
func (r *recorder) Fatal(a ...any)            { r.Error(a...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); runtime.Goexit() }
func (r *recorder) Skip(a ...any)             { r.note(true, "skipped: "+fmt.Sprintln(a...)); runtime.Goexit() }
func (r *recorder) Skipf(f string, a ...any)  { r.Skip(fmt.Sprintf(f, a...)) }
func (r *recorder) FailNow()                  { r.Fatal("FailNow") }
func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}
