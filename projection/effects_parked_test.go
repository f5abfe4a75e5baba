package projection_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// waiting waits until a generation has caught up and says why it is not live.
func (f *fixture) waiting(r *projection.Runner, number int, why string) {
	f.Helper()
	f.eventually("the generation waits: "+why, func() bool {
		for _, g := range f.status(r).Generations {
			if g.Number == number && g.Role == "building" && strings.Contains(g.Waiting, why) {
				return true
			}
		}
		return false
	})
}

// parkedLive has an event parked in generation 1, and code that could handle it.
func parkedLive(t *testing.T) (f *fixture, s *sales, r *projection.Runner, bad string) {
	t.Helper()
	f, s = setup(t), newSales()
	s.poison.Store("bad", true)
	r = f.runner(s.define(projection.Options{}), nil)
	f.append(stream(1), placed{"DE", 1})
	bad = string(f.append(stream(1), cancelled{"bad"}).Token())
	f.append(stream(2), placed{"DE", 1})
	f.start(r)
	f.caughtUp(r)
	s.poison.Clear()
	return f, s, r, bad
}

func TestSwitchWaitsForEffectsOfParkedEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, r, bad := parkedLive(t)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.waiting(r, 2, bad)
		pause(time.Minute)
		if err := r.Switch(t.Context(), 2, nil); !errors.Is(err, banyan.ErrConflict) || !strings.Contains(err.Error(), stream(1)) {
			t.Errorf("switch: got error %v, want one of kind conflict that names the key", err)
		}
		if g := f.status(r).Active(); g.Number != 1 {
			t.Fatalf("generation %d is live, want 1: the effects of a parked event wait there", g.Number)
		}
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		f.effectsOnce(s)
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestForcedSwitchDoesWithoutEffects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, r, bad := parkedLive(t)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.waiting(r, 2, bad)
		if err := r.Switch(t.Context(), 2, &projection.SwitchOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		if g := f.status(r).Active(); g.Number != 2 || s.effects.count(bad) != 0 {
			t.Errorf("generation %d is live, the effects ran %d times; want 2 and 0", g.Number, s.effects.count(bad))
		}
		// The generation before still owes them, until it is dropped.
		if err := r.Switch(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		f.effectsOnce(s)
	})
}

// An event that is parked in both generations has its effects run by whichever is
// live when its key is retried.
func TestSwitchHandsEffectsOver(t *testing.T) {
	t.Parallel()
	for _, back := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f, s, r, bad := parkedLive(t)
			s.poison.Store("bad", true)
			if _, err := r.Rebuild(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			f.activeIs(r, 2)
			if back {
				if err := r.Switch(t.Context(), 1, nil); err != nil {
					t.Fatal(err)
				}
			}
			s.poison.Clear()
			if err := r.Retry(t.Context(), stream(1)); err != nil {
				t.Fatal(err)
			}
			if n := s.effects.count(bad); n != 1 {
				t.Errorf("switched back %v: the effects of the parked event ran %d times, want once", back, n)
			}
			f.effectsOnce(s)
		})
	}
}

// The retry of a key in a generation that is being built leaves its effects out,
// while new code may not touch the live generation that owes them.
func TestRetryBesideAHeldLiveGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		s1.poison.Store("bad", true)
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		f.append(stream(2), placed{"DE", 1}, cancelled{"worse"})
		v1 := f.runner(s1.define(projection.Options{}), nil)
		stop := f.start(v1)
		f.caughtUp(v1)
		stop()
		s2.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		s2.poison.Store("bad", true)
		s2.poison.Store("worse", true)
		v2 := f.runner(s2.define(projection.Options{Version: 2}), nil)
		f.start(v2)
		f.waiting(v2, 2, stream(2))
		s2.poison.Clear()
		for _, key := range []string{stream(1), stream(2)} {
			if err := v2.Retry(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		f.waiting(v2, 2, stream(1))
		if err := v2.Switch(t.Context(), 2, nil); !errors.Is(err, banyan.ErrConflict) {
			t.Errorf("switch: got error %v, want one of kind conflict", err)
		}
	})
}

// A projection without effects has none to lose.
func TestSwitchDoesNotWaitWithoutEffects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		broken := true
		totals := view.NewCollection[total]("totals")
		d := projection.Define("plain", types, &projection.Options{Collections: []projection.Collection{totals}})
		projection.On(d, func(ctx context.Context, b *projection.Batch, p placed, _ banyan.Event) error {
			if broken {
				return errPoison
			}
			return totals.Update(ctx, b.Writer(), p.Country, func(t *total) error { t.Orders++; return nil })
		})
		r := f.runner(d, nil)
		f.fill(3)
		f.start(r)
		f.caughtUp(r)
		broken = false
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
	})
}

// hooked is a database in which something happens before a batch.
type hooked struct {
	view.Backend
	before func()
}

func (h *hooked) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	if do := h.before; do != nil {
		h.before = nil
		do()
	}
	return h.Backend.Batch(ctx, name, fn)
}

// A generation becomes live between the moment when a retry has read what is
// parked in it and the moment when it applies that.
func TestRetryDuringASwitchRunsEffects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		s1.poison.Store("bad", true)
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		f.append(stream(2), placed{"DE", 1}, cancelled{"worse"})
		v1 := f.runner(s1.define(projection.Options{}), nil)
		stop := f.start(v1)
		f.caughtUp(v1)
		stop()
		s2.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		s2.poison.Store("bad", true)
		s2.poison.Store("worse", true)
		def := s2.define(projection.Options{Version: 2})
		v2 := f.runner(def, nil)
		f.start(v2)
		f.waiting(v2, 2, stream(2))
		s2.poison.Clear()
		db := &hooked{Backend: f.db.ViewBackend(), before: func() {
			if err := v2.Switch(t.Context(), 2, nil); err != nil {
				t.Error(err)
			}
		}}
		operator, err := projection.NewRunner(f.store, view.New(db), def, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{stream(1), stream(2)} {
			if err := operator.Retry(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		f.effectsOnce(s1, s2)
	})
}

// A generation that is no more live may become it again: what it owes is not
// forgotten when another leaves the effects out meanwhile.
func TestOlderGenerationStillOwesEffects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ran := setup(t), effects{}
		broken, quiet := true, false
		d := projection.Define("mails", types, nil)
		projection.On(d, func(_ context.Context, b *projection.Batch, _ placed, e banyan.Event) error {
			if broken {
				return errPoison
			}
			if !quiet {
				b.Effect(func(context.Context) error { ran.ran(e.ID); return nil })
			}
			return nil
		})
		r := f.runner(d, nil)
		owed := string(f.append(stream(1), placed{"DE", 1}).Token())
		f.start(r)
		f.caughtUp(r)
		broken, quiet = false, true
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2) // for this code the event has no effects, so that none are lost
		quiet = false
		if _, err := r.Rebuild(t.Context(), &projection.RebuildOptions{Hold: true}); err != nil {
			t.Fatal(err)
		}
		f.waiting(r, 3, "held")
		if err := r.Switch(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Switch(t.Context(), 3, nil); !errors.Is(err, banyan.ErrConflict) {
			t.Errorf("switch to what left the effects out: got error %v, want one of kind conflict", err)
		}
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		if err := r.Switch(t.Context(), 3, nil); err != nil || ran.count(owed) != 1 {
			t.Errorf("after the retry: switch %v, the effects ran %d times; want once", err, ran.count(owed))
		}
	})
}
