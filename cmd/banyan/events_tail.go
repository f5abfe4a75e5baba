package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

type tail struct {
	last   int64
	after  int64
	follow bool
	filter store.Filter
	format format
}

func newTailCommand(e *env, at *location) *cobra.Command {
	var t tail
	c := &cobra.Command{
		Use: "tail", Short: "Print the log as it grows",
		Long:    "Print the end of the log and then every event as it is stored, until Ctrl-C.\nWith --json each line is a CloudEvent.",
		Example: "  banyan events tail --store sqlite:orders.db --type order.placed",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if t.last < 0 || t.after < -1 {
				return usage("--last and --after must not be negative")
			}
			return at.store(c.Context(), func(st *store.Store) error { return t.run(c.Context(), st, newPrinter(e, t.format)) })
		},
	}
	f := c.Flags()
	f.Int64Var(&t.last, "last", 10, "begin so many positions before the end")
	f.Int64Var(&t.after, "after", -1, "begin after this position instead; 0 is the whole log")
	f.BoolVar(&t.follow, "follow", true, "go on with new events; --follow=false stops at the end of the log")
	f.StringArrayVar(&t.filter.Types, "type", nil, "only events of this type; may be repeated")
	f.StringArrayVar(&t.filter.Prefixes, "stream", nil, "only streams whose names start so; may be repeated")
	t.format.flags(f)
	return c
}

func (t *tail) run(ctx context.Context, st *store.Store, p *printer) error {
	after := banyan.Position(t.after)
	if t.after < 0 {
		head, err := st.Head(ctx)
		if err != nil {
			return err
		}
		after = max(head-banyan.Position(t.last), 0)
	}
	events := st.All
	if t.follow {
		events = st.Follow
	}
	for e, err := range events(ctx, after, t.filter) {
		if err != nil {
			return err
		}
		if err := p.event(e); err != nil {
			return err
		}
	}
	return nil
}
