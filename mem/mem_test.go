package mem_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
	"github.com/banyanhq/banyan/view"
	"github.com/banyanhq/banyan/view/viewtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{Open: backend})
}

// TestStoreOpenedAgain closes a Store of a DB and takes another one: the events
// must be there as long as the DB is.
func TestStoreOpenedAgain(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{
		Open: backend,
		Reopen: func(tb testing.TB, b store.Backend) store.Backend {
			if err := b.Close(); err != nil {
				tb.Error(err)
			}
			return b
		},
	})
}

func TestViews(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, viewtest.Harness{Open: func(tb testing.TB) view.Backend { return open(tb).ViewBackend() }})
}

func TestLinearizable(t *testing.T) {
	t.Parallel()
	linear.Check(t, backend, 150, 8)
}

// R10: two Stores of one DB that are used by turns mean what a single one means.
func TestDifferential(t *testing.T) {
	t.Parallel()
	c := storetest.Comparison{
		Open: func(t testing.TB) store.Backend {
			db := open(t)
			return &turns{Backend: db.Backend(), other: db.Backend()}
		},
		Reference: backend,
		Sequences: long.Size(50, 5_000), Steps: 100, Seed: long.Seed(t),
	}
	storetest.Differential(t, c)
	if !t.Failed() {
		long.Report(t, "R10", "mem over two handles against mem: %d sequences of %d calls, 0 differences", c.Sequences, c.Steps)
	}
}

// turns uses two back ends on the same events in turn.
type turns struct {
	store.Backend
	other store.Backend
	n     int
}

func (b *turns) next() store.Backend {
	b.n++
	if b.n%2 == 0 {
		return b.other
	}
	return b.Backend
}

func (b *turns) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	return b.next().Append(ctx, commits)
}

func (b *turns) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	return b.next().ReadStream(ctx, stream, r)
}

func (b *turns) ReadAll(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
	return b.next().ReadAll(ctx, after, f, limit)
}

func (b *turns) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	return b.next().Lookup(ctx, ids)
}

func (b *turns) Head(ctx context.Context) (banyan.Position, error) { return b.next().Head(ctx) }

func open(t testing.TB) *mem.DB {
	db := mem.Open()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func backend(t testing.TB) store.Backend { return open(t).Backend() }

func event(data string) banyan.Event {
	return banyan.Event{Type: "happened", Data: []byte(data)}
}

func newStore(t testing.TB, db *mem.DB) *store.Store {
	t.Helper()
	st, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStoresOfADBShareItsEvents(t *testing.T) {
	t.Parallel()
	db := open(t)
	one, two := newStore(t, db), newStore(t, db)
	if _, err := one.Append(t.Context(), "a-1", store.NoStream, event("1")); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Append(t.Context(), "a-1", store.NoStream, event("1")); !errors.Is(err, banyan.ErrConflict) {
		t.Fatalf("error %v; want kind %q: the event of the other store is there", err, banyan.ErrConflict)
	}
	if _, err := two.Append(t.Context(), "a-1", store.Exact(1), event("1")); err != nil {
		t.Fatalf("after the other store was closed: %v", err)
	}
}

func TestReadersCannotChangeTheLog(t *testing.T) {
	t.Parallel()
	st := newStore(t, open(t))
	e := event(`"as it was"`)
	e.ID = "x"
	result, err := st.Append(t.Context(), "a-1", store.NoStream, e)
	if err != nil {
		t.Fatal(err)
	}
	clear(result.Events[0].Data)
	for range 2 {
		for e, err := range st.Read(t.Context(), "a-1", store.ReadOptions{}) {
			if err != nil || string(e.Data) != `"as it was"` {
				t.Fatalf("data %q, %v", e.Data, err)
			}
			clear(e.Data)
		}
	}
}

func TestClosedDB(t *testing.T) {
	t.Parallel()
	db := mem.Open()
	st := newStore(t, db)
	views, err := db.Views()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	_, appended := st.Append(t.Context(), "a-1", store.Any, event("1"))
	_, head := st.Head(t.Context())
	batch := views.Batch(t.Context(), "b", func(view.Tx) error { t.Error("the batch ran"); return nil })
	for call, err := range map[string]error{"Append": appended, "Head": head, "Batch": batch} {
		if !errors.Is(err, banyan.ErrClosed) {
			t.Errorf("%s: error %v; want kind %q", call, err, banyan.ErrClosed)
		}
	}
}

// TestHandlersMayRead reads events and rows within a batch, as handlers of
// projections do: the batch must not hold what a reader needs.
func TestHandlersMayRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := open(t)
		st := newStore(t, db)
		b := db.ViewBackend()
		table := view.Table{Name: "rows_g1"}
		ctx := t.Context()
		write := func(doc string) error {
			return b.Batch(ctx, "p", func(tx view.Tx) error {
				if err := tx.Create(ctx, table); err != nil {
					return err
				}
				if _, err := st.Append(ctx, "a-1", store.Any, event("1")); err != nil {
					return err
				}
				if err := tx.Write(ctx, table.Name, []view.Row{{Key: "k", Doc: []byte(doc)}}); err != nil {
					return err
				}
				before, err := b.Get(ctx, table.Name, "k")
				if doc == "2" && (err != nil || string(before) != "1") {
					t.Errorf("within the batch others read %q, %v; want what was there before", before, err)
				}
				return nil
			})
		}
		if err := errors.Join(write("1"), write("2")); err != nil {
			t.Fatal(err)
		}
		if doc, err := b.Get(ctx, table.Name, "k"); err != nil || string(doc) != "2" {
			t.Fatalf("after the batch: %q, %v; want 2", doc, err)
		}
	})
}

func TestBatchWaitsItsTurnAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := open(t).ViewBackend()
		ctx, cancel := context.WithCancel(t.Context())
		if err := b.Batch(t.Context(), "p", func(view.Tx) error {
			late := make(chan error, 1)
			go func() { late <- b.Batch(ctx, "p", func(view.Tx) error { return errors.New("it overlaps") }) }()
			synctest.Wait()
			cancel()
			if err := <-late; !errors.Is(err, context.Canceled) || !errors.Is(err, banyan.ErrUnavailable) {
				t.Errorf("error %v; want the context's, of kind %q", err, banyan.ErrUnavailable)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
