package projection_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// database is what a technology's DB hands out.
type database interface {
	Store(*store.Options) (*store.Store, error)
	Views() (*view.DB, error)
	Close() error
}

func TestOnSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.db")
	onDatabase(t, func() (database, error) { return sqlite.Open(t.Context(), path, nil) })
}

func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	onDatabase(t, func() (database, error) { return postgres.Open(t.Context(), dsn, nil) })
}

// onDatabase goes through a projection's life on a back end with real
// transactions: a run, a restart, a rebuild, a switch back and a drop.
func onDatabase(t *testing.T, again func() (database, error)) {
	s := newSales()
	s.poison.Store("bad", true)
	open := func() (*fixture, func()) {
		db, err := again()
		if err != nil {
			t.Fatal(err)
		}
		st, err := db.Store(nil)
		if err != nil {
			t.Fatal(err)
		}
		views, err := db.Views()
		if err != nil {
			t.Fatal(err)
		}
		return &fixture{TB: t, store: st, views: views}, func() {
			if err := db.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	def := s.define(projection.Options{})

	f, closeDB := open()
	f.fill(600)
	f.append(stream(1), cancelled{"bad"}, cancelled{"good"})
	r := f.runner(def, nil)
	stop := f.start(r)
	f.caughtUp(r)
	stop()
	closeDB()

	f, closeDB = open()
	defer closeDB()
	f.fill(600)
	r = f.runner(def, nil)
	stop = f.start(r)
	defer stop()
	f.caughtUp(r)
	check := func(when string) {
		t.Helper()
		if diff := cmp.Diff(f.fold(s, f.status(r).Active().Position), f.rows(s)); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", when, diff)
		}
	}
	check("after a restart")
	if _, err := r.Rebuild(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	f.activeIs(r, 2)
	check("after a rebuild")
	s.poison.Clear()
	if err := r.Retry(t.Context(), stream(1)); err != nil {
		t.Fatal(err)
	}
	token := f.append(stream(1), cancelled{"last"}).Token()
	if err := r.Wait(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	check("after a retry")
	if err := r.Switch(t.Context(), 1, nil); err != nil {
		t.Fatal(err)
	}
	check("after the switch back")
	if err := r.Drop(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	check("after the drop")
}
