package projection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

func (f *fixture) fill(n int) {
	f.Helper()
	for i := range n {
		f.append(stream(i%50), placed{fmt.Sprintf("C%d", i%7), int64(i)})
	}
}

func (f *fixture) activeIs(r *projection.Runner, number int) {
	f.Helper()
	f.eventually(fmt.Sprintf("generation %d is active", number), func() bool {
		return f.status(r).Active().Number == number
	})
}

func TestRebuildUnderLoadThenSwitchAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{BatchSize: 16}), nil)
		f.fill(2000)
		f.start(r)
		f.caughtUp(r)

		var load sync.WaitGroup
		var stop atomic.Bool
		load.Go(func() {
			for i := 0; !stop.Load(); i++ {
				f.append(stream(i%50), placed{"LOAD", 1})
				pause(time.Millisecond)
			}
		})
		load.Go(func() { // a reader: never an error, never fewer orders than before
			for seen := 0; !stop.Load(); pause(time.Millisecond / 2) {
				total, _, err := s.totals.Get(t.Context(), f.views, "C1")
				page, errScan := s.orders.Scan(t.Context(), f.views, view.Query{Limit: 100})
				if err = errors.Join(err, errScan); err != nil || total.Orders < seen || len(page.Items) < 50 {
					t.Errorf("a reader saw %+v after %d orders, %d rows, and error %v", total, seen, len(page.Items), err)
					return
				}
				seen = total.Orders
			}
		})
		number, err := r.Rebuild(t.Context(), nil)
		if err != nil || number != 2 {
			t.Errorf("rebuild: got generation %d and error %v, want 2", number, err)
		}
		if _, err := r.Rebuild(t.Context(), nil); !errors.Is(err, banyan.ErrExists) {
			t.Errorf("a second rebuild beside the first: got error %v, want one of kind already exists", err)
		}
		f.activeIs(r, 2)
		f.keptAlike(r, s, "after the switch")
		if err := r.Switch(t.Context(), 1, nil); err != nil {
			t.Errorf("switch back: %v", err)
		}
		f.activeIs(r, 1)
		pause(100 * time.Millisecond)
		stop.Store(true)
		load.Wait()
		f.keptAlike(r, s, "after the switch back")
		for e, err := range f.store.All(t.Context(), 0, storeAll) {
			if n := s.effects.count(e.ID); err != nil || n != 1 {
				t.Fatalf("effects of event %d ran %d times, want once (error %v)", e.Position, n, err)
			}
		}
	})
}

// keptAlike waits until both generations are at the end of the log, and compares
// their rows with the fold.
func (f *fixture) keptAlike(r *projection.Runner, s *sales, when string) {
	f.Helper()
	f.eventually("both generations are close to the end of the log", func() bool {
		st := f.status(r)
		return len(st.Generations) == 2 && st.Generations[0].Lag <= 1 && st.Generations[1].Lag <= 1
	})
	f.eventually("the rows are the fold at a moment "+when, func() bool {
		before := f.status(r).Active().Position
		rows := f.rows(s)
		return f.status(r).Active().Position == before && cmp.Equal(f.fold(s, before), rows)
	})
}

func TestDropAndOlderGenerations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		if _, err := r.Rebuild(t.Context(), nil); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("rebuild before the first run: got error %v, want one of kind not found", err)
		}
		f.fill(100)
		f.start(r)
		f.caughtUp(r)
		for n := 2; n <= 4; n++ {
			if _, err := r.Rebuild(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			f.activeIs(r, n)
		}
		var kept []string
		for _, g := range f.status(r).Generations {
			kept = append(kept, fmt.Sprint(g.Number, " ", g.Role))
		}
		if diff := cmp.Diff([]string{"3 older", "4 active"}, kept); diff != "" {
			t.Errorf("kept generations (-want +got):\n%s", diff)
		}
		if err := r.Drop(t.Context(), 4); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("drop of the live generation: got error %v, want one of kind invalid", err)
		}
		if err := r.Switch(t.Context(), 2, nil); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("switch to a dropped generation: got error %v, want one of kind not found", err)
		}
		if err := r.Drop(t.Context(), 3); err != nil {
			t.Error(err)
		}
		if _, err := f.db.ViewBackend().Get(t.Context(), "totals_g3", "x"); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("table of the dropped generation: got error %v, want one of kind not found", err)
		}
		f.fill(10)
		f.caughtUp(r)
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestRaisedVersionBuildsBesideAndTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		f.fill(500)
		v1 := f.runner(s1.define(projection.Options{}), &projection.RunnerOptions{Owner: "v1"})
		f.start(v1)
		f.caughtUp(v1)
		// The new version has an index more, so that it cannot write the old tables.
		s2.orders = view.NewCollection("orders", view.IndexOf("country", func(o order) string { return o.Country }),
			view.IndexOf("length", func(o order) string { return view.Int(int64(len(o.Events))) }))
		v2 := f.runner(s2.define(projection.Options{Version: 2}), &projection.RunnerOptions{Owner: "v2"})
		f.start(v2)
		f.activeIs(v2, 2)
		f.fill(10)
		f.caughtUp(v2)
		if diff := cmp.Diff(f.fold(s2, 1000), f.rows(s2)); diff != "" {
			t.Errorf("rows of the new version (-want +got):\n%s", diff)
		}
		st := f.status(v2)
		if st.Owner != "v2" || st.Active().Version != 2 || len(st.Generations) != 2 || st.Generations[0].Held == "" {
			t.Errorf("got %+v, want v2 the owner of a generation of version 2, and the older one held", st)
		}
		page, err := s2.orders.Scan(t.Context(), f.views, view.Query{Index: "length", Limit: 1})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("scan by the new index: got %+v and error %v, want a row", page, err)
		}
		for e, err := range f.store.All(t.Context(), 0, storeAll) {
			if n := s1.effects.count(e.ID) + s2.effects.count(e.ID); err != nil || n != 1 {
				t.Fatalf("effects of event %d ran %d times, want once (error %v)", e.Position, n, err)
			}
		}
	})
}

func TestRollBackToOlderCode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.fill(100)
		for version := 1; version <= 2; version++ {
			r := f.runner(s.define(projection.Options{Version: version}), nil)
			stop := f.start(r)
			f.activeIs(r, version)
			stop()
		}
		f.fill(100)
		r := f.runner(s.define(projection.Options{Version: 1}), nil)
		f.start(r)
		f.caughtUp(r)
		if err := r.Switch(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		st := f.status(r)
		if st.Active().Version != 1 || len(st.Generations) != 2 {
			t.Errorf("got %+v, want the generation of version 1 live", st)
		}
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestSwitchIsHeldWhileTheBuiltGenerationParksMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		f.append(stream(2), placed{"DE", 1})
		r := f.runner(s.define(projection.Options{}), nil)
		f.start(r)
		f.caughtUp(r)
		s.poison.Store("bad", true)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.eventually("the new generation is at the end of the log", func() bool {
			st := f.status(r)
			return len(st.Generations) == 2 && st.Generations[1].Lag == 0
		})
		pause(time.Minute)
		if g := f.status(r).Active(); g.Number != 1 {
			t.Fatalf("generation %d is live, want 1: in 2 a key is parked that readers see now", g.Number)
		}
		s.poison.Clear()
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestChangedCollectionsWithoutNewVersionAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.fill(1)
		r := f.runner(s.define(projection.Options{}), nil)
		stop := f.start(r)
		f.caughtUp(r)
		stop()
		s.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		r = f.runner(s.define(projection.Options{}), nil)
		if err := r.Run(t.Context()); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("got error %v, want one of kind invalid that says to raise the version", err)
		}
	})
}

func TestSetupActivateTeardown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		own := func(b *projection.Batch) string { return fmt.Sprintf("own_%d", b.Generation()) }
		r := f.runner(s.define(projection.Options{
			Setup: func(ctx context.Context, b *projection.Batch) error {
				return b.Tx().Create(ctx, view.Table{Name: own(b)})
			},
			Activate: func(ctx context.Context, b *projection.Batch) error { return b.Tx().Alias(ctx, "own", own(b)) },
			Teardown: func(ctx context.Context, b *projection.Batch) error { return b.Tx().Drop(ctx, own(b)) },
		}), nil)
		f.fill(1)
		f.start(r)
		f.caughtUp(r)
		exists := func(table string) bool {
			_, err := f.db.ViewBackend().Get(t.Context(), table, "x")
			return err == nil
		}
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		if err := r.Drop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if exists("own_1") || !exists("own_2") || !exists("own") {
			t.Errorf("own_1 %v, own_2 %v, alias %v; want the table of generation 2 and the alias", exists("own_1"), exists("own_2"), exists("own"))
		}
	})
}

// Nobody runs: the switch itself applies what the generation lacks.
func TestSwitchCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.fill(500)
		r := f.runner(s.define(projection.Options{BatchSize: 10}), nil)
		stop := f.start(r)
		f.caughtUp(r)
		stop()
		number, err := r.Rebuild(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Switch(t.Context(), number, nil); err != nil {
			t.Fatal(err)
		}
		if g := f.status(r).Active(); g.Number != number || g.Position != 500 || g.Handled != 500 {
			t.Errorf("got %+v, want generation %d live with all 500 events", g, number)
		}
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		for e, err := range f.store.All(t.Context(), 0, storeAll) {
			if n := s.effects.count(e.ID); err != nil || n != 1 {
				t.Fatalf("effects of event %d ran %d times, want once (error %v)", e.Position, n, err)
			}
		}
	})
}
