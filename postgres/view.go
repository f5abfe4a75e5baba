package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// Read models are tables in a schema of their own, beside the events: one for
// each table of the contract, with the columns key, doc (json, byte for byte as
// written) and by_NAME for each index; an alias is a view of the same columns.
// People query them as they are.

// views is the read-model role of a DB.
type views struct{ db *DB }

var _ view.Backend = (*views)(nil)

// Views returns the read models of this database. Its Close closes only this
// role; db stays open.
func (db *DB) Views() (*view.DB, error) { return view.New(db.ViewBackend()), nil }

// ViewBackend returns the read models as a view.Backend, for the conformance
// suite and for tools. Users want Views.
func (db *DB) ViewBackend() view.Backend { return &views{db: db} }

// TxOf returns the PostgreSQL transaction of a batch, so that a projection can
// write the user's own tables in it; false when the batch is of another
// technology. The batch commits it: do not call Commit or Rollback.
func TxOf(tx view.Tx) (pgx.Tx, bool) {
	t, ok := tx.(*viewTx)
	if !ok {
		return nil, false
	}
	return t.tx, true
}

// Promises implements view.Backend.
func (v *views) Promises() view.Promises {
	return view.Promises{Backend: "postgres", Durable: v.db.durable, Shared: true}
}

// Close implements view.Backend: the connections belong to the DB.
func (v *views) Close() error { return nil }

// Batch implements view.Backend. The lock comes in the same round trip as the
// begin; the statements after it have snapshots of their own, which see what the
// batch before committed.
func (v *views) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	begin := fmt.Sprintf("begin isolation level read committed; select pg_advisory_xact_lock(%d)", v.db.lockKey("batch:"+name))
	inner, err := v.db.transact(ctx, begin, func(tx pgx.Tx) error {
		return fn(&viewTx{rows: rows{q: tx, schema: v.db.sql.views}, tx: tx, db: v.db, known: map[string]bool{}})
	})
	if inner != nil {
		return inner
	}
	return err
}

// lockKey names an advisory lock of this schema.
func (db *DB) lockKey(what string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("banyan:" + db.opts.Schema + ":" + what))
	return int64(h.Sum64())
}

// Get implements view.Backend.
func (v *views) Get(ctx context.Context, table, key string) ([]byte, error) {
	var doc []byte
	err := v.db.read(ctx, func(s session) (err error) {
		doc, err = rows{q: s.conn, schema: v.db.sql.views}.get(ctx, table, key)
		return err
	})
	return doc, noTable(err, table)
}

// Scan implements view.Backend.
func (v *views) Scan(ctx context.Context, table string, q view.Query) ([]view.Row, error) {
	var found []view.Row
	err := v.db.read(ctx, func(s session) (err error) {
		found, err = rows{q: s.conn, schema: v.db.sql.views}.scan(ctx, table, q)
		return err
	})
	return found, noTable(err, table)
}

// noTable gives the error about a missing table or index its kind.
func noTable(err error, table string) error {
	switch sqlState(err) {
	case codeNoTable:
		return fmt.Errorf("table %s: %w", table, banyan.ErrNotFound)
	case codeNoColumn:
		return fmt.Errorf("table %s: %w: it has no such index", table, banyan.ErrInvalid)
	}
	return err
}

// rows reads tables and aliases.
type rows struct {
	q interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
	schema string // quoted
}

func (r rows) name(table string) string { return r.schema + "." + pgx.Identifier{table}.Sanitize() }

func column(index string) string { return pgx.Identifier{"by_" + index}.Sanitize() }

func (r rows) get(ctx context.Context, table, key string) ([]byte, error) {
	var doc []byte
	err := r.q.QueryRow(ctx, `select doc::text from `+r.name(table)+` where key = $1`, key).Scan(&doc)
	if isNoRows(err) {
		return nil, nil
	}
	return doc, err
}

func (r rows) scan(ctx context.Context, table string, q view.Query) ([]view.Row, error) {
	text, args := scanQuery(r.name(table), q)
	found, err := r.q.Query(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(row pgx.CollectableRow) (view.Row, error) {
		var out view.Row
		if q.Index == "" {
			return out, row.Scan(&out.Key, &out.Doc)
		}
		out.Index = make([]string, 1)
		return out, row.Scan(&out.Key, &out.Doc, &out.Index[0])
	})
}

// scanQuery builds the statement of a Scan. Bounds that are not there are not in
// it, so that a plan fits all its values.
func scanQuery(table string, q view.Query) (string, []any) {
	value, columns := "key", "key, doc::text"
	if q.Index != "" {
		value = column(q.Index)
		columns += ", " + value
	}
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	beyond, order := ">", ""
	if q.Desc {
		beyond, order = "<", " desc"
	}
	if q.From != "" {
		where = append(where, value+" >= "+arg(q.From))
	}
	if q.To != "" {
		where = append(where, value+" < "+arg(q.To))
	}
	switch {
	case q.After == nil:
	case q.Index == "":
		where = append(where, "key "+beyond+" "+arg(q.After.Key))
	default:
		at, key := arg(q.After.Value), arg(q.After.Key)
		where = append(where, fmt.Sprintf("(%s %s %s or (%s = %s and key > %s))", value, beyond, at, value, at, key))
	}
	text := "select " + columns + " from " + table
	if len(where) > 0 {
		text += " where " + strings.Join(where, " and ")
	}
	text += " order by " + value + order
	if q.Index != "" {
		text += ", key"
	}
	return text + " limit " + arg(q.Limit), args
}

// viewTx is a batch under way.
type viewTx struct {
	rows
	tx    pgx.Tx
	db    *DB
	known map[string]bool // tables and aliases that are there
}

// see fails when there is no such table or alias. PostgreSQL ends the whole
// transaction at a failing statement, and a missing table is an answer here and
// no failure; so it looks first, once for each name.
func (t *viewTx) see(ctx context.Context, name string) error {
	if t.known[name] {
		return nil
	}
	var there bool
	if err := t.tx.QueryRow(ctx, `select to_regclass($1) is not null`, t.name(name)).Scan(&there); err != nil {
		return classifyRead(err)
	}
	if !there {
		return fmt.Errorf("table %s: %w", name, banyan.ErrNotFound)
	}
	t.known[name] = true
	return nil
}

// Get implements view.Tx.
func (t *viewTx) Get(ctx context.Context, table, key string) ([]byte, error) {
	if err := t.see(ctx, table); err != nil {
		return nil, err
	}
	doc, err := t.get(ctx, table, key)
	return doc, classifyRead(err)
}

// Scan implements view.Tx.
func (t *viewTx) Scan(ctx context.Context, table string, q view.Query) ([]view.Row, error) {
	if err := t.see(ctx, table); err != nil {
		return nil, err
	}
	if q.Index != "" {
		indexes, err := t.indexes(ctx, table)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(indexes, q.Index) {
			return nil, fmt.Errorf("table %s: %w: it has no index %s", table, banyan.ErrInvalid, q.Index)
		}
	}
	found, err := t.scan(ctx, table, q)
	return found, classifyRead(err)
}

// indexes returns the declared indexes of a table in their order.
func (t *viewTx) indexes(ctx context.Context, table string) ([]string, error) {
	found, err := t.tx.Query(ctx, `select substr(attname, 4) from pg_attribute
		where attrelid = $1::regclass and attnum > 2 and not attisdropped order by attnum`, t.name(table))
	if err != nil {
		return nil, classifyRead(err)
	}
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	return names, classifyRead(err)
}

// Write implements view.Tx.
func (t *viewTx) Write(ctx context.Context, table string, rows []view.Row) error {
	if err := t.see(ctx, table); err != nil {
		return err
	}
	indexes, err := t.indexes(ctx, table)
	if err != nil {
		return err
	}
	var gone, keys, docs []string
	values := make([][]string, len(indexes))
	for _, row := range rows {
		if row.Doc == nil {
			gone = append(gone, row.Key)
			continue
		}
		if len(row.Index) != len(indexes) {
			return fmt.Errorf("table %s, key %s: %w: %d index values for %d indexes", table, row.Key, banyan.ErrInvalid, len(row.Index), len(indexes))
		}
		keys, docs = append(keys, row.Key), append(docs, string(row.Doc))
		for i, value := range row.Index {
			values[i] = append(values[i], value)
		}
	}
	if len(gone) > 0 {
		if _, err := t.tx.Exec(ctx, `delete from `+t.name(table)+` where key = any($1::text[])`, gone); err != nil {
			return classify(err)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	args := []any{keys, docs}
	for _, v := range values {
		args = append(args, v)
	}
	_, err = t.tx.Exec(ctx, upsert(t.name(table), indexes), args...)
	return classify(err)
}

func upsert(table string, indexes []string) string {
	columns, arrays, aliases, sets := "key, doc", "$1::text[], $2::text[]", "key, doc", "doc = excluded.doc"
	read := "n.key, n.doc::json"
	for i, index := range indexes {
		c := column(index)
		columns += ", " + c
		aliases += ", " + c
		read += ", n." + c
		arrays += fmt.Sprintf(", $%d::text[]", i+3)
		sets += ", " + c + " = excluded." + c
	}
	return "insert into " + table + " (" + columns + ") select " + read + " from unnest(" + arrays + ") as n (" + aliases +
		") on conflict (key) do update set " + sets
}

// change takes the lock for changes of tables: two batches that create the same
// table at once would otherwise fail in PostgreSQL's catalogue.
func (t *viewTx) change(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, `select pg_advisory_xact_lock($1)`, t.db.lockKey("tables"))
	return classify(err)
}

// Create implements view.Tx.
func (t *viewTx) Create(ctx context.Context, table view.Table) error {
	if err := t.change(ctx); err != nil {
		return err
	}
	switch err := t.see(ctx, table.Name); {
	case err == nil:
		have, err := t.indexes(ctx, table.Name)
		if err == nil && !slices.Equal(have, table.Indexes) {
			err = fmt.Errorf("table %s: %w: it has the indexes %v, not %v", table.Name, banyan.ErrExists, have, table.Indexes)
		}
		return err
	case !errors.Is(err, banyan.ErrNotFound):
		return err
	}
	name := t.name(table.Name)
	var text strings.Builder
	fmt.Fprintf(&text, `create table %s (key text collate "C" primary key, doc json not null`, name)
	for _, index := range table.Indexes {
		fmt.Fprintf(&text, `, %s text collate "C" not null`, column(index))
	}
	text.WriteString(`)`)
	for _, index := range table.Indexes {
		fmt.Fprintf(&text, `; create index on %s (%s, key)`, name, column(index))
	}
	_, err := t.tx.Exec(ctx, text.String())
	return classify(err)
}

// Drop implements view.Tx. Aliases of the table go with it.
func (t *viewTx) Drop(ctx context.Context, table string) error {
	if err := t.change(ctx); err != nil {
		return err
	}
	found, err := t.tx.Query(ctx, t.db.sql.expand(`delete from {s}.aliases where target = $1 returning alias`), table)
	if err != nil {
		return classify(err)
	}
	aliases, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		return classify(err)
	}
	clear(t.known)
	for _, alias := range aliases {
		if _, err := t.tx.Exec(ctx, `drop view if exists `+t.name(alias)); err != nil {
			return classify(err)
		}
	}
	_, err = t.tx.Exec(ctx, `drop table if exists `+t.name(table))
	return classify(err)
}

// Alias implements view.Tx. A view of the same columns is replaced in place, so
// that views of the user's on top of it stay; otherwise it is made anew.
func (t *viewTx) Alias(ctx context.Context, alias, table string) error {
	if err := t.change(ctx); err != nil {
		return err
	}
	if err := t.see(ctx, table); err != nil {
		return err
	}
	columns, err := t.indexes(ctx, table)
	if err != nil {
		return err
	}
	var old []string
	if err := t.see(ctx, alias); err == nil {
		if old, err = t.indexes(ctx, alias); err != nil {
			return err
		}
	} else if !errors.Is(err, banyan.ErrNotFound) {
		return err
	}
	text := `create or replace view ` + t.name(alias) + ` as select * from ` + t.name(table)
	if !slices.Equal(old, columns) {
		text = `drop view if exists ` + t.name(alias) + `; ` + text
	}
	if _, err := t.tx.Exec(ctx, text); err != nil {
		return classify(err)
	}
	_, err = t.tx.Exec(ctx, t.db.sql.expand(`insert into {s}.aliases (alias, target) values ($1, $2) on conflict (alias) do update set target = excluded.target`), alias, table)
	return classify(err)
}
