package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

func setup(t testing.TB) (*postgres.DB, *store.Store, string) {
	t.Helper()
	dsn := pgtest.Database(t)
	db := open(t, dsn, nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	return db, s, dsn
}

func to(stream string, expect store.Expect, events ...banyan.Event) store.Write {
	return store.Write{Stream: stream, Expect: expect, Events: events}
}

func named(id string) banyan.Event { return banyan.Event{ID: id, Type: "happened", Data: []byte("1")} }

// TestInTx: the user's row and the event are kept or lost together.
func TestInTx(t *testing.T) {
	t.Parallel()
	db, s, dsn := setup(t)
	conn := connect(t, dsn)
	run(t, conn, `create table orders (id text)`)
	place := func(id string, fail error) error {
		return db.InTx(t.Context(), func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `insert into orders values ($1)`, id); err != nil {
				return err
			}
			if _, err := db.AppendTx(t.Context(), tx, to("order-"+id, store.NoStream, named(id))); err != nil {
				return err
			}
			return fail
		})
	}
	if err := place("1", nil); err != nil {
		t.Fatal(err)
	}
	if err := place("2", errRollback); err != errRollback { //nolint:errorlint // it must come back unchanged
		t.Fatalf("error is %v; want that of the function", err)
	}
	var rows int
	if err := conn.QueryRow(t.Context(), `select count(*) from orders`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("%d rows, %v; want 1", rows, err)
	}
	found, err := s.Lookup(t.Context(), "1", "2")
	if err != nil || len(found) != 1 || found[0].ID != "1" {
		t.Errorf("events are %v, %v; want that of the first order only", found, err)
	}
}

// TestAppendTxRefused: a conflict leaves the transaction usable, at every
// isolation level, and what follows in it is stored.
func TestAppendTxRefused(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			db, s, dsn := setup(t)
			conn := connect(t, dsn)
			tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.AppendTx(t.Context(), tx, to("a", store.NoStream, named("a1"))); err != nil {
				t.Fatal(err)
			}
			// Somebody else is faster in another stream, after the snapshot.
			if _, err := s.Append(t.Context(), "b", store.NoStream, named("b1")); err != nil {
				t.Fatal(err)
			}
			if _, err := db.AppendTx(t.Context(), tx, to("b", store.NoStream, named("b2"))); !errors.Is(err, banyan.ErrConflict) {
				t.Errorf("append after somebody else's: %v; want a conflict", err)
			}
			r, err := db.AppendTx(t.Context(), tx, to("a", store.Exact(1), named("a2")))
			if err != nil || r.Revision() != 2 {
				t.Fatalf("append to the transaction's own stream: revision %d, %v", r.Revision(), err)
			}
			again, err := db.AppendTx(t.Context(), tx, to("a", store.NoStream, named("a1")))
			if err != nil || !again.Duplicate {
				t.Errorf("repeated append: duplicate %v, %v", again.Duplicate, err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			report, err := s.Verify(t.Context(), nil)
			if err != nil || !report.OK() || report.Events != 3 {
				t.Errorf("verify: %+v, %v; want 3 events", report, err)
			}
		})
	}
}

// TestBusy: in a group only the commit that a foreign transaction concerns is
// Busy; alone it waits for the transaction.
func TestBusy(t *testing.T) {
	t.Parallel()
	db, s, _ := setup(t)
	b := db.Backend()
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- db.InTx(t.Context(), func(tx pgx.Tx) error {
			_, err := db.AppendTx(t.Context(), tx, to("held", store.NoStream, named("theirs")))
			close(inside)
			<-leave
			return err
		})
	}()
	<-inside
	group := []store.Commit{prepare(t, s, to("free-1", store.Any, named("f1"))), prepare(t, s, to("held", store.Any, named("mine"))), prepare(t, s, to("free-2", store.Any, named("f2")))}
	outcomes, err := b.Append(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	for i, busy := range []bool{false, true, false} {
		if outcomes[i].Busy != busy || outcomes[i].Err != nil || (len(outcomes[i].Records) == 1) == busy {
			t.Errorf("outcome %d: busy %v, %d records, %v; want busy %v", i, outcomes[i].Busy, len(outcomes[i].Records), outcomes[i].Err, busy)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	alone := make(chan error, 2)
	go func() {
		_, err := b.Append(ctx, group[1:2])
		alone <- err
	}()
	cancel()
	if err := <-alone; !errors.Is(err, context.Canceled) {
		t.Errorf("an append whose caller left while it waited: %v", err)
	}
	go func() {
		outcomes, err := b.Append(t.Context(), group[1:2])
		if err == nil && (outcomes[0].Busy || outcomes[0].Err != nil || outcomes[0].Records[0].Revision != 2) {
			err = fmt.Errorf("outcome %+v; want revision 2", outcomes[0])
		}
		alone <- err
	}()
	close(leave)
	if err := errors.Join(<-left, <-alone); err != nil {
		t.Error(err)
	}
}

func prepare(t testing.TB, s *store.Store, w ...store.Write) store.Commit {
	t.Helper()
	c, err := s.Prepare(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTwoProcesses: two handles on one database append to the same streams, with
// and without an expectation; nothing is lost and nothing has a gap.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	_, one, dsn := setup(t)
	two, err := open(t, dsn, nil).Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	const each = 25
	var wg sync.WaitGroup
	for n := range 16 {
		s := []*store.Store{one, two}[n%2]
		wg.Go(func() {
			for i, revision := 0, banyan.Revision(0); i < each; {
				stream, expect := fmt.Sprintf("any-%d", i%3), store.Any
				if n%4 < 2 {
					stream, expect = "exact", store.Exact(revision)
				}
				r, err := s.Append(t.Context(), stream, expect, named(banyan.NewID()))
				var conflict *store.ConflictError
				switch {
				case err == nil:
					i, revision = i+1, r.Revision()
				case errors.As(err, &conflict) && conflict.Have != revision:
					revision = conflict.Have
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	report, err := one.Verify(t.Context(), nil)
	if err != nil || !report.OK() || report.Events != 16*each || report.Streams != 4 {
		t.Errorf("verify: %+v, %v; want %d events in 4 streams", report, err, 16*each)
	}
}

// TestCheckFindsFaults plants damage and expects it to be named.
func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, damage, fault string }{
		{"lost ticket", `delete from banyan.queue`, "neither a ticket nor a place"},
		{"two tickets", `insert into banyan.queue select * from banyan.queue`, "2 tickets"},
		{"lost event", `delete from banyan.events where revision = 2`, "there are 1"},
		{"moved", `select banyan.sequence(); update banyan.log set position = position + 5`, "must follow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db, s, dsn := setup(t)
			if _, err := s.Append(t.Context(), "a", store.NoStream, named("1"), named("2")); err != nil {
				t.Fatal(err)
			}
			run(t, connect(t, dsn), c.damage)
			faults, err := db.Backend().(store.Checker).Check(t.Context())
			if err != nil || !strings.Contains(strings.Join(faults, "\n"), c.fault) {
				t.Errorf("faults are %q, %v; want %q", faults, err, c.fault)
			}
		})
	}
}

// TestOpenRefuses: what cannot be served is refused at the start, and no error
// shows the password.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	setting := func(s string) string { return dsn + "&options=" + s }
	run(t, connect(t, dsn), `create schema future; create table future.version (version int); insert into future.version values (99)`)
	for _, c := range []struct {
		name, dsn string
		o         *postgres.Options
		kind      error
		text      string
	}{
		{"async", setting("-csynchronous_commit%3Doff"), nil, banyan.ErrInvalid, "synchronous_commit"},
		{"newer schema", dsn, &postgres.Options{Schema: "future"}, banyan.ErrInvalid, "99"},
		{"schema name", dsn, &postgres.Options{Schema: "a b"}, banyan.ErrInvalid, "schema"},
		{"no server", "postgres://u:secret@127.0.0.1:1/x?sslmode=disable", nil, banyan.ErrUnavailable, ""},
		{"no database", strings.Replace(dsn, "?", "no?", 1), nil, banyan.ErrNotFound, "does not exist"},
		{"bad dsn", "postgres://u:secret@[/x?sslmode=never", nil, banyan.ErrInvalid, ""},
	} {
		db, err := postgres.Open(t.Context(), c.dsn, c.o)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want kind %q with %q and no password", c.name, err, c.kind, c.text)
		}
		if db != nil {
			_ = db.Close()
		}
	}
	db := open(t, setting("-csynchronous_commit%3Doff"), &postgres.Options{Unsafe: true})
	if db.Backend().Promises().Durable {
		t.Error("an unsafe database promises Durable")
	}
}

// TestTxOf: a projection's own SQL is in its batch.
func TestTxOf(t *testing.T) {
	t.Parallel()
	db, _, dsn := setup(t)
	conn := connect(t, dsn)
	run(t, conn, `create table mine (n int)`)
	for _, fail := range []error{errRollback, nil} {
		err := db.ViewBackend().Batch(t.Context(), "p", func(tx view.Tx) error {
			own, ok := postgres.TxOf(tx)
			if !ok {
				t.Error("a batch of postgres has no pgx.Tx")
				return errRollback
			}
			if _, err := own.Exec(t.Context(), `insert into mine values (1)`); err != nil {
				return err
			}
			return fail
		})
		if !errors.Is(err, fail) {
			t.Fatalf("batch: %v; want %v", err, fail)
		}
	}
	var n int
	if err := conn.QueryRow(t.Context(), `select count(*) from mine`).Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v; want that of the batch that was kept", n, err)
	}
}
