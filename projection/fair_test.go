package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// A rebuild takes what the live generation leaves: when the log grows by more
// than a page, that comes first, and the rebuild goes on nevertheless.
func TestRebuildLetsTheLiveGenerationGoFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, other := setup(t), mem.Open() // rows apart from the log: a handler appends
		defer other.Close()
		f.views = view.New(other.ViewBackend())
		const before, burst = 5000, 2000
		f.fill(before)
		var aside, meanwhile atomic.Int64 // events of the rebuild: all, and until the burst was handled
		d := projection.Define("fair", types, &projection.Options{BatchSize: 8})
		projection.On(d, func(_ context.Context, b *projection.Batch, _ placed, e banyan.Event) error {
			switch {
			case b.Generation() == 1 && e.Position == before+burst:
				meanwhile.Store(aside.Load())
			case b.Generation() == 2 && aside.Add(1) == 1:
				f.fill(burst)
			}
			return nil
		})
		r := f.runner(d, nil)
		f.start(r)
		f.caughtUp(r)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		if n := meanwhile.Load(); n == 0 || n > before/2 {
			t.Errorf("the rebuild handled %d events while the live generation was behind by %d, want some, and at most %d", n, burst, before/2)
		}
	})
}
