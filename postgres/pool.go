package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
)

// pool keeps connections for one purpose. It opens them when they are needed,
// gives the one used last first, and has no goroutine of its own.
type pool struct {
	config *pgx.ConnConfig
	opened func()        // called after each new connection
	slots  chan struct{} // one value for each connection in use

	mu     sync.Mutex
	idle   []idleConn // guarded by mu; oldest first
	closed bool       // guarded by mu

	ending sync.WaitGroup // broken connections that are being cleaned up
}

type idleConn struct {
	conn  *pgx.Conn
	since time.Time
}

// pingAfter is how long a connection may have been idle to be used unseen.
const pingAfter = time.Second

// closeWithin bounds the farewell to the server.
const closeWithin = 2 * time.Second

func newPool(config *pgx.ConnConfig, most int, opened func()) *pool {
	return &pool{config: config, opened: opened, slots: make(chan struct{}, most)}
}

// with runs fn on a connection. It waits while all are in use.
func (p *pool) with(ctx context.Context, fn func(*pgx.Conn) error) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("all %d connections are in use: %w", cap(p.slots), ctx.Err())
	}
	defer func() { <-p.slots }()
	conn, err := p.take(ctx)
	if err != nil {
		return unsent(ctx, err)
	}
	defer p.put(conn) // also when fn panics
	return fn(conn)
}

// again is with for work that may be done twice: when the connection turns out
// to be dead, fn runs once more on a new one.
func (p *pool) again(ctx context.Context, fn func(*pgx.Conn) error) error {
	err := p.with(ctx, fn)
	if err != nil && ctx.Err() == nil && brokenConn(err) {
		p.forget()
		err = p.with(ctx, fn)
	}
	return err
}

// begin runs fn, which ends the transaction, on a connection that has begun
// one. Until then nothing has been done, so a dead connection is replaced.
func (p *pool) begin(ctx context.Context, o pgx.TxOptions, fn func(pgx.Tx) error) error {
	var inner error
	err := p.again(ctx, func(conn *pgx.Conn) error {
		tx, err := conn.BeginTx(ctx, o)
		if err != nil {
			return unwritten(err)
		}
		inner = fn(tx)
		return nil
	})
	if err != nil {
		return err
	}
	return inner
}

func (p *pool) take(ctx context.Context) (*pgx.Conn, error) {
	for {
		last, err := p.pop()
		if err != nil {
			return nil, err
		}
		if last.conn == nil {
			break
		}
		if time.Since(last.since) < pingAfter || last.conn.Ping(ctx) == nil {
			return last.conn, nil
		}
		p.end(last.conn)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	conn, err := pgx.ConnectConfig(ctx, p.config)
	if err == nil {
		p.opened()
	}
	return conn, err
}

// pop returns the idle connection that was used last, or none.
func (p *pool) pop() (idleConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return idleConn{}, fmt.Errorf("the database is %w", banyan.ErrClosed)
	}
	n := len(p.idle)
	if n == 0 {
		return idleConn{}, nil
	}
	last := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return last, nil
}

// put takes a connection back, unless it is broken or in a transaction still.
func (p *pool) put(conn *pgx.Conn) {
	pg := conn.PgConn()
	if !pg.IsClosed() && !pg.IsBusy() && pg.TxStatus() == 'I' {
		p.mu.Lock()
		if !p.closed {
			p.idle = append(p.idle, idleConn{conn: conn, since: time.Now()})
			conn = nil
		}
		p.mu.Unlock()
	}
	if conn != nil {
		p.end(conn)
	}
}

// forget closes the idle connections: when one of them is dead, the server was
// most likely restarted, and all are.
func (p *pool) forget() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, i := range idle {
		p.end(i.conn)
	}
}

// end closes a connection. After a cancelled statement the driver still tells
// the server to stop it; that goes on in the background until close.
func (p *pool) end(conn *pgx.Conn) {
	p.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		_ = conn.Close(ctx)
		<-conn.PgConn().CleanupDone()
	})
}

// close waits for the connections in use and closes all.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.forget()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	p.ending.Wait()
}
