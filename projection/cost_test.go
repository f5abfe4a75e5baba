package projection_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// counting is a back end that counts what is asked of it.
type counting struct {
	view.Backend
	batches, reads atomic.Int64
	before         func() // each batch; may be nil
}

func (c *counting) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	c.batches.Add(1)
	if c.before != nil {
		c.before()
	}
	return c.Backend.Batch(ctx, name, func(tx view.Tx) error { return fn(countingTx{tx, c}) })
}

type countingTx struct {
	view.Tx
	c *counting
}

func (t countingTx) Get(ctx context.Context, table, key string) ([]byte, error) {
	t.c.reads.Add(1)
	return t.Tx.Get(ctx, table, key)
}

// A page with an event that fails must not cost a batch for each of its events,
// whether the handler failed or something behind it that does not say for which.
func TestPoisonCostsFewBatches(t *testing.T) {
	t.Parallel()
	const events, bad = 2048, 1500
	failing := map[string]func(b *projection.Batch) error{
		"handler": func(*projection.Batch) error { return errPoison },
		"effect": func(b *projection.Batch) error {
			b.Effect(func(context.Context) error { return errPoison })
			return nil
		},
	}
	for name, fail := range failing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := setup(t)
				c := &counting{Backend: f.db.ViewBackend()}
				f.views = view.New(c)
				f.fill(events)
				d := projection.Define("costs", types, &projection.Options{BatchSize: events})
				projection.On(d, func(_ context.Context, b *projection.Batch, _ placed, e banyan.Event) error {
					if e.Position == bad {
						return fail(b)
					}
					return nil
				})
				r := f.runner(d, nil)
				stop := f.start(r)
				f.caughtUp(r)
				stop()
				parked, err := r.Parked(t.Context())
				if err != nil || len(parked) == 0 || parked[0].Position != bad || parked[len(parked)-1].Stream != parked[0].Stream {
					t.Errorf("parked %+v, error %v, want the event at %d and its stream", parked, err, bad)
				}
				if n := c.batches.Load(); n > 50 {
					t.Errorf("%d batches for a page of %d events of which one fails, want at most 50", n, events)
				}
			})
		})
	}
}

// A rebuild reads a row once, not once for each page.
func TestRebuildKnowsItsRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		c := &counting{Backend: f.db.ViewBackend()}
		f.views = view.New(c)
		for range 1000 {
			f.append(stream(1), placed{"DE", 10})
		}
		r := f.runner(s.define(projection.Options{BatchSize: 4}), nil)
		f.start(r)
		f.caughtUp(r)
		reads, batches := c.reads.Load(), c.batches.Load()
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		reads, batches = c.reads.Load()-reads, c.batches.Load()-batches
		if batches < 20 || reads > batches+10 { // of the state there is one in each
			t.Errorf("%d reads in %d batches of a rebuild on two rows, want about one in each", reads, batches)
		}
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

// What another process does to the rows of a rebuild, it sees.
func TestRebuildSeesWhatOthersWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		for range 100 { // changes the row that the parked event will change, too
			f.append(stream(2), cancelled{"good"})
		}
		s.poison.Store("bad", true)
		c := &counting{Backend: f.db.ViewBackend()}
		f.views = view.New(c)
		o := projection.Options{BatchSize: 4}
		r, other := f.runner(s.define(o), nil), f.runner(s.define(o), nil)
		f.start(r)
		f.caughtUp(r)
		var asked atomic.Bool
		c.before = func() {
			if st, err := other.Status(t.Context()); err != nil || len(st.Generations) < 2 || st.Generations[1].Position < 20 {
				return
			}
			if asked.Swap(true) {
				return
			}
			s.poison.Clear()
			if err := other.Retry(t.Context(), stream(1)); err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.activeIs(r, 2)
		if !asked.Load() {
			t.Fatal("nobody retried while the generation was built")
		}
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}
