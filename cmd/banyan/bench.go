package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/bench"
)

func newBenchCommand(e *env) *cobra.Command {
	return newGroup("bench", "Measure Banyan beside bare drivers and other proxies", newBenchStoreCommand(e), newBenchGatewayCommand(e), newBenchServerCommand())
}

func newBenchStoreCommand(e *env) *cobra.Command {
	var url string
	var asJSON bool
	o := bench.Options{Progress: func(text string) { fmt.Fprintln(e.stderr, text) }}
	c := &cobra.Command{
		Use: "store", Short: "Measure the event store beside the bare driver",
		Long: "Run each case in turn with the store and with the shortest program that uses the\n" +
			"driver alone, on the same database, rows, columns and indexes. The table has the\n" +
			"medians of events in a second (of case open: of starts in a second) and their\n" +
			"ratio, and the memory that reading took. The database must be empty.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkBench(o); err != nil {
				return err
			}
			return benchStore(c.Context(), e, url, o, asJSON)
		},
	}
	flags := c.Flags()
	flags.StringVar(&url, "url", "", "sqlite:FILE or postgres://… (default: SQLite in a temporary folder)")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	flags.IntVar(&o.Rounds, "rounds", 5, "rounds of each case; the median counts")
	flags.DurationVar(&o.Round, "round", 2*time.Second, "how long each half of a round lasts")
	flags.IntVar(&o.Events, "events", 1_000_000, "length of the log of read-all and open")
	flags.IntVar(&o.Clients, "clients", 0, "clients of append-1 (default: 16 on PostgreSQL, 64 on SQLite)")
	flags.StringSliceVar(&o.Cases, "case", nil, "only these cases: "+strings.Join(benchCases, ", "))
	return c
}

var benchCases = []string{"append-1", "append-100", "read-all", "open"}

func checkBench(o bench.Options) error {
	if o.Rounds < 1 || o.Round <= 0 || o.Events < 1 || o.Clients < 0 {
		return usage("--rounds, --round and --events must be above 0, --clients not below")
	}
	for _, name := range o.Cases {
		if !slices.Contains(benchCases, name) {
			return usage("--case %s: want %s", name, strings.Join(benchCases, ", "))
		}
	}
	return nil
}

func benchStore(ctx context.Context, e *env, url string, o bench.Options, asJSON bool) (err error) {
	if url == "" {
		dir, err := os.MkdirTemp("", "banyan-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		url = "sqlite:" + filepath.Join(dir, "bench.db")
	}
	results, err := bench.Store(ctx, url, &o)
	if err != nil {
		return interrupted(ctx, err)
	}
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(map[string]any{"results": results})
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tback end\tclients\tper second\tbare driver\tratio\tmemory\t")
	for _, r := range results {
		memory := ""
		if r.MemoryMB > 0 {
			memory = fmt.Sprintf("%.0f MiB", r.MemoryMB)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.0f\t%.2f\t%s\t\n", r.Name, r.Backend, r.Clients, r.Rate, r.Baseline, r.Ratio, memory)
	}
	return w.Flush()
}
