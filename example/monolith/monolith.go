package monolith

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/shopspring/decimal"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/orders"
)

// Options of a Shop.
type Options struct {
	// Latency is how long each simulated dependency takes. Default: 60 ms.
	// Negative: no time at all.
	Latency time.Duration
	// Call asks a dependency: "payment", "stock", "shipping", "loyalty" or
	// "mail". Default: one that succeeds after Latency.
	Call func(ctx context.Context, dependency string, o orders.Placed) error
}

func (o *Options) defaults() {
	if o.Latency == 0 {
		o.Latency = 60 * time.Millisecond
	}
	if o.Call == nil {
		latency := o.Latency
		o.Call = func(ctx context.Context, _ string, _ orders.Placed) error { return wait(ctx, latency) }
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Shop is the application. It may be used by any number of goroutines.
type Shop struct {
	db   *sql.DB
	opts Options
}

var _ orders.Desk = (*Shop)(nil)

const tables = `
CREATE TABLE IF NOT EXISTS orders (
	number TEXT PRIMARY KEY, content TEXT NOT NULL, status TEXT NOT NULL, date TEXT NOT NULL,
	customer TEXT NOT NULL, country TEXT NOT NULL, total TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS order_lines (
	number TEXT NOT NULL REFERENCES orders, place INTEGER NOT NULL, row INTEGER NOT NULL, stock_code TEXT NOT NULL,
	quantity TEXT NOT NULL, unit_price TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (number, place)
) STRICT;
CREATE TABLE IF NOT EXISTS stock (stock_code TEXT PRIMARY KEY, moved TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, spent TEXT NOT NULL) STRICT;`

// Open opens the shop on the SQLite database at path, which it makes if there is
// none. Close it.
func Open(ctx context.Context, path string, o *Options) (*Shop, error) {
	s := &Shop{}
	if o != nil {
		s.opts = *o
	}
	s.opts.defaults()
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("monolith: open %s: %w", path, err)
	}
	db.SetMaxOpenConns(8)
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return nil, errors.Join(fmt.Errorf("monolith: open %s: %w", path, err), db.Close())
	}
	s.db = db
	return s, nil
}

// Close closes the database.
func (s *Shop) Close() error { return s.db.Close() }

// Post implements orders.Desk.
func (s *Shop) Post(ctx context.Context, inv orders.Invoice) (orders.Answer, error) {
	answer, err := s.post(ctx, orders.Judge(inv))
	if err != nil {
		return orders.Answer{}, fmt.Errorf("monolith: invoice %q: %w", inv.Number, err)
	}
	return answer, nil
}

func (s *Shop) post(ctx context.Context, v orders.Verdict) (orders.Answer, error) {
	known, err := s.known(ctx, s.db, v)
	if err != nil || known {
		return answerTo(v, known), err
	}
	if placed, ok := v.Fact.(orders.Placed); ok {
		if err := s.callAll(ctx, placed); err != nil {
			return orders.Answer{}, err
		}
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return orders.Answer{}, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing left to undo
	if known, err = s.known(ctx, tx, v); err != nil || known {
		return answerTo(v, known), err
	}
	if err := record(ctx, tx, v); err != nil {
		return orders.Answer{}, err
	}
	return answerTo(v, false), tx.Commit()
}

// callAll is what makes the monolith slow and brittle: each waits for the one
// before, and one that fails fails the order.
func (s *Shop) callAll(ctx context.Context, o orders.Placed) error {
	for _, dependency := range [...]string{"payment", "stock", "shipping", "loyalty", "mail"} {
		if err := s.opts.Call(ctx, dependency, o); err != nil {
			return fmt.Errorf("%s: %w: %w", dependency, banyan.ErrUnavailable, err)
		}
	}
	return nil
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// known reports whether the invoice is recorded already. Other content under its
// number is an error.
func (s *Shop) known(ctx context.Context, q querier, v orders.Verdict) (bool, error) {
	var content string
	err := q.QueryRowContext(ctx, `SELECT content FROM orders WHERE number = ?`, v.Number).Scan(&content)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err
	case content != v.Content:
		return false, fmt.Errorf("%w with other content: a number is for one invoice only", banyan.ErrExists)
	}
	return true, nil
}

// answerTo follows from the invoice alone: the same content has the same answer.
func answerTo(v orders.Verdict, repeated bool) orders.Answer {
	a := orders.Answer{Repeated: repeated}
	if _, ok := v.Fact.(orders.Returned); ok {
		a.Receipt = orders.Return{}.Apply(v.Fact).Receipt()
	} else {
		a.Receipt = orders.Order{}.Apply(v.Fact).Receipt()
	}
	return a
}

func record(ctx context.Context, tx *sql.Tx, v orders.Verdict) error {
	receipt := answerTo(v, false).Receipt
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, v.Number, v.Content,
		string(receipt.Status), v.Date.Format(time.RFC3339Nano), v.Customer, v.Country, receipt.Total, receipt.Reason); err != nil {
		return err
	}
	items, refused := linesOf(v.Fact)
	for i, item := range items {
		if _, err := tx.ExecContext(ctx, `INSERT INTO order_lines VALUES (?, ?, ?, ?, ?, ?, '')`, v.Number, i, item.Row,
			item.StockCode, fmt.Sprint(item.Quantity), item.UnitPrice.String()); err != nil {
			return err
		}
		if err := add(ctx, tx, "stock", item.StockCode, decimal.NewFromInt(item.Quantity)); err != nil {
			return err
		}
	}
	for i, line := range refused {
		if _, err := tx.ExecContext(ctx, `INSERT INTO order_lines VALUES (?, ?, ?, ?, ?, ?, ?)`, v.Number, len(items)+i, line.Row,
			line.StockCode, line.Quantity, line.UnitPrice, line.Reason); err != nil {
			return err
		}
	}
	if placed, ok := v.Fact.(orders.Placed); ok && v.Customer != "" {
		return add(ctx, tx, "customers", v.Customer, placed.Total())
	}
	return nil
}

func linesOf(fact any) ([]orders.Item, []orders.Refusal) {
	switch f := fact.(type) {
	case orders.Placed:
		return f.Items, f.Refused
	case orders.Returned:
		return f.Items, f.Refused
	case orders.Rejected:
		return nil, f.Refused
	}
	return nil, nil
}

// add adds to the exact amount in a row. SQL would calculate with floats.
func add(ctx context.Context, tx *sql.Tx, table, key string, amount decimal.Decimal) error {
	read := `SELECT moved FROM stock WHERE stock_code = ?`
	write := `INSERT INTO stock VALUES (?, ?) ON CONFLICT DO UPDATE SET moved = excluded.moved`
	if table == "customers" {
		read = `SELECT spent FROM customers WHERE id = ?`
		write = `INSERT INTO customers VALUES (?, ?) ON CONFLICT DO UPDATE SET spent = excluded.spent`
	}
	var before decimal.Decimal
	if err := tx.QueryRowContext(ctx, read, key).Scan(&before); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err := tx.ExecContext(ctx, write, key, before.Add(amount).String())
	return err
}

// Find implements orders.Desk.
func (s *Shop) Find(ctx context.Context, number string) (orders.Receipt, error) {
	receipt, err := s.find(ctx, number)
	if errors.Is(err, sql.ErrNoRows) {
		err = banyan.ErrNotFound
	}
	if err != nil {
		return orders.Receipt{}, fmt.Errorf("monolith: invoice %q: %w", number, err)
	}
	return receipt, nil
}

func (s *Shop) find(ctx context.Context, number string) (orders.Receipt, error) {
	r := orders.Receipt{Number: number}
	err := s.db.QueryRowContext(ctx, `SELECT status, total, reason FROM orders WHERE number = ?`, number).Scan(&r.Status, &r.Total, &r.Reason)
	if err != nil {
		return r, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT row, reason FROM order_lines WHERE number = ? ORDER BY place`, number)
	if err != nil {
		return r, err
	}
	defer rows.Close() // rows.Err says what went wrong
	for rows.Next() {
		var line orders.Refused
		if err := rows.Scan(&line.Row, &line.Reason); err != nil {
			return r, err
		}
		if line.Reason == "" {
			r.LinesAccepted++
			continue
		}
		r.Rejected = append(r.Rejected, line)
		r.LinesRejected++
	}
	return r, rows.Err()
}
