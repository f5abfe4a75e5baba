package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver of the baseline

	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

type sqliteTarget struct {
	file string
	db   *sqlite.DB
	s    *store.Store
	bare *sql.DB // a file of its own beside the store's
	read *sql.DB // the store's file
}

const pragmas = "?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=busy_timeout(10000)"

const sqliteTable = `create table if not exists banyan_bench (
	position integer primary key,
	id text not null unique,
	stream text not null,
	revision integer not null,
	type text not null,
	schema integer not null,
	time integer not null,
	recorded integer not null,
	source text not null,
	data blob not null,
	meta blob,
	checksum integer not null,
	unique (stream, revision))`

func openSQLite(ctx context.Context, file string) (*sqliteTarget, error) {
	db, err := sqlite.Open(ctx, file, nil)
	if err != nil {
		return nil, err
	}
	t := &sqliteTarget{file: file, db: db}
	if t.s, err = db.Store(nil); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if t.bare, err = sql.Open("sqlite", "file:"+file+".bare"+pragmas); err != nil {
		return nil, errors.Join(err, t.close())
	}
	t.bare.SetMaxOpenConns(1)
	if t.read, err = sql.Open("sqlite", "file:"+file+pragmas); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if _, err := t.bare.ExecContext(ctx, sqliteTable); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *sqliteTarget) store() *store.Store { return t.s }
func (t *sqliteTarget) clients() int        { return 64 }

func (t *sqliteTarget) close() error {
	var errs []error
	for _, db := range []*sql.DB{t.bare, t.read} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, t.db.Close())...)
}

func (t *sqliteTarget) restart(ctx context.Context) (time.Duration, error) {
	if err := errors.Join(t.read.Close(), t.db.Close()); err != nil {
		return 0, err
	}
	start := time.Now()
	var err error
	if t.db, err = sqlite.Open(ctx, t.file, nil); err != nil {
		return 0, err
	}
	if t.s, err = t.db.Store(nil); err != nil {
		return 0, err
	}
	err = ready(ctx, t.s)
	took := time.Since(start)
	if err == nil {
		t.read, err = sql.Open("sqlite", "file:"+t.file+pragmas)
	}
	return took, err
}

func (t *sqliteTarget) bareStart(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	db, err := sql.Open("sqlite", "file:"+t.file+pragmas)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	var id string
	err = db.QueryRowContext(ctx, "select id from banyan_events order by position limit 1").Scan(&id)
	return time.Since(start), err
}

const sqliteColumns = "insert into banyan_bench (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum) values "

func (t *sqliteTarget) insert(ctx context.Context, rows []row) error {
	args := make([]any, 0, 11*len(rows))
	for _, r := range rows {
		at := r.time.UnixMicro()
		args = append(args, r.id, r.stream, r.revision, r.kind, 1, at, at, r.source, r.data, r.meta, 1)
	}
	places := strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?,?,?,?),", len(rows)), ",")
	_, err := t.bare.ExecContext(ctx, sqliteColumns+places, args...)
	return err
}

func (t *sqliteTarget) readAll(ctx context.Context) (n int, err error) {
	rows, err := t.read.QueryContext(ctx, "select position, id, stream, revision, type, schema, time, recorded, source, data, meta, checksum from banyan_events order by position")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, stream, kind, source string
		var position, revision, schema, at, recorded, sum int64
		var data, meta []byte
		if err := rows.Scan(&position, &id, &stream, &revision, &kind, &schema, &at, &recorded, &source, &data, &meta, &sum); err != nil {
			return n, fmt.Errorf("row %d: %w", n, err)
		}
		n++
	}
	return n, rows.Err()
}
