package postgres

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/banyanhq/banyan/store"
)

// AppendSQL is AppendTx for a transaction of database/sql, from any pool to the
// same database and with any driver for PostgreSQL that takes $1 for a parameter
// and whose errors have a method SQLState, such as pgx/stdlib and lib/pq.
// Followers hear of the events within Options.Poll of the Store, or at once from
// Store.Appended after the commit.
func (db *DB) AppendSQL(ctx context.Context, tx *sql.Tx, writes ...store.Write) (store.Result, error) {
	return db.appendIn(ctx, sqlTx{tx: tx, sql: db.sql}, writes)
}

// sqlTx is a transaction of database/sql. It exchanges strings, integers and
// booleans only, which every driver encodes alike: arrays, times and bytes are
// in the form that PostgreSQL reads and writes whatever the session's settings.
type sqlTx struct {
	tx  *sql.Tx
	sql *statements
}

func (t sqlTx) exec(ctx context.Context, text string) error {
	_, err := t.tx.ExecContext(ctx, text)
	return coded(err)
}

func (t sqlTx) isolation(ctx context.Context) (level string, err error) {
	err = t.tx.QueryRowContext(ctx, isolationText).Scan(&level)
	return level, coded(err)
}

func (t sqlTx) heads(ctx context.Context, streams []string, into map[string]store.Head) error {
	return t.query(ctx, t.sql.heads.text, texts(streams), func(rows *sql.Rows) error {
		var i int
		var head store.Head
		err := rows.Scan(&i, &head.Revision, &head.Closed)
		if err == nil {
			into[streams[i]] = head
		}
		return err
	})
}

func (t sqlTx) lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	var records []store.Record
	text := `select r.position, r.id, r.stream, r.type, r.source, r.revision, r.schema, ` + sinceEpoch("r.time") + `, ` + sinceEpoch("r.recorded") + `,
		r.checksum, encode(r.data, 'hex'), r.meta
		from (` + t.sql.lookup.text + `) as r (position, id, stream, type, source, revision, schema, time, recorded, checksum, data, meta)`
	err := t.query(ctx, text, texts(ids), func(rows *sql.Rows) error {
		r, err := scanRecord(rows)
		records = append(records, r)
		return err
	})
	return records, err
}

// sinceEpoch is the SQL for microseconds since PostgreSQL's epoch, by way of the
// days: the seconds alone, extract(epoch …), are rounded far from it.
func sinceEpoch(column string) string {
	utc := `(` + column + ` at time zone 'UTC')`
	return `(` + utc + `::date - date '2000-01-01')::int8 * 86400000000 + (extract(epoch from ` + utc + `::time) * 1000000)::int8`
}

func scanRecord(rows *sql.Rows) (store.Record, error) {
	var r store.Record
	var data, meta string
	err := rows.Scan(&r.Position, &r.ID, &r.Stream, &r.Type, &r.Source, &r.Revision, &r.Schema, &r.Time, &r.Recorded, &r.Checksum, &data, &meta)
	if err != nil {
		return r, err
	}
	r.Time += epoch
	r.Recorded += epoch
	if meta != "" {
		r.Meta = []byte(meta)
	}
	r.Data, err = hex.DecodeString(data)
	return r, err
}

func (t sqlTx) query(ctx context.Context, text, arg string, row func(*sql.Rows) error) error {
	rows, err := t.tx.QueryContext(ctx, text, arg)
	if err != nil {
		return coded(err)
	}
	defer rows.Close() //nolint:errcheck // Err below has what Close would say
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return coded(rows.Err())
}

func (t sqlTx) insert(ctx context.Context, rs []store.Record) error {
	numbers := func(of func(*store.Record) int64) string {
		return literal(len(rs), func(b []byte, i int) []byte { return strconv.AppendInt(b, of(&rs[i]), 10) })
	}
	quoted := func(of func(*store.Record) string) string {
		return literal(len(rs), func(b []byte, i int) []byte { return quote(b, of(&rs[i])) })
	}
	_, err := t.tx.ExecContext(ctx, t.sql.insert.text,
		numbers(func(r *store.Record) int64 { return int64(r.Revision) }),
		quoted(func(r *store.Record) string { return timestamp(r.Time) }),
		quoted(func(r *store.Record) string { return timestamp(r.Recorded) }),
		numbers(func(r *store.Record) int64 { return int64(r.Checksum) }),
		numbers(func(r *store.Record) int64 { return int64(r.Schema) }),
		quoted(func(r *store.Record) string { return r.ID }),
		quoted(func(r *store.Record) string { return r.Stream }),
		quoted(func(r *store.Record) string { return r.Type }),
		quoted(func(r *store.Record) string { return r.Source }),
		quoted(func(r *store.Record) string { return string(r.Meta) }),
		literal(len(rs), func(b []byte, i int) []byte { return append(hex.AppendEncode(append(b, `"\\x`...), rs[i].Data), '"') }),
		int64(len(rs)))
	return coded(err)
}

// literal writes a one-dimensional array as PostgreSQL reads it.
func literal(n int, each func(b []byte, i int) []byte) string {
	b := []byte{'{'}
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = each(b, i)
	}
	return string(append(b, '}'))
}

func texts(list []string) string {
	return literal(len(list), func(b []byte, i int) []byte { return quote(b, list[i]) })
}

// quote appends an element of an array.
func quote(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// timestamp writes microseconds since 1970. Like the binary format it counts
// from PostgreSQL's epoch, so that both keep the same times.
func timestamp(us int64) string {
	return time.UnixMicro(us - epoch).UTC().Add(time.Duration(epoch) * time.Microsecond).Format("2006-01-02 15:04:05.999999Z")
}

// serverError is an error of another driver than pgx.
type serverError struct {
	error
	pg *pgconn.PgError // what this package knows errors by
}

func (e serverError) Unwrap() []error { return []error{e.error, e.pg} }

// coded makes an error's SQLSTATE known, whatever the driver.
func coded(err error) error {
	var pg *pgconn.PgError
	var other interface{ SQLState() string }
	if err == nil || errors.As(err, &pg) || !errors.As(err, &other) {
		return err
	}
	return serverError{error: err, pg: &pgconn.PgError{Code: other.SQLState(), Message: err.Error()}}
}
