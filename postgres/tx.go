package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// InTx runs fn in a transaction of its own: all is kept when fn returns nil,
// nothing when it returns an error, which comes back unchanged. Together with
// AppendTx it writes the user's rows and events at once.
//
// Keep it short: until it ends, other appends to the streams that it appended to
// wait for it.
func (db *DB) InTx(ctx context.Context, fn func(pgx.Tx) error) error {
	inner, err := db.transact(ctx, "begin", fn)
	if inner != nil {
		return inner
	}
	if err != nil {
		return fmt.Errorf("postgres: transaction: %w", err)
	}
	db.mu.Lock()
	s := db.store
	db.mu.Unlock()
	if s != nil {
		s.Appended()
	}
	return nil
}

// transact runs fn between begin and commit. inner is the error of fn, err that
// of the transaction itself.
func (db *DB) transact(ctx context.Context, begin string, fn func(pgx.Tx) error) (inner, err error) {
	err = db.txs.begin(ctx, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		done := false
		defer func() {
			if !done { // also when fn panics; with ctx ended the connection is closed instead
				_ = tx.Rollback(ctx)
			}
		}()
		if inner = fn(tx); inner != nil {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return unwritten(err)
		}
		done = true
		return classifyCommit(tx.Commit(ctx))
	})
	return inner, classify(err)
}

func classifyCommit(err error) error {
	switch err := classify(err); {
	case err == nil || banyan.Kind(err) != nil:
		return err
	case errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("%w: nothing was written: a statement in it had failed, and its error was not returned: %w", banyan.ErrInvalid, err)
	default:
		return fmt.Errorf("%w: %w", banyan.ErrUnknown, err)
	}
}

// AppendTx appends to one stream or several inside the user's own transaction,
// at any isolation level; the events exist when it commits. A refused append
// leaves the transaction as it was, and usable. It checks and completes events by
// the options of the first Store that db handed out, else by the defaults.
//
// tx may come from any pool to the same database. Followers in this process hear
// of the events at once after InTx, and within Options.Poll of the Store after
// other transactions, unless Store.Appended tells them.
//
// At repeatable read and above the transaction cannot see who was faster; then
// the error of kind banyan.ErrConflict says so, and the whole transaction is to
// be run again. So is one that met a deadlock.
//
// An error of kind banyan.ErrUnavailable, or the end of ctx, may have taken the
// whole transaction with it: roll it back and begin anew.
func (db *DB) AppendTx(ctx context.Context, tx pgx.Tx, writes ...store.Write) (store.Result, error) {
	return db.appendIn(ctx, db.pgxTx(tx), writes)
}

// userTx is a transaction of the user's, whatever its driver.
type userTx interface {
	source
	insert(ctx context.Context, records []store.Record) error
	exec(ctx context.Context, text string) error
	isolation(ctx context.Context) (string, error)
}

// source is what a decision is made from.
type source interface {
	heads(ctx context.Context, streams []string, into map[string]store.Head) error
	lookup(ctx context.Context, ids []string) ([]store.Record, error)
}

// pgxTx is a transaction of pgx. Statements that it does not see run on its
// connection; the savepoint, which it does see, is before them and finds out
// whether it has ended.
type pgxTx struct {
	session
	tx pgx.Tx
}

func (db *DB) pgxTx(tx pgx.Tx) pgxTx {
	conn := tx.Conn()
	return pgxTx{tx: tx, session: session{
		conn: conn, sql: db.sql, named: conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement,
	}}
}

func (t pgxTx) exec(ctx context.Context, text string) error {
	_, err := t.tx.Exec(ctx, text)
	return err
}

func (t pgxTx) isolation(ctx context.Context) (level string, err error) {
	err = t.tx.QueryRow(ctx, isolationText).Scan(&level)
	return level, err
}

const isolationText = `select current_setting('transaction_isolation')`

func (db *DB) appendIn(ctx context.Context, tx userTx, writes []store.Write) (store.Result, error) {
	result, err := db.prepareIn(ctx, tx, writes)
	if err != nil {
		return store.Result{}, fmt.Errorf("postgres: append in transaction: %w", err)
	}
	return result, nil
}

func (db *DB) prepareIn(ctx context.Context, tx userTx, writes []store.Write) (store.Result, error) {
	s, err := db.preparer()
	if err != nil {
		return store.Result{}, err
	}
	commit, err := s.Prepare(ctx, writes)
	if err != nil {
		return store.Result{}, err
	}
	outcome, err := commitIn(ctx, tx, commit)
	if err != nil {
		return store.Result{}, err
	}
	return outcome.Result()
}

// preparer returns the store whose options apply in transactions of the user's.
func (db *DB) preparer() (*store.Store, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.store == nil {
		return store.New(db.Backend(), nil)
	}
	return db.store, nil
}

// commitIn appends one commit. An error says that nothing of it is in tx.
func commitIn(ctx context.Context, tx userTx, c store.Commit) (store.Outcome, error) {
	a := txAppend{tx: tx, commits: []store.Commit{c}}
	outcome, err := a.run(ctx)
	return outcome, classifyTx(ctx, err)
}

// classifyTx gives an error its kind. As nothing is written before the user
// commits, no outcome is unknown.
func classifyTx(ctx context.Context, err error) error {
	switch {
	case err == nil || banyan.Kind(err) != nil:
		return err
	case banyan.Stopped(err):
		return unwritten(err)
	case ctx.Err() != nil: // often the transaction's context too, which ends it
		return unwritten(errors.Join(ctx.Err(), err))
	case errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, sql.ErrTxDone):
		return fmt.Errorf("%w: the transaction has ended already: %w", banyan.ErrInvalid, err)
	case strings.HasPrefix(sqlState(err), "25P"):
		return fmt.Errorf("%w: a statement of the transaction failed before, or it has ended; roll it back: %w", banyan.ErrInvalid, err)
	default:
		return classifyRead(err)
	}
}

// txAppend is one append in a user's transaction. It builds on what the
// transaction itself sees: its own events before, which nobody else does, and
// not the cache of heads, which may know more than its snapshot.
type txAppend struct {
	tx      userTx
	commits []store.Commit
}

func (a *txAppend) run(ctx context.Context) (store.Outcome, error) {
	for try := 0; ; try++ {
		outcome, err := a.attempt(ctx, try > 0)
		switch {
		case err == nil || banyan.Kind(err) != nil:
			return outcome, err
		case rerun(err):
			return store.Outcome{}, fmt.Errorf("%w: roll the transaction back and run it again: %w", banyan.ErrConflict, err)
		case !taken(err):
			return store.Outcome{}, err
		case try >= singleTries:
			return store.Outcome{}, fmt.Errorf("%w: others were faster %d times: %w", banyan.ErrConflict, try+1, err)
		}
		if try > 0 { // it was not an event that the transaction sees
			if err := a.blind(ctx, err); err != nil {
				return store.Outcome{}, err
			}
		}
		if err := pause(ctx, try); err != nil {
			return store.Outcome{}, err
		}
	}
}

// blind returns an error if the transaction will never see what was in its way.
func (a *txAppend) blind(ctx context.Context, cause error) error {
	isolation, err := a.tx.isolation(ctx)
	if err != nil || isolation == "read committed" || isolation == "read uncommitted" {
		return err
	}
	return fmt.Errorf("%w: somebody else appended after this transaction began, and at isolation level %s it cannot see what; roll it back and run it again: %w", banyan.ErrConflict, isolation, cause)
}

const (
	savepoint = `savepoint banyan_append`
	keep      = `release savepoint banyan_append`
	goBack    = `rollback to savepoint banyan_append`
)

// undoWithin bounds going back, which goes on after the caller's context.
const undoWithin = 5 * time.Second

// attempt does everything behind a savepoint: whatever fails, and wherever the
// caller's context ends, the transaction is as it was.
func (a *txAppend) attempt(ctx context.Context, sure bool) (store.Outcome, error) {
	if err := a.tx.exec(ctx, savepoint); err != nil {
		return store.Outcome{}, err
	}
	outcome, err := a.write(ctx, sure)
	if err == nil {
		err = a.tx.exec(ctx, keep)
	}
	if err == nil {
		return outcome, nil
	}
	if undo := a.undo(ctx); undo != nil {
		err = fmt.Errorf("%w: the transaction is lost; roll it back and run it again: %w", banyan.ErrUnavailable, errors.Join(err, undo))
	}
	return store.Outcome{}, err
}

func (a *txAppend) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWithin)
	defer cancel()
	if err := a.tx.exec(ctx, goBack); err != nil {
		return err
	}
	return a.tx.exec(ctx, keep)
}

func (a *txAppend) write(ctx context.Context, sure bool) (store.Outcome, error) {
	d, err := a.decide(ctx, sure)
	if err != nil {
		return store.Outcome{}, err
	}
	if len(d.Insert) > 0 {
		err = a.tx.insert(ctx, d.Insert)
	}
	return d.Outcomes[0], err
}

func (a *txAppend) decide(ctx context.Context, sure bool) (store.Decision, error) {
	if !sure {
		heads := make(map[string]store.Head, len(a.commits[0].Sections))
		if err := a.tx.heads(ctx, store.Streams(a.commits), heads); err != nil {
			return store.Decision{}, err
		}
		if d := store.Decide(a.commits, heads, nil); len(d.Unclear) == 0 {
			return d, nil
		}
	}
	return decideSure(ctx, a.tx, a.commits)
}

// decideSure asks for all that matters. The order counts: an event id that is
// not found after the heads were read was not stored when they were, so a
// repetition is never taken for a conflict.
func decideSure(ctx context.Context, from source, commits []store.Commit) (store.Decision, error) {
	heads := make(map[string]store.Head, len(commits))
	if err := from.heads(ctx, store.Streams(commits), heads); err != nil {
		return store.Decision{}, err
	}
	records, err := from.lookup(ctx, store.IDs(commits))
	if err != nil {
		return store.Decision{}, err
	}
	known := make(map[string]store.Record, len(records))
	for i := range records {
		known[records[i].ID] = records[i]
	}
	return store.Decide(commits, heads, known), nil
}
