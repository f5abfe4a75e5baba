package sqlite_test

import (
	"context"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// open opens the file and closes it at the end of the test.
func open(t testing.TB, path string, o *sqlite.Options) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// files knows which back end of the suite belongs to which file.
type files struct {
	mu    sync.Mutex
	paths map[store.Backend]string
	dbs   map[store.Backend]*sqlite.DB
}

func (f *files) open(t testing.TB, path string) store.Backend {
	db := open(t, path, nil)
	b := db.Backend()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths[b], f.dbs[b] = path, db
	return b
}

func (f *files) of(b store.Backend) (string, *sqlite.DB) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.paths[b], f.dbs[b]
}

func harness() storetest.Harness {
	f := &files{paths: map[store.Backend]string{}, dbs: map[store.Backend]*sqlite.DB{}}
	return storetest.Harness{
		Open: func(t testing.TB) store.Backend {
			return f.open(t, filepath.Join(t.TempDir(), "store.db"))
		},
		Reopen: func(t testing.TB, b store.Backend) store.Backend {
			path, db := f.of(b)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			return f.open(t, path)
		},
		Share: func(t testing.TB, b store.Backend) store.Backend {
			path, _ := f.of(b)
			return f.open(t, path)
		},
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, harness())
}

// R10: SQLite means what mem means.
func TestDifferential(t *testing.T) {
	t.Parallel()
	c := storetest.Comparison{
		Open: harness().Open,
		Reference: func(t testing.TB) store.Backend {
			db := mem.Open()
			t.Cleanup(func() { _ = db.Close() })
			return db.Backend()
		},
		Sequences: long.Size(10, 5_000), Steps: 100, Seed: long.Seed(t),
	}
	storetest.Differential(t, c)
	if !t.Failed() {
		long.Report(t, "R10", "sqlite against mem: %d sequences of %d calls, 0 differences", c.Sequences, c.Steps)
	}
}

func TestLinearizable(t *testing.T) {
	t.Parallel()
	linear.Check(t, harness().Open, 150, 6)
}

// TestLinearizableOverTwoHandles sends the calls to two open databases on one
// file by turns.
func TestLinearizableOverTwoHandles(t *testing.T) {
	t.Parallel()
	h := harness()
	linear.Check(t, func(t testing.TB) store.Backend {
		one := h.Open(t)
		return &turns{Backend: one, other: h.Share(t, one)}
	}, 60, 6)
}

// turns uses two back ends in turn.
type turns struct {
	store.Backend
	other store.Backend
	n     atomic.Int64
}

func (b *turns) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	if b.n.Add(1)%2 == 0 {
		return b.other.Append(ctx, commits)
	}
	return b.Backend.Append(ctx, commits)
}

func (b *turns) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	if b.n.Add(1)%2 == 0 {
		return b.other.ReadStream(ctx, stream, r)
	}
	return b.Backend.ReadStream(ctx, stream, r)
}
