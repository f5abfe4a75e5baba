package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// InTx runs fn in a transaction on the write connection: all that fn wrote is
// kept when it returns nil, nothing when it returns an error, panics, or ctx
// ends. The error of fn is returned as it is. fn must use only tx, must not
// commit it, and must not append to a store of this DB except by AppendTx, for
// it holds the writer. Followers hear of what was appended after the commit.
//
// An error of kind banyan.ErrUnknown says that the commit failed half-way and
// that the transaction may or may not have happened.
func (db *DB) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	var inner error
	err := db.inTx(ctx, func(tx *sql.Tx) error {
		inner = fn(tx)
		return inner
	})
	if err == nil || err == inner { //nolint:errorlint // fn's own error comes back as it is
		return err
	}
	return fmt.Errorf("sqlite: transaction: %w", err)
}

func (db *DB) inTx(ctx context.Context, fn func(*sql.Tx) error) error {
	w := db.writer
	if err := w.acquire(ctx); err != nil {
		return err
	}
	defer w.release()
	tx, err := w.beginTx(ctx)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // fn panicked
			_ = tx.Rollback()
		}
	}()
	err = fn(tx)
	done = true
	if err == nil {
		if ended := ctx.Err(); ended != nil {
			err = nothingWritten(ended)
		}
	}
	if err != nil {
		w.undo(tx, err)
		return err
	}
	if err := w.uncommitted(tx.Commit()); err != nil {
		if banyan.Kind(err) == nil {
			err = fmt.Errorf("%w: %w", banyan.ErrUnknown, err)
		}
		return err
	}
	db.appended()
	return nil
}

// beginTx begins a transaction of database/sql. The wait for other processes
// ends with ctx; the transaction itself does not, so that the end of ctx cannot
// cut a commit in half.
func (w *writer) beginTx(ctx context.Context) (*sql.Tx, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	tx, err := w.pinned.BeginTx(life, nil)
	if stop() && err == nil {
		return tx, nil
	}
	if err == nil { // ctx ended, and database/sql is rolling back
		_ = tx.Rollback()
		err = ctx.Err()
	}
	cancel()
	if banyan.Stopped(err) {
		return nil, nothingWritten(err)
	}
	return nil, classify(err)
}

// undo rolls back after an error of the user's function.
func (w *writer) undo(tx *sql.Tx, cause error) {
	err := tx.Rollback()
	switch {
	case ioError(cause):
		w.failed = cause
	case err != nil && !noTransaction(err) && !errors.Is(err, sql.ErrTxDone):
		w.failed = err
	}
}

// AppendTx appends in a transaction of the user's: of InTx, of a view's batch
// (see TxOf), or of the user's own *sql.DB on the same file. The events are in
// the log when the transaction commits, and never were when it does not.
//
// A refusal (a conflict, a taken id) leaves the transaction as it was: the user
// may go on and commit the rest. So does any other error, unless SQLite itself
// ended the transaction, which the error then says; roll back in that case.
//
// In a transaction of the user's own *sql.DB the append waits for the writer of
// this DB as for another process; begin it with BEGIN IMMEDIATE (the driver's
// _txlock=immediate), otherwise it may fail with banyan.ErrUnavailable when
// somebody else writes between its first read and its first write. Followers
// see it within Options.Poll.
func (db *DB) AppendTx(ctx context.Context, tx *sql.Tx, writes ...store.Write) (store.Result, error) {
	result, err := db.appendTx(ctx, tx, writes)
	if err != nil {
		return store.Result{}, fmt.Errorf("sqlite: append in a transaction: %w", err)
	}
	return result, nil
}

func (db *DB) appendTx(ctx context.Context, tx *sql.Tx, writes []store.Write) (store.Result, error) {
	s, err := db.preparer()
	if err != nil {
		return store.Result{}, err
	}
	commit, err := s.Prepare(ctx, writes)
	if err != nil {
		return store.Result{}, err
	}
	r := txRunner{ctx: ctx, tx: tx}
	// The savepoint is for what fails between the first row and the last.
	if err := r.exec(`SAVEPOINT banyan_append`); err != nil {
		return store.Result{}, classify(err)
	}
	outcome, err := appendKnown(r, commit)
	if err != nil {
		err = errors.Join(classify(err), abandon(tx))
		return store.Result{}, err
	}
	if err := r.exec(`RELEASE banyan_append`); err != nil {
		return store.Result{}, errors.Join(classify(err), abandon(tx))
	}
	return outcome.Result()
}

// appendKnown looks the ids up before it decides, so that nothing it inserts can
// collide.
func appendKnown(r runner, commit store.Commit) (store.Outcome, error) {
	commits := []store.Commit{commit}
	known, err := lookup(r, store.IDs(commits))
	if err != nil {
		return store.Outcome{}, err
	}
	outcomes, err := appendOnce(r, commits, known)
	if err != nil {
		return store.Outcome{}, err
	}
	return outcomes[0], nil
}

// abandon goes back to the savepoint, also when the caller's context has ended.
func abandon(tx *sql.Tx) error {
	if _, err := tx.ExecContext(context.Background(), `ROLLBACK TO banyan_append; RELEASE banyan_append`); err != nil {
		return fmt.Errorf("the whole transaction is gone; roll it back and start again: %w", err)
	}
	return nil
}

// preparer returns the store whose options hold for appends in transactions: the
// first that the user opened, or one with the defaults.
func (db *DB) preparer() (*store.Store, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, errClosed
	}
	if len(db.stores) > 0 {
		return db.stores[0], nil
	}
	if db.plain == nil {
		s, err := store.New(db.Backend(), nil)
		if err != nil {
			return nil, err
		}
		db.plain = s
	}
	return db.plain, nil
}

// appended tells the followers of all stores of this DB to look.
func (db *DB) appended() {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, s := range db.stores {
		s.Appended()
	}
}
