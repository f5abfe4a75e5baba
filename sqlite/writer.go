package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
)

// writer is the one connection that writes. SQLite has one writer at a time
// anyway; waiting for it here, in order of arrival, is fairer and cheaper than
// its polling for the lock of the file, which is left to other processes.
type writer struct {
	open func() (*sql.DB, error)
	lock chan struct{} // holds one token while somebody writes

	db     *sql.DB   // guarded by lock; one connection
	pinned *sql.Conn // guarded by lock
	conn   *conn     // guarded by lock; the same connection without database/sql
	// failed is why the connection must not be used: an I/O error left open what
	// is on the disk. guarded by lock; see repair.
	failed error
	closed bool // guarded by lock
}

func newWriter(open func() (*sql.DB, error)) *writer {
	return &writer{open: open, lock: make(chan struct{}, 1)}
}

// acquire waits for the turn to write. After nil the caller must call release.
func (w *writer) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return nothingWritten(err)
	}
	select {
	case w.lock <- struct{}{}:
	case <-ctx.Done():
		return nothingWritten(ctx.Err())
	}
	var err error
	switch {
	case w.closed:
		err = errClosed
	case w.failed != nil || w.conn == nil:
		err = w.repair(ctx)
	}
	if err != nil {
		w.release()
	}
	return err
}

func (w *writer) release() { <-w.lock }

// repair opens the write connection anew. After an I/O error the file system may
// hold bytes in memory that never reached the disk and that no later fsync
// writes, because it reported its failure once and counts them as clean (Rebello
// et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So
// before anything is acknowledged again everything visible is moved out of the
// WAL into the database file, synced there, and the WAL cut to nothing; a new
// commit then cannot depend on an old frame. Until that works, writes are
// refused.
func (w *writer) repair(ctx context.Context) error {
	cause := w.failed
	w.disconnect()
	err := w.connect(ctx)
	if err == nil && cause != nil {
		err = w.settle()
	}
	if err == nil {
		w.failed = nil
		return nil
	}
	w.disconnect()
	if cause == nil {
		return classify(err)
	}
	return fmt.Errorf("%w: writing stopped after an I/O error (%v) and the database cannot be reopened yet; check the disk: %w", banyan.ErrUnavailable, cause, err)
}

func (w *writer) connect(ctx context.Context) error {
	db, err := w.open()
	if err != nil {
		return err
	}
	w.db = db
	if w.pinned, err = db.Conn(ctx); err != nil {
		return err
	}
	return w.pinned.Raw(func(raw any) error {
		w.conn = newConn(raw.(driver.Conn))
		return nil
	})
}

// disconnect closes the write connection, as far as there is one. Its errors say
// nothing new: what was acknowledged is in the WAL.
func (w *writer) disconnect() {
	if w.conn != nil {
		_ = w.conn.forget()
	}
	if w.pinned != nil {
		_ = w.pinned.Close()
	}
	if w.db != nil {
		_ = w.db.Close()
	}
	w.db, w.pinned, w.conn = nil, nil, nil
}

func (w *writer) settle() error {
	busy, err := one(w.conn, `PRAGMA wal_checkpoint(TRUNCATE)`)
	if err == nil && busy != 0 {
		err = errors.New("a reader of another process is in the way of the checkpoint")
	}
	if err != nil {
		return err
	}
	for _, statement := range []string{ // a whole commit must work, with its fsync
		`BEGIN IMMEDIATE`,
		`INSERT INTO banyan_meta (key, value) VALUES ('reopened', 1) ON CONFLICT (key) DO UPDATE SET value = value + 1`,
		`COMMIT`,
	} {
		if err := w.conn.exec(statement); err != nil {
			return err
		}
	}
	return nil
}

// transact runs fn in a transaction on the write connection. An error without a
// kind means that the outcome is unknown.
func (w *writer) transact(ctx context.Context, fn func(*conn) error) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := fn(w.conn); err != nil {
		w.rollback(err)
		return classify(err)
	}
	if err := ctx.Err(); err != nil {
		w.rollback(nil)
		return nothingWritten(err)
	}
	err := w.conn.exec(`COMMIT`)
	if err != nil {
		w.rollback(err)
	}
	return w.uncommitted(err)
}

// begin waits for writers of other processes, at most Options.Busy and as long
// as ctx allows.
func (w *writer) begin(ctx context.Context) error {
	err := w.conn.execContext(ctx, `BEGIN IMMEDIATE`)
	if err == nil {
		return nil
	}
	w.rollback(err) // it may have begun when ctx ended
	if banyan.Stopped(err) {
		return nothingWritten(err)
	}
	return classify(err)
}

// uncommitted gives the error of a COMMIT its meaning: without a kind, the
// outcome is unknown.
func (w *writer) uncommitted(err error) error {
	if err == nil || rolledBack(err) {
		return classify(err)
	}
	w.failed = err
	return err
}

// rollback ends the transaction under way. When that is not possible, or when
// cause says that the file failed, the connection is given up.
func (w *writer) rollback(cause error) {
	err := w.conn.exec(`ROLLBACK`)
	switch {
	case ioError(cause):
		w.failed = cause
	case err != nil && !noTransaction(err):
		w.failed = err
	}
}

func nothingWritten(err error) error {
	return fmt.Errorf("%w: nothing was written: %w", banyan.ErrUnavailable, err)
}

// close waits for the write under way and closes the connection.
func (w *writer) close() {
	w.lock <- struct{}{}
	defer w.release()
	w.closed = true
	w.disconnect()
}
