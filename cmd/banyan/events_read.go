package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

type read struct {
	stream   string
	from     int64
	limit    int
	backward bool
	at       string
	format   format
}

func newReadCommand(e *env, at *location) *cobra.Command {
	var r read
	c := &cobra.Command{
		Use: "read STREAM", Short: "Print the events of a stream",
		Example: "  banyan events read order-536365 --store sqlite:orders.db",
		Args:    oneArg("STREAM"),
		RunE: func(c *cobra.Command, args []string) error {
			r.stream = args[0]
			o, err := r.options(e)
			if err != nil {
				return err
			}
			return at.store(c.Context(), func(st *store.Store) error { return r.run(c.Context(), st, o, newPrinter(e, r.format)) })
		},
	}
	f := c.Flags()
	f.Int64Var(&r.from, "from", 0, "begin with this revision")
	f.IntVar(&r.limit, "limit", 0, "at most so many events; 0: all")
	f.BoolVar(&r.backward, "backward", false, "the last event first")
	f.StringVar(&r.at, "at", "", "only events up to this time: "+timeHelp)
	r.format.flags(f)
	return c
}

func (r *read) options(e *env) (store.ReadOptions, error) {
	o := store.ReadOptions{From: banyan.Revision(r.from), Limit: r.limit, Backward: r.backward}
	if r.from < 0 || r.limit < 0 {
		return o, usage("--from and --limit must not be negative")
	}
	if r.at == "" {
		return o, nil
	}
	if r.backward {
		return o, usage("--at goes only with reading forwards")
	}
	var err error
	o.Until, err = parseTime(r.at, e.now())
	return o, err
}

func (r *read) run(ctx context.Context, st *store.Store, o store.ReadOptions, p *printer) error {
	n := 0
	for e, err := range st.Read(ctx, r.stream, o) {
		if err != nil {
			return interrupted(ctx, err)
		}
		n++
		if err := p.event(e); err != nil {
			return err
		}
	}
	if n == 0 {
		return notThere(ctx, st, r.stream)
	}
	return nil
}

// notThere tells a stream without events from a selection without events.
func notThere(ctx context.Context, st *store.Store, stream string) error {
	for _, err := range st.Read(ctx, stream, store.ReadOptions{Limit: 1}) {
		if err != nil {
			return err
		}
		return fmt.Errorf("stream %s has events, but none of those asked for: %w", stream, banyan.ErrNotFound)
	}
	return fmt.Errorf("stream %s: %w: it has no events", stream, banyan.ErrNotFound)
}
