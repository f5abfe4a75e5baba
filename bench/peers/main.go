package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	o := options{progress: func(text string) { fmt.Fprintln(stderr, text) }}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dsn := flags.String("url", "", "postgres://… of a server where databases may be created (default: a private server)")
	asJSON := flags.Bool("json", false, "print one JSON object")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each case; the median counts")
	flags.DurationVar(&o.round, "round", 2*time.Second, "how long each system runs in a round")
	flags.IntVar(&o.events, "events", 100_000, "length of the log that is read")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.rounds < 1 || o.round <= 0 || o.events < 1 || flags.NArg() > 0 {
		return errors.New("peers: -rounds, -round and -events must be above 0, and there are no other arguments")
	}
	s, err := openServer(ctx, *dsn)
	if err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	results, err := compare(ctx, s, o)
	if err = errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("peers: %w", err)
	}
	if *asJSON {
		return json.NewEncoder(stdout).Encode(map[string]any{"results": results})
	}
	return writeTable(stdout, results)
}

// writeTable shows the medians. Banyan has a line for each case, above its peers.
func writeTable(out io.Writer, results []result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "case\tsystem\tclients\tevents/s\tBanyan's ratio\t")
	last := ""
	for _, r := range results {
		if r.Name != last {
			fmt.Fprintf(w, "%s\tbanyan\t%d\t%.0f\t\t\n", r.Name, r.Clients, r.Banyan)
			last = r.Name
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.0f\t%.2f\t\n", r.Name, r.System, r.Clients, r.Rate, r.Ratio)
	}
	return w.Flush()
}
