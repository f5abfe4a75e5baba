package projection_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// R29: the rows are the fold of the log up to the checkpoint after every crash,
// and of the whole log in the end.
func TestRowsAreTheFoldAfterEveryCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				crashes, faults, wrong := crashRuns(t, 120, seed, false)
				for _, w := range wrong {
					t.Error(w)
				}
				if crashes < 100 || faults < 150 {
					t.Errorf("%d crashes and %d faults in all: the test does not do its work", crashes, faults)
				}
			})
		})
	}
}

// The control: a back end that keeps the checkpoint before the rows is found.
func TestCheckpointBeforeRowsIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if _, _, wrong := crashRuns(t, 60, 1, true); len(wrong) == 0 {
			t.Error("a checkpoint that is written before the rows went unnoticed")
		}
	})
}

// crashRuns kills the runner so often at random calls of its database, and
// returns what was wrong.
func crashRuns(t *testing.T, crashes int, seed uint64, planted bool) (crashed, faults int, wrong []string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 29))
	f := setup(t)
	s := newSales()
	s.poison.Store("bad", true)
	def := s.define(projection.Options{BatchSize: 7})
	check := func(when string) {
		r := f.runner(def, nil)
		status := f.status(r)
		if len(status.Generations) == 0 {
			return
		}
		if diff := cmp.Diff(f.fold(s, status.Active().Position), f.rows(s)); diff != "" {
			wrong = append(wrong, fmt.Sprintf("%s, checkpoint %d: rows are not the fold (-want +got):\n%s", when, status.Active().Position, diff))
		}
	}
	for i := range crashes {
		for range 1 + rng.IntN(10) {
			f.randomEvent(rng)
		}
		b := &faulty{Backend: f.db.ViewBackend(), rng: rand.New(rand.NewPCG(seed, uint64(i))), left: 1 + rng.IntN(90), planted: planted}
		if !planted {
			b.flaky = 25
		}
		r, err := projection.NewRunner(f.store, view.New(b), def, &projection.RunnerOptions{Lease: 100 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := r.Run(ctx); err != nil {
			crashed++
		}
		cancel()
		faults += b.faults
		if check(fmt.Sprintf("after crash %d", i)); len(wrong) > 0 {
			return crashed, faults, wrong
		}
	}
	r := f.runner(def, &projection.RunnerOptions{Lease: 100 * time.Millisecond})
	stop := f.start(r)
	f.caughtUp(r)
	stop()
	check("in the end")
	return crashed, faults, wrong
}

func (f *fixture) randomEvent(rng *rand.Rand) {
	f.Helper()
	id := stream(rng.IntN(40))
	switch rng.IntN(12) {
	case 0:
		f.append(id, cancelled{Reason: "bad"})
	case 1, 2, 3:
		f.append(id, cancelled{Reason: "good"})
	default:
		f.append(id, placed{Country: fmt.Sprintf("C%d", rng.IntN(5)), Amount: rng.Int64N(1000)})
	}
}
