package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

var (
	_ view.Backend = viewBackend{}
	_ view.Tx      = (*viewTx)(nil)
)

// viewBackend is the view role of a DB.
//
// The table "totals_g1" is banyan_view_totals_g1 in the file: key, doc (JSON
// text), and a column ix_NAME for each index. An alias "totals" is two SQL
// views: banyan_view_totals, which is read here, so that a name need not be
// looked up to know which of the two it is, and totals, which is for people.
type viewBackend struct{ db *DB }

const viewPrefix = "banyan_view_"

// Views returns the read models in the file.
func (db *DB) Views() (*view.DB, error) {
	if err := db.usable(); err != nil {
		return nil, fmt.Errorf("sqlite: views: %w", err)
	}
	return view.New(db.ViewBackend()), nil
}

// ViewBackend returns the contract that Views is made of, for conformance tests
// and for programs that wrap it.
func (db *DB) ViewBackend() view.Backend { return viewBackend{db: db} }

// TxOf returns the transaction behind a batch of this package, for tables of the
// user's and for DB.AppendTx. The user must neither commit it nor roll it back.
func TxOf(tx view.Tx) (*sql.Tx, bool) {
	v, ok := tx.(*viewTx)
	if !ok {
		return nil, false
	}
	return v.tx, true
}

// Promises is part of view.Backend.
func (b viewBackend) Promises() view.Promises {
	return view.Promises{Backend: "sqlite", Durable: !b.db.opts.UnsafeNoSync, Shared: true}
}

// Close is part of view.Backend. The file stays open: other roles use it.
func (b viewBackend) Close() error { return nil }

// Batch is part of view.Backend. Batches of all names take turns, as all writers
// of a file do.
func (b viewBackend) Batch(ctx context.Context, _ string, fn func(view.Tx) error) error {
	return b.db.inTx(ctx, func(tx *sql.Tx) error {
		// The writer's own connection is the one that tx runs on. It keeps
		// statements prepared, which tx does not.
		v := &viewTx{tx: tx, conn: b.db.writer.conn}
		defer func() { v.conn = nil }()
		if err := fn(v); err != nil {
			return err
		}
		return v.failed
	})
}

// Get is part of view.Backend.
func (b viewBackend) Get(ctx context.Context, table, key string) (doc []byte, err error) {
	err = b.db.readers.read(ctx, func(c *conn) (err error) {
		doc, err = getDoc(c, table, key)
		return err
	})
	return doc, err
}

// Scan is part of view.Backend.
func (b viewBackend) Scan(ctx context.Context, table string, q view.Query) (rows []view.Row, err error) {
	err = b.db.readers.read(ctx, func(c *conn) (err error) {
		rows, err = scanRows(c, table, q)
		return err
	})
	return rows, err
}

// viewTx is a batch under way.
type viewTx struct {
	tx   *sql.Tx
	conn *conn // nil once the batch is over
	// failed is an error after which SQLite may have rolled the transaction back
	// by itself. What came later would be committed alone, so nothing does, and
	// the batch fails even if its function goes on.
	failed error
}

// keep gives an error of SQLite its kind and remembers those that end the batch.
func (v *viewTx) keep(err error) error {
	kind := classify(err)
	if err != nil && endsTransaction(err) {
		v.failed = kind
	}
	return kind
}

func (v *viewTx) ready(ctx context.Context) error {
	if v.conn == nil {
		return fmt.Errorf("%w: the batch is over", banyan.ErrClosed)
	}
	if v.failed != nil {
		return v.failed
	}
	return ctx.Err()
}

// Get is part of view.Tx.
func (v *viewTx) Get(ctx context.Context, table, key string) ([]byte, error) {
	if err := v.ready(ctx); err != nil {
		return nil, err
	}
	doc, err := getDoc(v.conn, table, key)
	return doc, v.keep(err)
}

// Scan is part of view.Tx.
func (v *viewTx) Scan(ctx context.Context, table string, q view.Query) ([]view.Row, error) {
	if err := v.ready(ctx); err != nil {
		return nil, err
	}
	rows, err := scanRows(v.conn, table, q)
	return rows, v.keep(err)
}

// Write is part of view.Tx.
func (v *viewTx) Write(ctx context.Context, table string, rows []view.Row) error {
	if err := v.ready(ctx); err != nil {
		return err
	}
	indexes, found, err := tableIndexes(v.conn, table)
	if err != nil {
		return v.keep(err)
	}
	if !found {
		return fmt.Errorf("%w: table %s", banyan.ErrNotFound, table)
	}
	puts := make([]view.Row, 0, len(rows))
	for _, row := range rows {
		switch {
		case row.Doc == nil:
			if err := v.conn.exec(`DELETE FROM `+viewPrefix+table+` WHERE key = ?`, row.Key); err != nil {
				return v.keep(err)
			}
		case len(row.Index) != len(indexes):
			return fmt.Errorf("%w: row %s of table %s has %d index values; the table has %d indexes", banyan.ErrInvalid, row.Key, table, len(row.Index), len(indexes))
		default:
			puts = append(puts, row)
		}
	}
	return v.keep(putRows(v.conn, table, indexes, puts))
}

// putChunks are the numbers of rows that a statement is prepared for.
var putChunks = [...]int{32, 8, 1}

func putRows(r runner, table string, indexes []string, rows []view.Row) error {
	for _, n := range putChunks {
		for len(rows) >= n {
			args := make([]any, 0, n*(2+len(indexes)))
			for _, row := range rows[:n] {
				args = append(args, row.Key, string(row.Doc))
				for _, value := range row.Index {
					args = append(args, value)
				}
			}
			if err := r.exec(putQuery(table, indexes, n), args...); err != nil {
				return err
			}
			rows = rows[n:]
		}
	}
	return nil
}

func putQuery(table string, indexes []string, n int) string {
	var names, updates strings.Builder
	for _, ix := range indexes {
		names.WriteString(", ix_" + ix)
		updates.WriteString(", ix_" + ix + " = excluded.ix_" + ix)
	}
	return `INSERT INTO ` + viewPrefix + table + ` (key, doc` + names.String() + `) VALUES ` +
		repeat(`(`+repeat(`?`, 2+len(indexes))+`)`, n) +
		` ON CONFLICT (key) DO UPDATE SET doc = excluded.doc` + updates.String()
}

// tableIndexes returns the declared indexes of a table and whether it exists.
func tableIndexes(r runner, table string) (indexes []string, found bool, err error) {
	err = r.query(`SELECT indexes FROM banyan_view_tables WHERE name = ?`, []any{table}, func(v []driver.Value) error {
		found = true
		if text, _ := v[0].(string); text != "" {
			indexes = strings.Split(text, ",")
		}
		return nil
	})
	return indexes, found, err
}

// Create is part of view.Tx.
func (v *viewTx) Create(ctx context.Context, t view.Table) error {
	if err := v.ready(ctx); err != nil {
		return err
	}
	have, found, err := tableIndexes(v.conn, t.Name)
	switch {
	case err != nil:
		return v.keep(err)
	case found && slices.Equal(have, t.Indexes):
		return nil
	case found:
		return fmt.Errorf("%w: table %s has the indexes %q, not %q; use another name or generation", banyan.ErrExists, t.Name, have, t.Indexes)
	}
	return v.keep(createTable(v.conn, t))
}

func createTable(r runner, t view.Table) error {
	table := viewPrefix + t.Name
	if n, err := one(r, `SELECT count(*) FROM sqlite_schema WHERE name = ?`, table); err != nil || n > 0 {
		return orErr(err, fmt.Errorf("%w: %s is the name of an alias", banyan.ErrExists, t.Name))
	}
	var columns strings.Builder
	for _, ix := range t.Indexes {
		columns.WriteString(", ix_" + ix + " TEXT NOT NULL")
	}
	if err := r.exec(`CREATE TABLE ` + table + ` (key TEXT NOT NULL PRIMARY KEY, doc TEXT NOT NULL` + columns.String() + `) STRICT`); err != nil {
		return err
	}
	for _, ix := range t.Indexes {
		if err := r.exec(`CREATE INDEX "banyan_ix_` + t.Name + `.` + ix + `" ON ` + table + ` (ix_` + ix + `, key)`); err != nil {
			return err
		}
	}
	return r.exec(`INSERT INTO banyan_view_tables (name, indexes) VALUES (?, ?)`, t.Name, strings.Join(t.Indexes, ","))
}

// Drop is part of view.Tx.
func (v *viewTx) Drop(ctx context.Context, table string) error {
	if err := v.ready(ctx); err != nil {
		return err
	}
	_, found, err := tableIndexes(v.conn, table)
	if err != nil || !found {
		return v.keep(err)
	}
	if err := v.conn.exec(`DROP TABLE ` + viewPrefix + table); err != nil {
		return v.keep(err)
	}
	return v.keep(v.conn.exec(`DELETE FROM banyan_view_tables WHERE name = ?`, table))
}

// Alias is part of view.Tx.
func (v *viewTx) Alias(ctx context.Context, alias, table string) error {
	if err := v.ready(ctx); err != nil {
		return err
	}
	if strings.HasPrefix(alias, "sqlite_") {
		return fmt.Errorf("%w: alias %s: names that start with sqlite_ belong to SQLite", banyan.ErrInvalid, alias)
	}
	_, found, err := tableIndexes(v.conn, table)
	if err == nil && !found {
		err = fmt.Errorf("%w: table %s", banyan.ErrNotFound, table)
	}
	if err != nil {
		return v.keep(err)
	}
	return v.keep(replaceAlias(v.conn, alias, table))
}

func replaceAlias(r runner, alias, table string) error {
	known, err := one(r, `SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ?`, viewPrefix+alias)
	if err != nil {
		return err
	}
	taken, err := one(r, `SELECT count(*) FROM sqlite_schema WHERE name IN (?, ?)`, viewPrefix+alias, alias)
	if err != nil {
		return err
	}
	if known == 0 && taken > 0 {
		return fmt.Errorf("%w: alias %s: the file has another table or view of this name", banyan.ErrExists, alias)
	}
	for _, name := range []string{viewPrefix + alias, `"` + alias + `"`} {
		if err := r.exec(`DROP VIEW IF EXISTS ` + name); err != nil {
			return err
		}
		if err := r.exec(`CREATE VIEW ` + name + ` AS SELECT * FROM ` + viewPrefix + table); err != nil {
			return err
		}
	}
	return nil
}

func getDoc(r runner, table, key string) (doc []byte, err error) {
	err = r.query(`SELECT doc FROM `+viewPrefix+table+` WHERE key = ?`, []any{key}, func(v []driver.Value) error {
		text, ok := v[0].(string)
		if !ok {
			return fmt.Errorf("%w: document %s of %s is %T", banyan.ErrCorrupt, key, table, v[0])
		}
		doc = []byte(text)
		return nil
	})
	return doc, err
}

func scanRows(r runner, table string, q view.Query) ([]view.Row, error) {
	query, args := scanQuery(table, q)
	rows := make([]view.Row, 0, min(q.Limit, 128))
	err := r.query(query, args, func(v []driver.Value) error {
		row := view.Row{}
		var texts [3]string
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return fmt.Errorf("%w: a row of %s has %T", banyan.ErrCorrupt, table, v[i])
			}
			texts[i] = text
		}
		row.Key, row.Doc = texts[0], []byte(texts[1])
		if q.Index != "" {
			row.Index = []string{texts[2]}
		}
		rows = append(rows, row)
		return nil
	})
	if missingColumn(err) {
		err = fmt.Errorf("%w: table %s has no index %s: %w", banyan.ErrInvalid, table, q.Index, err)
	}
	return rows, err
}

// scanQuery builds the text of a scan. Names arrive checked, and prefixed they
// are never words of SQL.
func scanQuery(table string, q view.Query) (string, []any) {
	by, columns := "key", "key, doc"
	if q.Index != "" {
		by = "ix_" + q.Index
		columns += ", " + by
	}
	where, args := []string{"1"}, []any{}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if q.From != "" {
		add(by+" >= ?", q.From)
	}
	if q.To != "" {
		add(by+" < ?", q.To)
	}
	order := by
	if q.Desc {
		order += " DESC"
	}
	if after := q.After; after != nil {
		switch {
		case q.Index == "" && q.Desc:
			add("key < ?", after.Key)
		case q.Index == "":
			add("key > ?", after.Key)
		case q.Desc:
			add(by+" <= ?", after.Value) // for the index; the next says the rest
			add("("+by+" < ? OR key > ?)", after.Value, after.Key)
		default:
			add("("+by+", key) > (?, ?)", after.Value, after.Key)
		}
	}
	if q.Index != "" {
		order += ", key"
	}
	return `SELECT ` + columns + ` FROM ` + viewPrefix + table + ` WHERE ` + strings.Join(where, " AND ") +
		` ORDER BY ` + order + ` LIMIT ?`, append(args, int64(q.Limit))
}

// orErr returns err, or other when there is none.
func orErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
