package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // reads the file without Banyan

	"github.com/banyanhq/banyan/internal/pgtest"
)

// target is a database that suffers.
type target interface {
	url() string
	// strike makes the fault happen; kill ends the victim and belongs to it.
	strike(kill func() error) error
	// recover makes the database usable again.
	recover() error
	// integrity asks the database itself; rows reads the log in its order.
	integrity(ctx context.Context) ([]string, error)
	rows(ctx context.Context, each func(stored)) error
	close() error
}

func openTarget(o options, dir string) (target, error) {
	var mount *loopMount
	if o.cuts > 0 {
		var err error
		if mount, err = newLoopMount(dir); err != nil {
			return nil, fmt.Errorf("power cuts need root and a loop mount: %w", err)
		}
		dir = mount.path
	}
	switch o.backend {
	case "sqlite":
		return &sqliteTarget{file: filepath.Join(dir, "victim.db"), mount: mount}, nil
	case "postgres":
		return openPostgres(o, dir, mount)
	default:
		return nil, fmt.Errorf("back end %q: want sqlite or postgres", o.backend)
	}
}

type sqliteTarget struct {
	file  string
	mount *loopMount // nil: kills only
}

func (t *sqliteTarget) url() string { return "sqlite:" + t.file }

func (t *sqliteTarget) strike(kill func() error) error {
	if t.mount == nil {
		return kill()
	}
	return errors.Join(t.mount.cut(), kill())
}

func (t *sqliteTarget) recover() error {
	if t.mount == nil {
		return nil
	}
	return t.mount.again()
}

func (t *sqliteTarget) read(ctx context.Context, query string, each func(*sql.Rows) error) error {
	db, err := sql.Open("sqlite", "file:"+t.file)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *sqliteTarget) integrity(ctx context.Context) (faults []string, err error) {
	err = t.read(ctx, "pragma integrity_check", func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil || text == "ok" {
			return err
		}
		faults = append(faults, "integrity_check: "+text)
		return nil
	})
	return faults, err
}

func (t *sqliteTarget) rows(ctx context.Context, each func(stored)) error {
	return t.read(ctx, "select id, stream, revision, data from banyan_events order by position", func(rows *sql.Rows) error {
		var r stored
		if err := rows.Scan(&r.id, &r.stream, &r.revision, &r.data); err != nil {
			return err
		}
		each(r)
		return nil
	})
}

func (t *sqliteTarget) close() error {
	if t.mount == nil {
		return nil
	}
	return t.mount.close()
}

type postgresTarget struct {
	server *pgtest.Server
	dsn    string
	mount  *loopMount
}

func openPostgres(o options, dir string, mount *loopMount) (target, error) {
	settings := map[string]string{"synchronous_commit": "on"}
	if o.control && o.cuts > 0 {
		settings["synchronous_commit"] = "off" // the planted bug: PostgreSQL promises what the disk has not
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the server runs as another user
		return nil, err
	}
	server, err := pgtest.Open(context.Background(), &pgtest.Options{Settings: settings, Dir: filepath.Join(dir, "pg")})
	if err != nil {
		return nil, err
	}
	if err := server.CreateDatabase("victim"); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return &postgresTarget{server: server, dsn: server.DSN("victim"), mount: mount}, nil
}

func (t *postgresTarget) url() string { return t.dsn }

// strike kills the server first, so that the victim meets broken connections,
// and then the victim.
func (t *postgresTarget) strike(kill func() error) error {
	if t.mount != nil {
		return errors.Join(t.mount.cut(), t.server.Kill(), kill())
	}
	return errors.Join(t.server.Kill(), kill())
}

func (t *postgresTarget) recover() error {
	if t.mount != nil {
		if err := t.mount.again(); err != nil {
			return err
		}
	}
	return t.server.Start()
}

func (t *postgresTarget) integrity(context.Context) ([]string, error) { return nil, nil }

// rows reads the log in its order, and then what has no position yet.
func (t *postgresTarget) rows(ctx context.Context, each func(stored)) error {
	conn, err := pgx.Connect(ctx, t.dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
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

func (t *postgresTarget) close() error {
	err := t.server.Close()
	if t.mount != nil {
		err = errors.Join(err, t.mount.close())
	}
	return err
}
