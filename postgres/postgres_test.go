package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// open returns the database that dsn names and closes it with the test.
func open(t testing.TB, dsn string, o *postgres.Options) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), dsn, o)
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

// places gives each store of a suite a schema of its own in one database, which
// is much cheaper than a database, and remembers it.
type places struct {
	dsn   string
	slots chan struct{} // bounds what is open at once: each place has several connections
	mu    sync.Mutex
	last  int           // guarded by mu
	of    map[any]place // guarded by mu
}

type place struct {
	db     *postgres.DB
	schema string
}

func newPlaces(t testing.TB) *places {
	return &places{dsn: pgtest.Database(t), slots: make(chan struct{}, 8), of: map[any]place{}}
}

// fresh returns the name of a new schema when there is room.
func (p *places) fresh(t testing.TB) string {
	p.slots <- struct{}{}
	t.Cleanup(func() { <-p.slots })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	return fmt.Sprintf("s%d", p.last)
}

// open opens a schema and remembers it under the role that is taken from it.
func (p *places) open(t testing.TB, schema string, role func(*postgres.DB) any) any {
	db := open(t, p.dsn, &postgres.Options{Schema: schema})
	b := role(db)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[b] = place{db: db, schema: schema}
	return b
}

func (p *places) store(t testing.TB, schema string) store.Backend {
	return p.open(t, schema, func(db *postgres.DB) any { return db.Backend() }).(store.Backend)
}

func (p *places) find(b any) place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[b]
}

// shut closes the database behind b and returns its schema.
func (p *places) shut(t testing.TB, b any) string {
	old := p.find(b)
	if err := old.db.Close(); err != nil {
		t.Error(err)
	}
	return old.schema
}

func TestStore(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	storetest.Run(t, storetest.Harness{
		Open:   func(t testing.TB) store.Backend { return p.store(t, p.fresh(t)) },
		Reopen: func(t testing.TB, b store.Backend) store.Backend { return p.store(t, p.shut(t, b)) },
		Share:  func(t testing.TB, b store.Backend) store.Backend { return p.store(t, p.find(b).schema) },
	})
}

// R10: PostgreSQL means what mem means.
func TestDifferential(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	c := storetest.Comparison{
		Open:      func(t testing.TB) store.Backend { return p.store(t, p.passing(t)) },
		Reference: memory,
		Sequences: long.Size(12, 5_000), Steps: 100, Seed: long.Seed(t),
	}
	storetest.Differential(t, c)
	if !t.Failed() {
		long.Report(t, "R10", "postgres against mem: %d sequences of %d calls, 0 differences", c.Sequences, c.Steps)
	}
}

func memory(t testing.TB) store.Backend {
	db := mem.Open()
	t.Cleanup(func() { _ = db.Close() })
	return db.Backend()
}

// The search for an order takes time that grows fast with the calls that overlap;
// slow calls overlap much, so there are few.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	linear.Check(t, func(t testing.TB) store.Backend { return p.store(t, p.fresh(t)) }, 50, 4)
}

// passing returns the name of a new schema that is dropped at the end of the
// test: thousands of them would make the server slow.
func (p *places) passing(t testing.TB) string {
	schema := p.fresh(t)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), p.dsn)
		if err == nil {
			_, err = conn.Exec(context.Background(), fmt.Sprintf("drop schema if exists %[1]s cascade; drop schema if exists %[1]s_views cascade", schema))
			err = errors.Join(err, conn.Close(context.Background()))
		}
		if err != nil {
			t.Errorf("drop schema %s: %v", schema, err)
		}
	})
	return schema
}
