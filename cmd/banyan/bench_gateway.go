package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
			"turn. The tables have the medians of answers in a second as fast as they come, their\n" +
			"ratio to nginx, and what each adds to the latency at a fixed rate; how long it takes\n" +
			"to find a route among few and among many; and the memory of idle connections.\n\n" +
			"With --peers, Caddy, Traefik (also with its fastProxy) and the engine of KrakenD are\n" +
			"measured too. \"sh bench/peers/gateways/build.sh DIR\" builds them; what is not found\n" +
			"is left out and listed at the end.",
		Example: "  banyan bench gateway --peers --peers-dir ./peers --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkBenchGateway(&o); err != nil {
				return err
			}
			o.Peers = o.Peers || c.Flags().Changed("peers-dir")
			if o.PeersDir == "" {
				o.PeersDir = goBin(e.getenv)
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
	flags.IntVar(&o.Idle, "idle", 10_000, "idle connections")
	flags.BoolVar(&o.Peers, "peers", false, "measure Caddy, Traefik and the engine of KrakenD too")
	flags.StringVar(&o.PeersDir, "peers-dir", "", "look for programs in `DIR` before the PATH, and measure the peers (default: where \"go install\" puts them)")
	flags.StringSliceVar(&o.Cases, "case", nil, "only these cases: "+strings.Join(gatebench.Cases(), ", "))
	flags.StringArrayVar(&o.Only, "only", nil, "only this side, beside the server behind; may be repeated")
	return c
}

func checkBenchGateway(o *gatebench.Options) error {
	if o.Rounds < 1 || o.Round <= 0 || o.Connections < 1 || o.Rate < 1 || o.Idle < 1 {
		return usage("--rounds, --round, --connections, --rate and --idle must be above 0")
	}
	for _, name := range o.Cases {
		if !slices.Contains(gatebench.Cases(), name) {
			return usage("--case %s: want %s", name, strings.Join(gatebench.Cases(), ", "))
		}
	}
	for _, name := range o.Only {
		if !slices.Contains(gatebench.Sides(), name) {
			return usage("--only %q: want one of %q", name, gatebench.Sides())
		}
	}
	return nil
}

// goBin is where "go install" puts programs.
func goBin(getenv func(string) string) string {
	if dir := getenv("GOBIN"); dir != "" {
		return dir
	}
	if list := filepath.SplitList(getenv("GOPATH")); len(list) > 0 {
		return filepath.Join(list[0], "bin")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, "go", "bin")
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
	report, err := gatebench.Run(ctx, o)
	if err != nil {
		return interrupted(ctx, err)
	}
	if asJSON {
		return json.NewEncoder(e.stdout).Encode(report)
	}
	return printBenchGateway(e.stdout, report)
}

// printBenchGateway writes a table for each kind of figure.
func printBenchGateway(out io.Writer, report *gatebench.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	last := ""
	for _, r := range report.Results {
		if kind := benchColumns(r.Case); kind != last {
			if last != "" {
				fmt.Fprintln(w)
			}
			fmt.Fprintln(w, kind)
			last = kind
		}
		printBenchSide(w, r)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return printBenchNotes(out, report)
}

// benchColumns returns the head of a case's table.
func benchColumns(name string) string {
	switch name {
	case gatebench.CaseRoutes:
		return "lookup\tper second\tratio\t"
	case gatebench.CaseIdle:
		return "idle connections\tbytes each\tratio\t"
	default:
		return "side\tper second\tratio\tof bare\tadded p50\tadded p99\t"
	}
}

func printBenchSide(w io.Writer, r gatebench.Result) {
	switch r.Case {
	case gatebench.CaseRoutes:
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t\n", r.Name, r.Rate, r.Ratio)
	case gatebench.CaseIdle:
		fmt.Fprintf(w, "%d, %s\t%.0f\t%.2f\t\n", r.Connections, r.Name, r.BytesEach, r.Ratio)
	default:
		bare := ""
		if r.RatioBare > 0 {
			bare = fmt.Sprintf("%.2f", r.RatioBare)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%s\t%.2f ms\t%.2f ms\t\n", r.Name, r.Rate, r.Ratio, bare, r.P50MS, r.P99MS)
	}
}

// printBenchNotes says what each side did beside forwarding, and what is missing.
func printBenchNotes(out io.Writer, report *gatebench.Report) error {
	var b strings.Builder
	for _, r := range report.Results {
		if r.Policies != "" {
			fmt.Fprintf(&b, "\n%s: %s", r.Name, r.Policies)
		}
	}
	for _, m := range report.Missing {
		fmt.Fprintf(&b, "\n%s: not found: %s", m.Name, m.How)
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, b.String())
	return err
}
