package limittest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// CheckNames returns the names of all checks.
func CheckNames() (names []string) {
	for _, c := range checks() {
		names = append(names, c.name)
	}
	return names
}

// RunCheck runs one check, or Exact for a moment, and returns how it failed, or "".
// One that skips fails: nothing was tested.
func RunCheck(t testing.TB, h Harness, name string) string {
	t.Helper()
	if name == "Exact" {
		return record(t, func(t testing.TB) {
			exact(t, h.New(t), 0, 300*time.Millisecond, func(testing.TB, string, ...any) {})
		})
	}
	for _, c := range checks() {
		if c.name == name {
			return record(t, func(t testing.TB) { c.run(t, h) })
		}
	}
	t.Fatalf("there is no check %s", name)
	return ""
}

// record runs a test on a T of its own that only takes notes.
func record(t testing.TB, run func(testing.TB)) string {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	r := &recorder{TB: t, ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(r)
	}()
	<-done
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return strings.Join(r.notes, "\n")
}

type recorder struct {
	testing.TB
	ctx context.Context

	mu       sync.Mutex
	notes    []string // guarded by mu
	cleanups []func() // guarded by mu
}

func (r *recorder) Error(a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, fmt.Sprint(a...))
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Context() context.Context  { return r.ctx }
func (r *recorder) Errorf(f string, a ...any) { r.Error(fmt.Sprintf(f, a...)) }
func (r *recorder) Fatal(a ...any)            { r.Error(a...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) { r.Fatal(fmt.Sprintf(f, a...)) }
func (r *recorder) Skip(a ...any)             { r.Fatal("skipped: ", fmt.Sprint(a...)) }
