package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
)

// asked is the JSON of what the owner of a projection was asked for.
type asked struct {
	Projection string `json:"projection"`
	Generation int    `json:"generation"`
	Held       bool   `json:"held,omitempty"`
}

func newRebuildCommand(e *env, at *place) *cobra.Command {
	var hold, asJSON bool
	c := &cobra.Command{
		Use: "rebuild NAME", Short: "Build the read models anew beside the live ones",
		Long: "Have the read models built anew from the start of the log, beside the live ones,\n" +
			"and readers switched to them in one step when they have caught up. The command\n" +
			"returns when that has begun; status shows how far it is. The read models before\n" +
			"are kept, and kept up to date, for switch --back.",
		Example: "  banyan projection rebuild catalog --hold --store sqlite:shop.db",
		Args:    wantArgs(0, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return at.remote(c.Context(), args[0], func(r *projection.Remote) error {
				number, err := r.Rebuild(c.Context(), &projection.RebuildOptions{Hold: hold})
				if err != nil {
					return err
				}
				then := "readers are switched to it when it has caught up"
				if hold {
					then = "it is held until you switch to it"
				}
				return e.done(asJSON, asked{args[0], number, hold}, "%s: generation %d is being built beside the live one; %s", args[0], number, then)
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&hold, "hold", false, "do not switch readers over; wait for the switch command")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func newSwitchCommand(e *env, at *place) *cobra.Command {
	var back, force, asJSON bool
	c := &cobra.Command{
		Use: "switch NAME [GENERATION]", Short: "Make another generation of read models the live one",
		Long: "Make another generation of read models the live one, for all readers in one step:\n" +
			"the one that was built beside it, or with --back the one that was live before. It\n" +
			"has to be as far as the live one. A switch by which effects of parked events\n" +
			"would never run is refused.",
		Example: "  banyan projection switch catalog --back --store sqlite:shop.db",
		Args:    wantArgs(1, "NAME", "GENERATION"),
		RunE: func(c *cobra.Command, args []string) error {
			to := 0
			var err error
			switch {
			case len(args) == 2 && back:
				return usage("give a generation or --back, not both")
			case len(args) == 2:
				to, err = parseGeneration(args[1])
			}
			if err != nil {
				return err
			}
			return at.remote(c.Context(), args[0], func(r *projection.Remote) error {
				if to == 0 {
					if to, err = other(c.Context(), r, back); err != nil {
						return err
					}
				}
				if err := r.Switch(c.Context(), to, &projection.SwitchOptions{Force: force}); err != nil {
					return err
				}
				return e.done(asJSON, asked{Projection: args[0], Generation: to}, "%s: generation %d is live", args[0], to)
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&back, "back", false, "to the generation that was live before")
	f.BoolVar(&force, "force", false, "also when effects of parked events never run because of it")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// other returns the generation that a person means who names none.
func other(ctx context.Context, r *projection.Remote, back bool) (int, error) {
	s, err := r.Status(ctx)
	if err != nil {
		return 0, err
	}
	role, what := "building", "no generation is being built"
	if back {
		role, what = "older", "no older generation is kept"
	}
	kept := make([]string, len(s.Generations))
	for i, g := range s.Generations {
		if g.Role == role {
			return g.Number, nil
		}
		kept[i] = fmt.Sprintf("%d (%s)", g.Number, g.Role)
	}
	return 0, fmt.Errorf("projection %s: %w: %s; there are %s", s.Name, banyan.ErrNotFound, what, strings.Join(kept, ", "))
}

func newDropCommand(e *env, at *place) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "drop NAME GENERATION", Short: "Remove a generation of read models that is not live",
		Long:    "Remove the tables of a generation that is not live: the older one, or one that is\nbeing built, which is given up by it.",
		Example: "  banyan projection drop catalog 1 --store sqlite:shop.db",
		Args:    wantArgs(0, "NAME", "GENERATION"),
		RunE: func(c *cobra.Command, args []string) error {
			number, err := parseGeneration(args[1])
			if err != nil {
				return err
			}
			return at.remote(c.Context(), args[0], func(r *projection.Remote) error {
				if err := r.Drop(c.Context(), number); err != nil {
					return err
				}
				return e.done(asJSON, asked{Projection: args[0], Generation: number}, "%s: generation %d is dropped", args[0], number)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// retried is the JSON of a retry.
type retried struct {
	Projection string `json:"projection"`
	projection.Retried
}

func newRetryCommand(e *env, at *place) *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use: "retry NAME [KEY]", Short: "Apply parked events again",
		Long: "Apply the events that are parked under a key, in their order, and go on with the\n" +
			"key when they succeed. With --all every parked key is retried; exit code 1 when\n" +
			"one fails again. status shows the keys and their errors.",
		Example: "  banyan projection retry catalog order-536365 --store sqlite:shop.db",
		Args:    wantArgs(1, "NAME", "KEY"),
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) == 2) {
				return usage("give a KEY or --all")
			}
			return at.remote(c.Context(), args[0], func(r *projection.Remote) (err error) {
				var did projection.Retried
				what := "all keys"
				if all {
					did, err = r.RetryAll(c.Context())
				} else {
					what = "key " + args[1]
					did, err = r.Retry(c.Context(), args[1])
				}
				if err != nil {
					return err
				}
				err = e.done(asJSON, retried{args[0], did}, "%s: %s: %d events applied, %d keys are not parked any more", args[0], what, did.Events, did.Keys)
				if err == nil && did.Failed > 0 {
					err = fmt.Errorf("%d of %d keys failed again; the first: %s", did.Failed, did.Failed+did.Keys, printable(did.Error))
				}
				return err
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&all, "all", false, "every parked key")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
