package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
)

func TestPoisonParksItsKeyAndOthersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		r := f.runner(s.define(projection.Options{}), nil)
		f.append(stream(1), placed{"DE", 10}, cancelled{"bad"}, cancelled{"good"})
		f.append(stream(2), placed{"DE", 20}, cancelled{"good"})
		stop := f.start(r)
		f.caughtUp(r)
		f.append(stream(1), cancelled{"later"})
		f.append(stream(3), placed{"FR", 30})
		f.caughtUp(r)
		if diff := cmp.Diff(f.fold(s, 100), f.rows(s)); diff != "" {
			t.Errorf("rows beside a parked key (-want +got):\n%s", diff)
		}
		parked, err := r.Parked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parked {
			got = append(got, fmt.Sprintf("%s@%d %d", p.Key, p.Position, p.Attempts))
		}
		if diff := cmp.Diff([]string{"order-001@2 5", "order-001@3 0", "order-001@6 0"}, got); diff != "" {
			t.Errorf("parked events (-want +got):\n%s", diff)
		}
		if !strings.Contains(parked[0].Error, errPoison.Error()) {
			t.Errorf("the first parked event says %q, want its error", parked[0].Error)
		}
		if g := f.status(r).Active(); g.ParkedKeys != 1 || g.ParkedEvents != 3 {
			t.Errorf("status: %d parked keys and %d events, want 1 and 3", g.ParkedKeys, g.ParkedEvents)
		}

		if err := r.Retry(t.Context(), stream(1)); !errors.Is(err, errPoison) {
			t.Errorf("retry of what still fails: got error %v, want that of the handler", err)
		}
		if parked, _ := r.Parked(t.Context()); len(parked) != 3 || parked[0].Attempts != 6 {
			t.Errorf("after a retry in vain: %+v, want three events and one more attempt", parked)
		}

		s.poison.Clear()
		if err := r.Retry(t.Context(), stream(1)); err != nil {
			t.Fatalf("retry: %v", err)
		}
		f.append(stream(1), cancelled{"last"})
		f.caughtUp(r)
		if diff := cmp.Diff(f.fold(s, 100), f.rows(s)); diff != "" {
			t.Errorf("rows after the retry (-want +got):\n%s", diff)
		}
		if g := f.status(r).Active(); g.ParkedKeys != 0 || g.ParkedEvents != 0 {
			t.Errorf("status after the retry: %d parked keys and %d events, want none", g.ParkedKeys, g.ParkedEvents)
		}
		if err := r.Retry(t.Context(), stream(1)); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("retry of a key that is not parked: got error %v, want one of kind not found", err)
		}
		for e, err := range f.store.All(t.Context(), 0, storeAll) {
			if err != nil || s.effects.count(e.ID) != 1 {
				t.Errorf("effects of event %d ran %d times, want once (error %v)", e.Position, s.effects.count(e.ID), err)
			}
		}
		stop()
	})
}

func TestRetryKeepsWhatSucceedsAndStopsAtWhatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		s.poison.Store("worse", true)
		r := f.runner(s.define(projection.Options{}), nil)
		f.append(stream(1), placed{"DE", 10}, cancelled{"bad"}, cancelled{"good"}, cancelled{"worse"}, cancelled{"good"})
		f.start(r)
		f.caughtUp(r)
		s.poison.Delete("bad")
		if err := r.Retry(t.Context(), stream(1)); !errors.Is(err, errPoison) {
			t.Errorf("got error %v, want that of the handler", err)
		}
		parked, err := r.Parked(t.Context())
		if err != nil || len(parked) != 2 || parked[0].Position != 4 {
			t.Errorf("got %+v and error %v, want positions 4 and 5 parked", parked, err)
		}
		total, _, err := s.totals.Get(t.Context(), f.views, "cancelled")
		if err != nil || total.Cancelled != 2 {
			t.Errorf("got %+v and error %v, want the two events before it applied", total, err)
		}
	})
}

// Another process, whose memory does not know of it, must see that a key was
// retried.
func TestRetryByAnotherRunnerIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		def := s.define(projection.Options{})
		r, operator := f.runner(def, nil), f.runner(def, nil)
		f.append(stream(1), placed{"DE", 10}, cancelled{"bad"})
		f.start(r)
		f.caughtUp(r)
		s.poison.Clear()
		if err := operator.Retry(t.Context(), stream(1)); err != nil {
			t.Fatal(err)
		}
		f.append(stream(1), cancelled{"good"})
		f.caughtUp(r)
		if diff := cmp.Diff(f.fold(s, 100), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestNewerVersionIsParkedUnknownTypeIsSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		f.append(stream(1), banyan.Event{Type: "order.placed", Schema: 3, Data: []byte(`{"new":1}`)})
		f.append(stream(2), banyan.Event{Type: "order.placed", Schema: 1, Data: []byte(`{"land":"DE","amount":7}`)})
		f.append(stream(3), banyan.Event{Type: "order.unheard", Data: []byte(`{}`)}, placed{"FR", 1})
		f.append(stream(4), banyan.Event{Type: "order.placed", Schema: 2, Data: []byte(`{"amount":"text"}`)})
		f.start(r)
		f.caughtUp(r)
		parked, err := r.Parked(t.Context())
		if err != nil || len(parked) != 2 {
			t.Fatalf("got %+v and error %v, want the newer and the damaged event", parked, err)
		}
		if p := parked[0]; p.Key != stream(1) || p.Attempts != 1 || !strings.Contains(p.Error, "newer version") {
			t.Errorf("got %+v, want the newer event, tried once, with the reason", p)
		}
		if p := parked[1]; p.Key != stream(4) || !strings.Contains(p.Error, "corrupt") {
			t.Errorf("got %+v, want the event whose data does not fit", p)
		}
		if total, _, err := s.totals.Get(t.Context(), f.views, "DE"); err != nil || total.Amount != 7 {
			t.Errorf("upcast event: got %+v and error %v, want amount 7", total, err)
		}
		if total, _, err := s.totals.Get(t.Context(), f.views, "FR"); err != nil || total.Orders != 1 {
			t.Errorf("event behind an unknown type: got %+v and error %v, want one order", total, err)
		}
	})
}

func TestPanicParks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		d := projection.Define("panics", types, nil)
		projection.On(d, func(context.Context, *projection.Batch, placed, banyan.Event) error { panic("by the test") })
		r := f.runner(d, &projection.RunnerOptions{Attempts: 2})
		f.append(stream(1), placed{})
		f.start(r)
		f.caughtUp(r)
		parked, err := r.Parked(t.Context())
		if err != nil || len(parked) != 1 || !strings.Contains(parked[0].Error, "panic: by the test") || parked[0].Attempts != 2 {
			t.Errorf("got %+v and error %v, want the event parked with its panic after two attempts", parked, err)
		}
	})
}

// A database or service that does not answer is no fault of the event.
func TestUnavailableIsTriedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		calls := 0
		d := projection.Define("patient", types, nil)
		projection.On(d, func(context.Context, *projection.Batch, placed, banyan.Event) error {
			if calls++; calls < 15 {
				return fmt.Errorf("the test: %w", banyan.ErrUnavailable)
			}
			return nil
		})
		r := f.runner(d, nil)
		f.append(stream(1), placed{}, placed{})
		f.start(r)
		f.eventually("both events are handled", func() bool { return f.status(r).Active().Handled == 2 })
		if g := f.status(r).Active(); g.ParkedEvents != 0 {
			t.Errorf("%d events are parked, want none", g.ParkedEvents)
		}
	})
}

func TestKeyOption(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		long := strings.Repeat("ü", 400)
		r := f.runner(s.define(projection.Options{Key: func(e banyan.Event) string { return long + "\x00" + e.Category() }}), nil)
		f.append("order-1", placed{"DE", 1}, cancelled{"bad"})
		f.append("order-2", placed{"DE", 1})
		f.append("basket-1", placed{"FR", 1})
		f.start(r)
		f.caughtUp(r)
		parked, err := r.Parked(t.Context())
		if err != nil || len(parked) != 2 || parked[1].Stream != "order-2" {
			t.Fatalf("got %+v and error %v, want the failed event and the other of its category", parked, err)
		}
		if n := len(parked[0].Key); n > 500 {
			t.Errorf("the key has %d bytes", n)
		}
		s.poison.Clear()
		if err := r.Retry(t.Context(), parked[0].Key); err != nil {
			t.Fatal(err)
		}
		if g := f.status(r).Active(); g.ParkedEvents != 0 || g.Handled != 4 {
			t.Errorf("got %+v, want all four handled", g)
		}
	})
}
