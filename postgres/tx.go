package postgres

import (
	"context"
	"errors"
	"fmt"

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
// leaves the transaction usable. It checks and completes events by the options
// of the first Store that db handed out, else by the defaults.
//
// tx may come from any pool to the same database. Followers in this process hear
// of the events at once after InTx, and within Options.Poll of the Store after
// other transactions.
//
// At repeatable read and above the transaction cannot see who was faster; then
// the error of kind banyan.ErrConflict says so, and the whole transaction is to
// be run again.
func (db *DB) AppendTx(ctx context.Context, tx pgx.Tx, writes ...store.Write) (store.Result, error) {
	result, err := db.appendTx(ctx, tx, writes)
	if err != nil {
		return store.Result{}, fmt.Errorf("postgres: append in transaction: %w", err)
	}
	return result, nil
}

func (db *DB) appendTx(ctx context.Context, tx pgx.Tx, writes []store.Write) (store.Result, error) {
	s, err := db.preparer()
	if err != nil {
		return store.Result{}, err
	}
	commit, err := s.Prepare(ctx, writes)
	if err != nil {
		return store.Result{}, err
	}
	conn := tx.Conn()
	a := txAppend{tx: tx, commits: []store.Commit{commit}, session: session{
		conn: conn, sql: db.sql, named: conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement,
	}}
	outcome, err := a.run(ctx)
	if err != nil {
		return store.Result{}, classify(err)
	}
	return outcome.Result()
}

// preparer returns the store whose options apply to AppendTx.
func (db *DB) preparer() (*store.Store, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.store == nil {
		return store.New(db.Backend(), nil)
	}
	return db.store, nil
}

// txAppend is one append in a user's transaction. It builds on what the
// transaction itself sees: its own events before, which nobody else does, and
// not the cache of heads, which may know more than its snapshot.
type txAppend struct {
	session
	tx      pgx.Tx
	commits []store.Commit
}

func (a *txAppend) run(ctx context.Context) (store.Outcome, error) {
	for try := 0; ; try++ {
		outcome, err := a.attempt(ctx, try > 0)
		switch {
		case err == nil:
			return outcome, nil
		case rerun(err):
			return store.Outcome{}, fmt.Errorf("%w: roll the transaction back and run it again: %w", banyan.ErrConflict, err)
		case !taken(err):
			return store.Outcome{}, err
		case try >= singleTries:
			return store.Outcome{}, fmt.Errorf("%w: others were faster %d times: %w", banyan.ErrConflict, try+1, err)
		}
		var isolation string
		if err := a.tx.QueryRow(ctx, `select current_setting('transaction_isolation')`).Scan(&isolation); err != nil {
			return store.Outcome{}, err
		}
		if isolation != "read committed" {
			return store.Outcome{}, fmt.Errorf("%w: somebody else appended after this transaction began, and at isolation level %s it cannot see what; roll it back and run it again: %w", banyan.ErrConflict, isolation, err)
		}
		if err := pause(ctx, try); err != nil {
			return store.Outcome{}, err
		}
	}
}

func (a *txAppend) attempt(ctx context.Context, sure bool) (store.Outcome, error) {
	d, err := a.decideTx(ctx, sure)
	if err != nil || len(d.Insert) == 0 {
		return first(d.Outcomes), err
	}
	savepoint, err := a.tx.Begin(ctx)
	if err != nil {
		return store.Outcome{}, err
	}
	if err := a.insert(ctx, d.Insert); err != nil {
		if undo := savepoint.Rollback(ctx); undo != nil {
			return store.Outcome{}, errors.Join(err, undo)
		}
		return store.Outcome{}, err
	}
	return first(d.Outcomes), savepoint.Commit(ctx)
}

func (a *txAppend) decideTx(ctx context.Context, sure bool) (store.Decision, error) {
	if !sure {
		heads := make(map[string]store.Head, len(a.commits[0].Sections))
		if err := a.heads(ctx, store.Streams(a.commits), heads); err != nil {
			return store.Decision{}, err
		}
		if d := store.Decide(a.commits, heads, nil); len(d.Unclear) == 0 {
			return d, nil
		}
	}
	return a.decide(ctx, a.commits)
}

func first(outcomes []store.Outcome) store.Outcome {
	if len(outcomes) == 0 {
		return store.Outcome{}
	}
	return outcomes[0]
}
