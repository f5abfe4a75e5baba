package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/store"
)

const storeVariable = "BANYAN_STORE"

// location is the flag that names a store, shared by the commands of a group.
type location struct {
	env *env
	url string
}

func newEventsCommand(e *env) *cobra.Command {
	at := &location{env: e}
	events := newGroup("events", "Read, check and back up an event store",
		newTailCommand(e, at), newReadCommand(e, at), newStateCommand(e, at), newVerifyCommand(e, at), newBackupCommand(e, at))
	events.PersistentFlags().StringVar(&at.url, "store", "",
		"the store: sqlite:PATH or postgres://… (default: $"+storeVariable+", which keeps a password out of the list of processes)")
	return events
}

// database opens the database, which must exist: a typing error should not leave
// an empty one behind.
func (l *location) database(ctx context.Context) (*app.Database, error) {
	dsn := l.url
	if dsn == "" {
		dsn = l.env.getenv(storeVariable)
	}
	if dsn == "" {
		return nil, usage("no store is named: give --store sqlite:PATH or --store postgres://…, or set %s", storeVariable)
	}
	if err := app.CheckURL(dsn); err != nil {
		return nil, &usageError{err}
	}
	return app.OpenExisting(ctx, dsn, "")
}

// store runs fn on the open store and closes everything after it.
func (l *location) store(ctx context.Context, fn func(*store.Store) error) (err error) {
	db, err := l.database(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	st, err := db.Store(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return fn(st)
}

// interrupted turns the end of ctx into an error, for commands that Ctrl-C leaves
// without a result.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	return err
}
