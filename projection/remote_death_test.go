package projection_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// The owner dies at each call of its database in turn while it does what it is
// asked for, and the next one finds the request: it is done once.
func TestOwnerDiesAtEveryCall(t *testing.T) {
	t.Parallel()
	step := 1
	if testing.Short() {
		step = 5
	}
	ask := map[string]func(ctx context.Context, r *projection.Remote) error{
		"rebuild": func(ctx context.Context, r *projection.Remote) error {
			number, err := r.Rebuild(ctx, &projection.RebuildOptions{Hold: true})
			if err == nil && number != 3 {
				err = fmt.Errorf("generation %d, want 3", number)
			}
			return err
		},
		"switch": func(ctx context.Context, r *projection.Remote) error { return r.Switch(ctx, 1, nil) },
		"drop":   func(ctx context.Context, r *projection.Remote) error { return r.Drop(ctx, 1) },
		"retry":  func(ctx context.Context, r *projection.Remote) error { _, err := r.Retry(ctx, stream(1)); return err },
		"retry all": func(ctx context.Context, r *projection.Remote) error {
			did, err := r.RetryAll(ctx)
			if err == nil && did.Failed > 0 {
				err = fmt.Errorf("%+v, want none failed", did)
			}
			return err
		},
	}
	left := map[string][]int{"rebuild": {1, 2, 3}, "switch": {1, 2}, "drop": {2}, "retry": {1, 2}, "retry all": {1, 2}}
	for what, do := range ask {
		calls := 0
		for died := true; died; {
			calls += step
			synctest.Test(t, func(t *testing.T) {
				f, s := setup(t), newSales()
				s.poison.Store("bad", true)
				def := s.define(projection.Options{BatchSize: 2})
				dying := &faulty{Backend: f.db.ViewBackend()}
				once := &projection.RunnerOptions{Attempts: 1}
				a, err := projection.NewRunner(f.store, view.New(dying), def, once)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				ctx, cancel := context.WithCancel(t.Context())
				go func() { ended <- a.Run(ctx) }()
				f.append(stream(1), placed{"DE", 1}, cancelled{"bad"}, cancelled{"1"}, cancelled{"2"}, cancelled{"3"})
				f.append(stream(2), placed{"FR", 1}, cancelled{"bad"}, cancelled{"4"})
				b := f.runner(def, once)
				f.caughtUp(b)
				if _, err := a.Rebuild(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				f.activeIs(b, 2)
				s.poison.Clear()
				f.start(b)
				synctest.Wait()
				dying.dieAfter(calls)
				if err := do(t.Context(), f.remote("sales")); err != nil {
					t.Errorf("%s, the owner dies at call %d: %v", what, calls, err)
				}
				if died = len(ended) > 0; died != dying.isDead() {
					t.Errorf("%s: the owner ended %v and its database is dead %v", what, died, dying.isDead())
				}
				var kept []int
				for _, g := range f.status(b).Generations {
					kept = append(kept, g.Number)
				}
				if diff := cmp.Diff(left[what], kept); diff != "" {
					t.Errorf("%s, the owner dies at call %d: generations (-want +got):\n%s", what, calls, diff)
				}
				if _, err := f.remote("sales").RetryAll(t.Context()); err != nil {
					t.Errorf("%s, the owner died at call %d: retry of the rest: %v", what, calls, err)
				}
				if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
					t.Errorf("%s, the owner dies at call %d: rows (-want +got):\n%s", what, calls, diff)
				}
				cancel()
			})
			if calls > 500 {
				t.Fatalf("%s: the owner dies whatever it does", what)
			}
		}
		if calls < 5 {
			t.Errorf("%s: the owner died at %d calls only: the test does not do its work", what, calls)
		}
		t.Logf("%s: the owner died at every call up to number %d, in steps of %d", what, calls-step, step)
	}
}

// Owners die at random calls of their database while an operator asks. Each
// request is done once, and the rows stay the fold.
func TestOwnersDieWhileTheyServe(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			f, s := setup(t), newSales()
			rng := rand.New(rand.NewPCG(seed, 77))
			def := s.define(projection.Options{BatchSize: 4})
			stop := f.dyingOwners(def, rand.New(rand.NewPCG(seed, 78)))
			defer stop()
			remote := f.remote("sales")
			s.poison.Store("bad", true)
			for range 60 {
				f.randomEvent(rng)
			}
			r := f.runner(def, nil)
			f.caughtUp(r)
			s.poison.Clear()
			before, err := r.Parked(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(before) == 0 {
				t.Fatalf("seed %d: no event is parked", seed)
			}
			if got, err := remote.RetryAll(t.Context()); err != nil || got.Failed != 0 {
				t.Errorf("seed %d: retry all: got %+v and error %v, want none failed", seed, got, err)
			}
			if g := f.status(r).Active(); g.ParkedKeys != 0 || g.ParkedEvents != 0 {
				t.Errorf("seed %d: got %+v, want nothing parked", seed, g)
			}
			number, err := remote.Rebuild(t.Context(), &projection.RebuildOptions{Hold: true})
			if err != nil || number != 2 {
				t.Errorf("seed %d: rebuild: got generation %d and error %v, want 2", seed, number, err)
			}
			f.waiting(r, 2, "held")
			if err := remote.Switch(t.Context(), 2, nil); err != nil {
				t.Errorf("seed %d: switch: %v", seed, err)
			}
			f.caughtUp(r)
			if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
				t.Errorf("seed %d: rows (-want +got):\n%s", seed, diff)
			}
			if g := f.status(r); len(g.Generations) != 2 || g.Active().Number != 2 {
				t.Errorf("seed %d: got %+v, want generation 2 live and 1 kept", seed, g)
			}
		})
	}
}

// dyingOwners runs one owner after the other until stop; each dies after some
// calls of its database.
func (f *fixture) dyingOwners(def *projection.Definition, rng *rand.Rand) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			b := &faulty{Backend: f.db.ViewBackend(), left: 30 + rng.IntN(80)}
			r, err := projection.NewRunner(f.store, view.New(b), def, &projection.RunnerOptions{Lease: 2 * time.Second, Owner: fmt.Sprint("owner ", i)})
			if err != nil {
				f.Error(err)
				return
			}
			_ = r.Run(ctx) // its database is gone, as was planned
		}
	})
	return func() { cancel(); all.Wait() }
}
