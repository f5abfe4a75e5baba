package main

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
)

// defaultConfig is the configuration's name where none is given.
const defaultConfig = "banyan.yaml"

func newRunCommand(e *env) *cobra.Command {
	var file string
	var every time.Duration
	c := &cobra.Command{
		Use: "run", Short: "Run a gateway",
		Long: "Run the gateway that a configuration file describes. The file is read again when it\n" +
			"changes: requests under way end with the old configuration, later ones begin with the\n" +
			"new one, and a file with a mistake changes nothing. The addresses are those of the\n" +
			"start. An interrupt drains.",
		Example: "  banyan run -c banyan.yaml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if every <= 0 {
				return usage("--reload-every is how often the file is looked at, such as 1s; have %s", every)
			}
			return runGateway(c.Context(), e, file, every)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `FILE`")
	c.Flags().DurationVar(&every, "reload-every", time.Second, "how often the file is looked at")
	return c
}

// noArgs refuses arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// runGateway serves until the context ends.
func runGateway(ctx context.Context, e *env, file string, every time.Duration) error {
	if e.getenv("GOGC") == "" {
		// A gateway keeps little and discards much: collecting garbage less often
		// costs a few megabytes. GOMEMLIMIT bounds it.
		debug.SetGCPercent(400)
	}
	log := slog.New(slog.NewJSONHandler(e.stderr, nil))
	g, err := edge.Open(ctx, file, edge.Options{Log: log, Every: every})
	if err != nil {
		return err
	}
	status := g.Status()
	log.Info("serving", "address", g.Addr(), "admin", g.AdminAddr(), "routes", len(status.Routes), "upstreams", len(status.Upstreams))
	return g.Run(ctx)
}
