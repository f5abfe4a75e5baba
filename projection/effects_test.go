package projection_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// effectsOnce checks that the effects of every event of the log ran once, in
// whichever code.
func (f *fixture) effectsOnce(all ...*sales) {
	f.Helper()
	for e, err := range f.store.All(f.Context(), 0, storeAll) {
		n := 0
		for _, s := range all {
			n += s.effects.count(e.ID)
		}
		if err != nil || n != 1 {
			f.Fatalf("effects of event %d ran %d times, want once (error %v)", e.Position, n, err)
		}
	}
}

// The generation that is built reads in larger pages than the live one. It must
// not overtake it: effects are run by the live one only.
func TestBuiltGenerationDoesNotOvertakeTheLiveOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{BatchSize: 4}), nil)
		f.fill(1)
		stop := f.start(r)
		f.caughtUp(r)
		stop()
		f.fill(1000)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.start(r)
		f.activeIs(r, 2)
		f.caughtUp(r)
		f.effectsOnce(s)
	})
}

// New code that cannot write the live generation takes over behind it: what came
// in between has its effects run by the new one.
func TestEffectsBetweenTwoVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		f.fill(10)
		v1 := f.runner(s1.define(projection.Options{}), nil)
		stop := f.start(v1)
		f.caughtUp(v1)
		stop()
		f.fill(10)
		s2.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		v2 := f.runner(s2.define(projection.Options{Version: 2}), nil)
		f.start(v2)
		f.activeIs(v2, 2)
		f.caughtUp(v2)
		f.effectsOnce(s1, s2)
	})
}

// gatedLog stands still in a read from one position, with the page in its hands.
type gatedLog struct {
	*store.Store
	at   banyan.Position
	stop chan chan struct{} // each read there waits for one and then for its end
}

func (l *gatedLog) ReadPage(ctx context.Context, after banyan.Position, f store.Filter, limit int) (store.Page, error) {
	page, err := l.Store.ReadPage(ctx, after, f, limit)
	if after == l.at {
		select {
		case end := <-l.stop:
			<-end
		default:
		}
	}
	return page, err
}

// A switch from another process applies what a generation lacks, while the runner
// that leads has the same events in its hands.
func TestLeaderDoesNotRepeatWhatASwitchApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		def := s.define(projection.Options{BatchSize: 8})
		log := &gatedLog{Store: f.store, at: 0, stop: make(chan chan struct{}, 1)}
		leader, err := projection.NewRunner(log, f.views, def, nil)
		if err != nil {
			t.Fatal(err)
		}
		operator := f.runner(def, nil)
		f.fill(300)
		f.start(leader)
		f.caughtUp(operator)
		end := make(chan struct{})
		log.stop <- end
		if _, err := operator.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.eventually("the leader has read the first page for generation 2", func() bool { return len(log.stop) == 0 })
		if err := operator.Switch(t.Context(), 2, nil); err != nil {
			t.Fatal(err)
		}
		close(end)
		f.fill(10)
		f.caughtUp(operator)
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		f.effectsOnce(s)
	})
}

// The leader holds events for what was the live generation when it read them. The
// generation must not go ahead with them, or a switch back would skip effects.
func TestNoGenerationPassesTheLiveOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		def := s.define(projection.Options{})
		log := &gatedLog{Store: f.store, at: 100, stop: make(chan chan struct{}, 1)}
		leader, err := projection.NewRunner(log, f.views, def, nil)
		if err != nil {
			t.Fatal(err)
		}
		operator := f.runner(def, nil)
		f.fill(100)
		f.start(leader)
		f.caughtUp(operator)
		if _, err := operator.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(operator, 2)
		first, second := make(chan struct{}), make(chan struct{})
		log.stop <- first
		f.fill(10)
		f.eventually("the leader has read for generation 2", func() bool { return len(log.stop) == 0 })
		if err := operator.Switch(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		log.stop <- second
		close(first)
		f.eventually("the leader has read for generation 1", func() bool { return len(log.stop) == 0 })
		if err := operator.Switch(t.Context(), 2, nil); err != nil {
			t.Fatal(err)
		}
		close(second)
		f.caughtUp(operator)
		f.effectsOnce(s)
	})
}
