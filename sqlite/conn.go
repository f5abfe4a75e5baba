package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/banyanhq/banyan"
)

// runner runs SQL: a connection of this package, or a transaction of the user's.
// Arguments and values are int64, string, []byte or nil.
type runner interface {
	exec(query string, args ...any) error
	// query calls row for each row; the slice is reused, its values are not.
	query(query string, args []any, row func([]driver.Value) error) error
}

// conn is one connection of the driver with its prepared statements. It goes
// round database/sql, whose conversions of each argument and column take longer
// than SQLite takes for an event. It is for one goroutine at a time.
//
// Statements run without a context: each is short, and the driver starts a
// goroutine for each context that can end. Callers check theirs in between.
type conn struct {
	raw   driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue // reused
	row   []driver.Value      // reused
}

func newConn(raw driver.Conn) *conn {
	return &conn{raw: raw, stmts: map[string]driver.Stmt{}}
}

// maxStmts bounds the cache of statements; view tables come and go.
const maxStmts = 256

func (c *conn) stmt(query string) (driver.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStmts {
		if err := c.forget(); err != nil {
			return nil, err
		}
	}
	s, err := c.raw.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// forget closes the prepared statements.
func (c *conn) forget() error {
	var errs []error
	for query, s := range c.stmts {
		errs = append(errs, s.Close())
		delete(c.stmts, query)
	}
	return errors.Join(errs...)
}

func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, v := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return c.args
}

func (c *conn) exec(query string, args ...any) error {
	return c.execContext(context.Background(), query, args...)
}

func (c *conn) execContext(ctx context.Context, query string, args ...any) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.(driver.StmtExecContext).ExecContext(ctx, c.bind(args))
	return err
}

func (c *conn) query(query string, args []any, row func([]driver.Value) error) error {
	return c.queryContext(context.Background(), query, args, row)
}

func (c *conn) queryContext(ctx context.Context, query string, args []any, row func([]driver.Value) error) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, c.bind(args))
	if err != nil {
		return err
	}
	n := len(rows.Columns())
	if cap(c.row) < n {
		c.row = make([]driver.Value, n)
	}
	dest := c.row[:n]
	for {
		if err = rows.Next(dest); err == nil {
			err = row(dest)
		}
		if err != nil {
			break
		}
	}
	closed := rows.Close()
	if err == io.EOF {
		return closed
	}
	return err
}

func (c *conn) close() error { return errors.Join(c.forget(), c.raw.Close()) }

// txRunner runs SQL in a transaction of database/sql.
type txRunner struct {
	ctx context.Context // of the one call that the runner is made for
	tx  *sql.Tx
}

func (t txRunner) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return err
}

func (t txRunner) query(query string, args []any, row func([]driver.Value) error) error {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close() //nolint:errcheck // Err below has what Close would say
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(columns))
	dest := make([]any, len(columns))
	for i := range values {
		dest[i] = (*any)(&values[i])
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one runs a query that gives exactly one integer.
func one(r runner, query string, args ...any) (int64, error) {
	var n int64
	err := r.query(query, args, func(v []driver.Value) error {
		var ok bool
		if n, ok = v[0].(int64); !ok && v[0] != nil {
			return fmt.Errorf("%w: %s gave %T", banyan.ErrCorrupt, query, v[0])
		}
		return nil
	})
	return n, err
}

// pool keeps connections for reading. The last one given back is the first to
// be taken again: its page cache is warm.
type pool struct {
	dial  func() (*conn, error)
	slots chan struct{} // one for each connection that may be in use
	ended chan struct{} // closed by close

	mu   sync.Mutex
	free []*conn // guarded by mu
}

func newPool(size int, dial func() (*conn, error)) *pool {
	return &pool{dial: dial, slots: make(chan struct{}, size), ended: make(chan struct{})}
}

// read runs fn on a connection. fn must not keep it.
func (p *pool) read(ctx context.Context, fn func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ended:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.slots }()
	c, err := p.take()
	if err != nil {
		return classify(err)
	}
	if err := fn(c); err != nil {
		if ioError(err) {
			_ = c.close() // a new one is opened for the next call
			return classify(err)
		}
		p.give(c)
		return classify(err)
	}
	p.give(c)
	return nil
}

func (p *pool) take() (*conn, error) {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return p.dial()
}

func (p *pool) give(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, c)
}

// close waits for the reads under way and closes the connections. It is called
// once. It keeps the slots, so that later reads are refused.
func (p *pool) close() error {
	close(p.ended)
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	var errs []error
	for _, c := range p.free {
		errs = append(errs, c.close())
	}
	p.free = nil
	return errors.Join(errs...)
}
