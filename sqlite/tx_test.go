package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// fixture is a database with a store and a table of the user's.
type fixture struct {
	*testing.T
	path  string
	db    *sqlite.DB
	store *store.Store
}

func setup(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{T: t, path: filepath.Join(t.TempDir(), "tx.db")}
	f.db = open(t, f.path, nil)
	var err error
	if f.store, err = f.db.Store(nil); err != nil {
		t.Fatal(err)
	}
	f.in(func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE orders (id TEXT PRIMARY KEY)`)
		return err
	})
	return f
}

func (f *fixture) in(fn func(*sql.Tx) error) {
	f.Helper()
	if err := f.db.InTx(f.Context(), fn); err != nil {
		f.Fatal(err)
	}
}

// orders returns what is in the user's table.
func (f *fixture) orders() (ids []string) {
	f.Helper()
	f.in(func(tx *sql.Tx) error {
		rows, err := tx.Query(`SELECT id FROM orders ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	return ids
}

// log returns the ids of all events.
func (f *fixture) log() (ids []string) {
	f.Helper()
	for e, err := range f.store.All(f.Context(), 0, store.Filter{}) {
		if err != nil {
			f.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func (f *fixture) want(orders, log []string) {
	f.Helper()
	if diff := cmp.Diff(orders, f.orders()); diff != "" {
		f.Errorf("orders (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(log, f.log()); diff != "" {
		f.Errorf("events (-want +got):\n%s", diff)
	}
}

func order(tx *sql.Tx, id string) error {
	_, err := tx.Exec(`INSERT INTO orders (id) VALUES (?)`, id)
	return err
}

func placed(id string, expect store.Expect) store.Write {
	return store.Write{Stream: "order-1", Expect: expect, Events: []banyan.Event{{ID: id, Type: "order.placed", Data: []byte(`{}`)}}}
}

func TestAppendTxCommits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.in(func(tx *sql.Tx) error {
		result, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
		if err == nil && result.Events[0].Position != 1 {
			t.Errorf("position %d, want 1", result.Events[0].Position)
		}
		return errors.Join(err, order(tx, "o1"))
	})
	f.want([]string{"o1"}, []string{"e1"})
}

func TestAppendTxRollsBackWithTheTransaction(t *testing.T) {
	t.Parallel()
	f := setup(t)
	boom := errors.New("boom")
	err := f.db.InTx(t.Context(), func(tx *sql.Tx) error {
		if _, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream)); err != nil {
			return err
		}
		return errors.Join(order(tx, "o1"), boom)
	})
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want that of the function", err)
	}
	f.want(nil, nil)
}

func TestInTxRollsBackOnPanic(t *testing.T) {
	t.Parallel()
	f := setup(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
		}()
		f.in(func(tx *sql.Tx) error {
			if err := order(tx, "o1"); err != nil {
				return err
			}
			panic("boom")
		})
	}()
	f.want(nil, nil)
}

func TestRefusedAppendLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.in(func(tx *sql.Tx) error {
		_, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
		return err
	})
	for _, refused := range []struct {
		kind  error
		write store.Write
	}{
		{banyan.ErrConflict, placed("e2", store.NoStream)},
		{banyan.ErrExists, store.Write{Stream: "order-2", Events: []banyan.Event{
			{ID: "e3", Type: "order.placed", Data: []byte(`{}`)}, {ID: "e1", Type: "order.placed", Data: []byte(`{}`)},
		}}},
	} {
		f.in(func(tx *sql.Tx) error {
			if _, err := f.db.AppendTx(t.Context(), tx, refused.write); !errors.Is(err, refused.kind) {
				t.Errorf("error %v, want kind %v", err, refused.kind)
			}
			return order(tx, refused.kind.Error())
		})
	}
	f.want([]string{"already exists", "conflict"}, []string{"e1"})
}

func TestAppendTxRepeated(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for i, duplicate := range []bool{false, true} {
		f.in(func(tx *sql.Tx) error {
			result, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
			if err != nil {
				return err
			}
			if result.Duplicate != duplicate || result.Revision() != 1 {
				t.Errorf("call %d: duplicate %v at revision %d, want %v at 1", i+1, result.Duplicate, result.Revision(), duplicate)
			}
			return nil
		})
	}
	f.want(nil, []string{"e1"})
}

// TestAppendTxInForeignTransaction uses a *sql.DB of the user's: a follower of
// this process hears of it by looking.
func TestAppendTxInForeignTransaction(t *testing.T) {
	t.Parallel()
	f := setup(t)
	followed := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e, err := range f.store.Follow(ctx, 0, store.Filter{}) {
			if err != nil {
				t.Error(err)
				return
			}
			followed <- e.ID
		}
	}()
	tx, err := bareOpen(t, f.path).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
	if err := errors.Join(err, order(tx, "o1"), tx.Commit()); err != nil {
		t.Fatal(err)
	}
	if id := <-followed; id != "e1" {
		t.Errorf("followed %s, want e1", id)
	}
	cancel()
	<-done
	f.want([]string{"o1"}, []string{"e1"})
}

// TestFollowersHearOfInTx polls so seldom that only being told helps.
func TestFollowersHearOfInTx(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "follow.db"), &sqlite.Options{Poll: time.Hour})
	s, err := db.Store(&store.Options{Poll: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	put := func(i int) {
		err := db.InTx(t.Context(), func(tx *sql.Tx) error {
			_, err := db.AppendTx(t.Context(), tx, placed(fmt.Sprint("e", i), store.Any))
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	// The next event is written once the follower has the one before, so that it
	// waits by then, as good as always.
	const events = 20
	seen := 0
	put(seen)
	for _, err := range s.Follow(ctx, 0, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == events {
			break
		}
		put(seen)
	}
	if seen != events {
		t.Errorf("the follower heard of %d of %d events", seen, events)
	}
}

func TestBatchWithEventsAndOwnTables(t *testing.T) {
	t.Parallel()
	f := setup(t)
	views := f.db.ViewBackend()
	boom := errors.New("boom")
	for _, end := range []error{boom, nil} {
		err := views.Batch(t.Context(), "orders", func(b view.Tx) error {
			tx, ok := sqlite.TxOf(b)
			if !ok {
				t.Fatal("a batch of this package has no transaction")
			}
			_, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
			return errors.Join(err, order(tx, "o1"),
				b.Create(t.Context(), view.Table{Name: "seen"}),
				b.Write(t.Context(), "seen", []view.Row{{Key: "o1", Doc: []byte(`{}`)}}), end)
		})
		if !errors.Is(err, end) {
			t.Fatalf("batch: %v", err)
		}
		if end != nil {
			f.want(nil, nil)
		}
	}
	f.want([]string{"o1"}, []string{"e1"})
	if doc, err := views.Get(t.Context(), "seen", "o1"); string(doc) != `{}` || err != nil {
		t.Errorf("document %s, %v", doc, err)
	}
}

func TestWriteWhoseContextEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f.in(func(*sql.Tx) error { close(held); <-release; return nil })
	}()
	<-held
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() { cancelled <- f.db.InTx(ctx, func(tx *sql.Tx) error { return order(tx, "o1") }) }()
	cancel()
	if err := <-cancelled; !errors.Is(err, banyan.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want unavailable because of the context", err)
	}
	close(release)
	<-done
	f.want(nil, nil)
}
