package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

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

// TestAppendTxRefused: a refused append leaves the transaction usable, at every
// isolation level, and what follows in it is stored.
func TestAppendTxRefused(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	for driver, begin := range drivers {
		for _, level := range []string{"read committed", "repeatable read", "serializable"} {
			t.Run(driver+", "+level, func(t *testing.T) {
				t.Parallel()
				db := open(t, p.dsn, &postgres.Options{Schema: p.fresh(t)})
				s, err := db.Store(nil)
				if err != nil {
					t.Fatal(err)
				}
				tx := begin(t, db, p.dsn, level)
				if _, err := tx.append(to("a", store.NoStream, named("a1"))); err != nil {
					t.Fatal(err)
				}
				// Somebody else is faster in another stream, after the snapshot.
				if _, err := s.Append(t.Context(), "b", store.NoStream, named("b1")); err != nil {
					t.Fatal(err)
				}
				_, err = tx.append(to("b", store.NoStream, named("b2")))
				var known *store.ConflictError
				if !errors.Is(err, banyan.ErrConflict) || errors.As(err, &known) != (level == "read committed") {
					t.Errorf("append after somebody else's: %v; want a conflict, and at read committed with the revision", err)
				}
				if _, err := tx.append(to("c", store.NoStream, named("a1"), named("c1"))); !errors.Is(err, banyan.ErrExists) {
					t.Errorf("append with a taken id: %v; want it refused as one that exists", err)
				}
				r, err := tx.append(to("a", store.Exact(1), named("a2")))
				if err != nil || r.Revision() != 2 {
					t.Fatalf("append to the transaction's own stream: revision %d, %v", r.Revision(), err)
				}
				for _, expect := range []store.Expect{store.NoStream, store.Any} { // one that does not hold any more, one that does
					again, err := tx.append(to("a", expect, named("a1")))
					if err != nil || !again.Duplicate || again.Revision() != 1 {
						t.Errorf("repeated append that expects %v: duplicate %v, revision %d, %v; want the first result", expect, again.Duplicate, again.Revision(), err)
					}
				}
				if err := tx.commit(); err != nil {
					t.Fatal(err)
				}
				report, err := s.Verify(t.Context(), nil)
				if err != nil || !report.OK() || report.Events != 3 {
					t.Errorf("verify: %+v, %v; want 3 events", report, err)
				}
			})
		}
	}
}

// TestAppendTxWaits: an append to a stream that another transaction holds waits
// for it, and then comes behind its event or, at levels that cannot see it, is
// told to run again.
func TestAppendTxWaits(t *testing.T) {
	t.Parallel()
	for driver, begin := range drivers {
		for _, level := range []string{"read committed", "repeatable read"} {
			t.Run(driver+", "+level, func(t *testing.T) {
				t.Parallel()
				db, s, dsn := setup(t)
				first, second := begin(t, db, dsn, level), begin(t, db, dsn, level)
				if _, err := first.append(to("a", store.Any, named("1"))); err != nil {
					t.Fatal(err)
				}
				type answer struct {
					store.Result
					err error
				}
				told := make(chan answer, 1)
				go func() {
					r, err := second.append(to("a", store.Any, named("2")))
					told <- answer{r, err}
				}()
				untilBlocked(t, dsn)
				if err := first.commit(); err != nil {
					t.Fatal(err)
				}
				got, stored := <-told, int64(2)
				if level == "read committed" {
					if got.err != nil || got.Revision() != 2 {
						t.Errorf("the second append: revision %d, %v; want 2", got.Revision(), got.err)
					}
				} else if stored = 1; !errors.Is(got.err, banyan.ErrConflict) || !strings.Contains(got.err.Error(), "run it again") {
					t.Errorf("the second append: revision %d, %v; want a conflict that asks to run the transaction again", got.Revision(), got.err)
				}
				if err := second.commit(); err != nil {
					t.Fatal(err)
				}
				report, err := s.Verify(t.Context(), nil)
				if err != nil || !report.OK() || report.Events != stored {
					t.Errorf("verify: %+v, %v; want %d events", report, err, stored)
				}
			})
		}
	}
}

// untilBlocked waits until a session of the database waits for a lock.
func untilBlocked(t testing.TB, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for blocked := false; !blocked; <-tick.C {
		err := conn.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')`).Scan(&blocked)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAppendTxTooLate: in a transaction that has ended or failed nothing can be
// appended, and the error says that it is of no use to try again.
func TestAppendTxTooLate(t *testing.T) {
	t.Parallel()
	db, s, dsn := setup(t)
	for driver, begin := range drivers {
		for name, spoil := range map[string]func(own) error{
			"committed":    func(tx own) error { return tx.commit() },
			"ended in SQL": func(tx own) error { return tx.exec(`rollback`) },
			"failed": func(tx own) error {
				if tx.exec(`select 1/0`) == nil {
					return errors.New("a division by zero succeeded")
				}
				return nil
			},
		} {
			t.Run(driver+", "+name, func(t *testing.T) {
				t.Parallel()
				tx := begin(t, db, dsn, "read committed")
				if err := spoil(tx); err != nil {
					t.Fatal(err)
				}
				if _, err := tx.append(to("a", store.Any, banyan.Event{Type: "happened", Data: []byte("1")})); !errors.Is(err, banyan.ErrInvalid) {
					t.Errorf("append: %v; want an error of kind invalid", err)
				}
			})
		}
	}
	t.Cleanup(func() { // after the subtests
		if head, err := s.Head(context.WithoutCancel(t.Context())); err != nil || head != 0 {
			t.Errorf("head is %d, %v; want nothing stored", head, err)
		}
	})
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
