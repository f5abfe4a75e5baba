package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/cmd/banyan/internal/gatebench"
)

func newBenchGatewayCommand(e *env) *cobra.Command {
	var asJSON bool
	o := gatebench.Options{Progress: func(text string) { fmt.Fprintln(e.stderr, text) }}
	c := &cobra.Command{
		Use: "gateway", Short: "Measure the gateway beside other proxies",
		Long: "Start a small server, the gateway in several configurations, and those of nginx and\n" +
			"haproxy that this machine has, each as a process, and put the same load on each in\n" +
			"turn. The table has the medians of answers in a second as fast as they come, their\n" +
			"ratio to nginx, and what each adds to the latency at a fixed rate.",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Rounds < 1 || o.Round <= 0 || o.Connections < 1 || o.Rate < 1 {
				return usage("--rounds, --round, --connections and --rate must be above 0")
			}
			return benchGateway(c.Context(), e, o, asJSON)
		},
	}
	flags := c.Flags()
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.IntVar(&o.Rounds, "rounds", 3, "rounds; the median counts")
	flags.DurationVar(&o.Round, "round", 3*time.Second, "how long each half of a round lasts")
	flags.IntVar(&o.Connections, "connections", 64, "connections at once")
	flags.IntVar(&o.Rate, "rate", 2000, "requests in a second at which latency is measured")
	flags.StringSliceVar(&o.Only, "only", nil, "only these, beside the server behind")
	return c
}

// newBenchServerCommand is what the benchmark starts.
func newBenchServerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "gateway-server KIND LISTEN BEHIND", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			return gatebench.Serve(c.Context(), args[0], args[1], args[2])
		},
	}
}

func benchGateway(ctx context.Context, e *env, o gatebench.Options, asJSON bool) error {
	results, err := gatebench.Run(ctx, o)
	if err != nil {
		return interrupted(ctx, err)
	}
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"results": results})
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "side\tper second\tratio\tadded p50\tadded p99\t")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.2f ms\t%.2f ms\t\n", r.Name, r.Rate, r.Ratio, r.P50MS, r.P99MS)
	}
	return w.Flush()
}
