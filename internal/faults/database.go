package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // reads the file without Banyan

	"github.com/banyanhq/banyan/internal/pgtest"
)

// database is read with the bare driver and no code of Banyan.
type database interface {
	url() string
	// integrity asks the database itself; rows reads the log in its order.
	integrity(ctx context.Context) ([]string, error)
	rows(ctx context.Context, each func(stored)) error
}

// check compares what is stored with what was promised.
func check(ctx context.Context, db database, l *ledger) ([]string, error) {
	faults, err := db.integrity(ctx)
	if err != nil {
		return nil, err
	}
	wrong, err := l.compare(func(each func(stored)) error { return db.rows(ctx, each) })
	return append(faults, wrong...), err
}

// sqliteFile is the path of an SQLite database.
type sqliteFile string

func (f sqliteFile) url() string { return "sqlite:" + string(f) }

func (f sqliteFile) read(ctx context.Context, query string, each func(*sql.Rows) error) error {
	db, err := sql.Open("sqlite", "file:"+string(f))
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // it only read
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err below has what Close would say
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (f sqliteFile) integrity(ctx context.Context) (faults []string, err error) {
	err = f.read(ctx, "pragma integrity_check", func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil || text == "ok" {
			return err
		}
		faults = append(faults, "integrity_check: "+text)
		return nil
	})
	return faults, err
}

func (f sqliteFile) rows(ctx context.Context, each func(stored)) error {
	return f.read(ctx, "select id, stream, revision, data from banyan_events order by position", func(rows *sql.Rows) error {
		var r stored
		if err := rows.Scan(&r.id, &r.stream, &r.revision, &r.data); err != nil {
			return err
		}
		each(r)
		return nil
	})
}

// postgresDSN is the URL of a PostgreSQL database.
type postgresDSN string

func (d postgresDSN) url() string { return string(d) }

func (postgresDSN) integrity(context.Context) ([]string, error) { return nil, nil }

// rows reads the log in its order, and then what has no position yet.
func (d postgresDSN) rows(ctx context.Context, each func(stored)) error {
	conn, err := pgx.Connect(ctx, string(d))
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it only read
	rows, err := conn.Query(ctx, `select e.id, e.stream, e.revision, e.data from banyan.events e left join banyan.log l using (batch)
		order by l.position nulls last, e.batch, e.idx`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r stored
		if err := rows.Scan(&r.id, &r.stream, &r.revision, &r.data); err != nil {
			return err
		}
		each(r)
	}
	return rows.Err()
}

// openServer starts a PostgreSQL server with an empty database "victim".
func openServer(ctx context.Context, dir string, settings map[string]string) (*pgtest.Server, error) {
	server, err := pgtest.Open(ctx, &pgtest.Options{Settings: settings, Dir: filepath.Join(dir, "pg")})
	if errors.Is(err, pgtest.ErrMissing) {
		return nil, skipError(err.Error())
	}
	if err != nil {
		return nil, err
	}
	if err := server.CreateDatabase("victim"); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// copy copies the file and its WAL; nobody has it open.
func (f sqliteFile) copy(to sqliteFile) error {
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(string(f) + suffix)
		if errors.Is(err, os.ErrNotExist) && suffix != "" {
			continue
		}
		if err == nil {
			err = os.WriteFile(string(to)+suffix, data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the file and what belongs to it.
func (f sqliteFile) remove() {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(string(f) + suffix) // it may not be there
	}
}
