package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// plain is a driver as strangers write them: it takes only the types that
// database/sql knows, and its errors have an SQLSTATE and nothing of pgx.
type plain struct {
	driver.Connector
	ran func(text string) // called after each statement; nil means nothing
}

func (p plain) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return plainConn{c: c.(*stdlib.Conn), ran: p.ran}, nil
}

type plainConn struct {
	c   *stdlib.Conn // not embedded: it would take any type
	ran func(text string)
}

func (p plainConn) Close() error                           { return p.c.Close() }
func (p plainConn) Begin() (driver.Tx, error)              { return p.c.Begin() }
func (p plainConn) Prepare(string) (driver.Stmt, error)    { return nil, errors.New("not used here") }
func (p plainConn) ResetSession(ctx context.Context) error { return p.c.ResetSession(ctx) }
func (p plainConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	return p.c.BeginTx(ctx, o)
}

func (p plainConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	r, err := p.c.ExecContext(ctx, text, args)
	if p.ran != nil {
		p.ran(text)
	}
	return r, foreign(err)
}

func (p plainConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := p.c.QueryContext(ctx, text, args)
	return plainRows{rows}, foreign(err)
}

type plainRows struct{ driver.Rows }

func (r plainRows) Next(to []driver.Value) error { return foreign(r.Rows.Next(to)) }

// foreignError is an error of that driver.
type foreignError struct{ code, text string }

func (e foreignError) Error() string    { return e.text }
func (e foreignError) SQLState() string { return e.code }

func foreign(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return foreignError{code: pg.Code, text: pg.Message}
	}
	return err
}

// ways are those in which a program may use PostgreSQL through database/sql.
var ways = []struct {
	name, mode string
	plain      bool
}{
	{name: "default"},
	{name: "describe", mode: "cache_describe"},
	{name: "exec", mode: "exec"},
	{name: "simple protocol", mode: "simple_protocol"},
	{name: "plain driver", plain: true},
	{name: "plain driver, simple protocol", mode: "simple_protocol", plain: true},
}

// openSQL opens dsn in a query mode of pgx ("" is its default), by the plain
// driver or by pgx's own.
func openSQL(t testing.TB, dsn, mode string, plainly bool, ran func(string)) *sql.DB {
	t.Helper()
	if mode != "" {
		dsn += "&default_query_exec_mode=" + mode
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	connector := stdlib.GetConnector(*config)
	if plainly {
		connector = plain{Connector: connector, ran: ran}
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(16)
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return pool
}

// own is a transaction of the user's own, by some driver.
type own struct {
	append func(...store.Write) (store.Result, error)
	exec   func(text string) error
	commit func() error
}

// drivers begin transactions. An isolation level is as SQL names it.
var drivers = map[string]func(t testing.TB, db *postgres.DB, dsn, level string) own{
	"pgx": beginPGX,
	"database/sql": func(t testing.TB, db *postgres.DB, dsn, level string) own {
		return beginSQL(t, db, openSQL(t, dsn, "", false, nil), level)
	},
	"database/sql, simple protocol": func(t testing.TB, db *postgres.DB, dsn, level string) own {
		return beginSQL(t, db, openSQL(t, dsn, "simple_protocol", false, nil), level)
	},
	"plain driver": func(t testing.TB, db *postgres.DB, dsn, level string) own {
		return beginSQL(t, db, openSQL(t, dsn, "", true, nil), level)
	},
}

func beginPGX(t testing.TB, db *postgres.DB, dsn, level string) own {
	t.Helper()
	tx, err := connect(t, dsn).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.TxIsoLevel(level)})
	if err != nil {
		t.Fatal(err)
	}
	return own{
		append: func(w ...store.Write) (store.Result, error) { return db.AppendTx(t.Context(), tx, w...) },
		exec:   func(text string) error { _, err := tx.Exec(t.Context(), text); return err },
		commit: func() error { return tx.Commit(t.Context()) },
	}
}

func beginSQL(t testing.TB, db *postgres.DB, pool *sql.DB, level string) own {
	t.Helper()
	tx, err := pool.BeginTx(t.Context(), &sql.TxOptions{Isolation: map[string]sql.IsolationLevel{
		"read committed": sql.LevelReadCommitted, "repeatable read": sql.LevelRepeatableRead, "serializable": sql.LevelSerializable,
	}[level]})
	if err != nil {
		t.Fatal(err)
	}
	return own{
		append: func(w ...store.Write) (store.Result, error) { return db.AppendSQL(t.Context(), tx, w...) },
		exec:   func(text string) error { _, err := tx.ExecContext(t.Context(), text); return err },
		commit: tx.Commit,
	}
}

// TestAppendSQL: the user's row and the events are kept or lost together, by
// whatever driver and protocol.
func TestAppendSQL(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			schema := p.fresh(t)
			db := open(t, p.dsn, &postgres.Options{Schema: schema})
			s, err := db.Store(nil)
			if err != nil {
				t.Fatal(err)
			}
			pool := openSQL(t, p.dsn, way.mode, way.plain, nil)
			if _, err := pool.ExecContext(t.Context(), `create table `+schema+`.orders (id text)`); err != nil {
				t.Fatal(err)
			}
			place := func(id string, end func(*sql.Tx) error) {
				t.Helper()
				tx, err := pool.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.ExecContext(t.Context(), `insert into `+schema+`.orders values ($1)`, id); err != nil {
					t.Fatal(err)
				}
				for n := range store.Expect(2) { // the second sees the first
					r, err := db.AppendSQL(t.Context(), tx, to("order-"+id, n, named(id+"."+string('1'+rune(n)))), to("all", store.Any, named(banyan.NewID())))
					if err != nil || len(r.Events) != 2 || r.Events[0].Revision != banyan.Revision(n)+1 {
						t.Fatalf("append %d: %+v, %v; want revision %d", n+1, r.Events, err, n+1)
					}
				}
				if err := end(tx); err != nil {
					t.Fatal(err)
				}
			}
			place("1", (*sql.Tx).Commit)
			place("2", (*sql.Tx).Rollback)
			var rows int
			if err := pool.QueryRowContext(t.Context(), `select count(*) from `+schema+`.orders`).Scan(&rows); err != nil || rows != 1 {
				t.Errorf("%d rows, %v; want 1", rows, err)
			}
			found, err := s.Lookup(t.Context(), "1.1", "1.2", "2.1", "2.2")
			if err != nil || len(found) != 2 || found[0].Stream != "order-1" || found[1].Stream != "order-1" {
				t.Errorf("events are %v, %v; want the two of the first order", found, err)
			}
			report, err := s.Verify(t.Context(), nil)
			if err != nil || !report.OK() || report.Events != 4 {
				t.Errorf("verify: %+v, %v; want 4 events", report, err)
			}
		})
	}
}

// TestAppendSQLEndedContext: the caller's context ends when the events are in the
// transaction already. The append fails and leaves nothing in it, and the
// transaction, which has a context of its own, goes on.
func TestAppendSQLEndedContext(t *testing.T) {
	t.Parallel()
	db, s, dsn := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	inserted := false
	pool := openSQL(t, dsn, "", true, func(text string) {
		if !inserted && len(text) > 200 { // the only statement as long as that
			inserted = true
			cancel()
		}
	})
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.AppendSQL(ctx, tx, to("a", store.NoStream, named("lost"))); !errors.Is(err, context.Canceled) || !inserted {
		t.Errorf("append whose context ended: %v, inserted %v; want it cancelled after the insert", err, inserted)
	}
	if _, err := db.AppendSQL(t.Context(), tx, to("a", store.NoStream, named("kept"))); err != nil {
		t.Errorf("the next append: %v; want the transaction usable", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	found, err := s.Lookup(t.Context(), "lost", "kept")
	if err != nil || len(found) != 1 || found[0].ID != "kept" {
		t.Errorf("events are %v, %v; want the second only", found, err)
	}
}

// inTransactions is a store whose appends are transactions of the user's: one
// for each group, so that the later commits of a group see the earlier ones.
type inTransactions struct {
	store.Backend
	store.Snapshotter
	store.Checker
	begin func(context.Context) (userTx, error)
}

// userTx is a transaction by pgx or database/sql.
type userTx struct {
	append           func(context.Context, store.Commit) (store.Outcome, error)
	commit, rollback func() error
}

// Append runs a transaction that met a deadlock again, then with one for each
// commit: groups of the suite go through the same streams in different orders.
func (b *inTransactions) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	outcomes, err := b.once(ctx, commits)
	if !errors.Is(err, banyan.ErrConflict) {
		return outcomes, err
	}
	outcomes = make([]store.Outcome, len(commits))
	for i := range commits {
		one, err := b.once(ctx, commits[i:i+1])
		for errors.Is(err, banyan.ErrConflict) {
			one, err = b.once(ctx, commits[i:i+1])
		}
		if err != nil {
			return nil, err
		}
		outcomes[i] = one[0]
	}
	return outcomes, nil
}

func (b *inTransactions) once(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	tx, err := b.begin(ctx)
	if err != nil {
		return nil, err
	}
	outcomes := make([]store.Outcome, len(commits))
	for i := range commits {
		if outcomes[i], err = tx.append(ctx, commits[i]); err != nil {
			return nil, errors.Join(err, tx.rollback())
		}
	}
	return outcomes, tx.commit()
}

// overSQL makes a store of transactions of database/sql.
func overSQL(db *postgres.DB, pool *sql.DB) *inTransactions {
	return over(db, func(ctx context.Context) (userTx, error) {
		tx, err := pool.BeginTx(ctx, nil)
		return userTx{
			append: func(ctx context.Context, c store.Commit) (store.Outcome, error) { return db.CommitSQL(ctx, tx, c) },
			commit: tx.Commit,
			rollback: func() error {
				if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
					return err
				}
				return nil // its context has ended
			},
		}, err
	})
}

func over(db *postgres.DB, begin func(context.Context) (userTx, error)) *inTransactions {
	b := db.Backend()
	return &inTransactions{Backend: b, Snapshotter: b.(store.Snapshotter), Checker: b.(store.Checker), begin: begin}
}

// unusual are settings of a session that change how values are written and read,
// and one that finds deadlocks at once.
const unusual = "&timezone=America/St_Johns&datestyle=German&intervalstyle=sql_standard&bytea_output=escape&extra_float_digits=-5&options=-cdeadlock_timeout%3D10ms"

// TestStoreOverSQL: appends in transactions keep what the store promises, with
// the driver that can do the least and a session of the user's taste.
func TestStoreOverSQL(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	pool := openSQL(t, p.dsn+unusual, "simple_protocol", true, nil)
	at := func(t testing.TB, schema string) store.Backend {
		return p.open(t, schema, func(db *postgres.DB) any { return overSQL(db, pool) }).(store.Backend)
	}
	storetest.Run(t, storetest.Harness{
		Open:   func(t testing.TB) store.Backend { return at(t, p.fresh(t)) },
		Reopen: func(t testing.TB, b store.Backend) store.Backend { return at(t, p.shut(t, b)) },
		Share:  func(t testing.TB, b store.Backend) store.Backend { return at(t, p.find(b).schema) },
	})
}

// TestDifferentialInTransactions: the same as package mem says, by pgx and by
// database/sql.
func TestDifferentialInTransactions(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	pool := openSQL(t, p.dsn, "", false, nil)
	for name, role := range map[string]func(*postgres.DB) any{
		"pgx": func(db *postgres.DB) any {
			conn := connect(t, p.dsn)
			return over(db, func(ctx context.Context) (userTx, error) {
				tx, err := conn.Begin(ctx)
				return userTx{
					append:   func(ctx context.Context, c store.Commit) (store.Outcome, error) { return db.CommitTx(ctx, tx, c) },
					commit:   func() error { return tx.Commit(ctx) },
					rollback: func() error { return tx.Rollback(ctx) },
				}, err
			})
		},
		"sql": func(db *postgres.DB) any { return overSQL(db, pool) },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Differential(t, storetest.Comparison{
				Open:      func(t testing.TB) store.Backend { return p.open(t, p.fresh(t), role).(store.Backend) },
				Reference: memory,
				Sequences: 8,
			})
		})
	}
}
