package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

const viewsVariable = "BANYAN_VIEWS"

// place is where a service keeps its events and its read models, shared by the
// commands of a group.
type place struct {
	env   *env
	log   string
	views string
}

func newProjectionCommand(e *env) *cobra.Command {
	at := &place{env: e}
	c := newGroup("projection", "Look after the projections of a service",
		newStatusCommand(e, at), newRebuildCommand(e, at), newSwitchCommand(e, at), newDropCommand(e, at), newRetryCommand(e, at))
	c.Long = `Look after the projections of a service.

status reads the database of the read models. The other commands leave a request
there, which the process that runs the projection takes up within seconds, and
wait for its answer. Where no process runs it they say so and take the request
back.

Without --store and --views the databases are those in $` + storeVariable + ` and
$` + viewsVariable + `, which keep passwords out of the list of processes.`
	f := c.PersistentFlags()
	f.StringVar(&at.log, "store", "", "the log that the projection reads: sqlite:PATH or postgres://… (default: where the read models are)")
	f.StringVar(&at.views, "views", "", "the read models: sqlite:PATH or postgres://… (default: where the log is)")
	return c
}

// urls returns where the log and the read models are; each is the other's default.
// The variables count when no flag is given: a flag and a variable that do not
// belong together would lead to the wrong database.
func (p *place) urls() (log, views string, err error) {
	log, views = p.log, p.views
	if log == "" && views == "" {
		log, views = p.env.getenv(storeVariable), p.env.getenv(viewsVariable)
	}
	if log, views = cmp.Or(log, views), cmp.Or(views, log); log == "" {
		return "", "", usage("no database is named: give --store or --views with sqlite:PATH or postgres://…, or set %s or %s", storeVariable, viewsVariable)
	}
	for _, dsn := range []string{log, views} {
		if err := app.CheckURL(dsn); err != nil {
			return "", "", &usageError{err}
		}
	}
	return log, views, nil
}

// open runs fn on the log and the read models, and closes everything after it.
func (p *place) open(ctx context.Context, fn func(st *store.Store, db *view.DB) error) (err error) {
	log, views, err := p.urls()
	if err != nil {
		return err
	}
	events, err := app.OpenExisting(ctx, log, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, events.Close()) }()
	st, err := events.Store(nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	rows := events
	if views != log {
		if rows, err = app.OpenExisting(ctx, views, ""); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
	}
	db, err := rows.Views()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return fn(st, db)
}

// remote runs fn on one projection.
func (p *place) remote(ctx context.Context, name string, fn func(*projection.Remote) error) error {
	return p.open(ctx, func(st *store.Store, db *view.DB) error {
		r, err := projection.NewRemote(st, db, name, nil)
		if err != nil {
			return err
		}
		if p.env.terminal {
			fmt.Fprintln(p.env.stderr, "asking the process that runs the projection…")
		}
		if err := fn(r); err != nil {
			return interrupted(ctx, err)
		}
		return nil
	})
}

// done prints the result of a command: a line for people or JSON.
func (e *env) done(asJSON bool, result any, format string, args ...any) error {
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(result)
	}
	_, err := fmt.Fprintln(e.stdout, printable(fmt.Sprintf(format, args...)))
	return err
}

// wantArgs wants these arguments, of which the last ones may be missing.
func wantArgs(optional int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(names)-optional {
			return fmt.Errorf("%s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return fmt.Errorf("unexpected argument %q behind %s", args[len(names)], names[len(names)-1])
		}
		return nil
	}
}

func parseGeneration(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, usage("%q is not the number of a generation; status shows which there are", text)
	}
	return n, nil
}
