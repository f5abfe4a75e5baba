package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

func newVerifyCommand(e *env, at *location) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "verify", Short: "Check every event of the store",
		Long: "Read the whole log and check checksums, positions, revisions, tombstones, and\nwhat the database can check of itself. Exit code 1 when something is wrong.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return at.store(c.Context(), func(st *store.Store) error { return verify(c.Context(), e, st, asJSON) })
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// verification is the JSON of the result.
type verification struct {
	OK       bool            `json:"ok"`
	Events   int64           `json:"events"`
	Streams  int             `json:"streams"`
	Position banyan.Position `json:"position"`
	Seconds  float64         `json:"seconds"`
	Faults   []string        `json:"faults"`
	More     int             `json:"more_faults"`
}

func verify(ctx context.Context, e *env, st *store.Store, asJSON bool) error {
	start := e.now()
	bar := newProgress(e, "verify")
	report, err := st.Verify(ctx, func(at, head banyan.Position) { bar.set(int64(at), int64(head)) })
	bar.done()
	if err != nil {
		return interrupted(ctx, err)
	}
	took := e.now().Sub(start)
	if asJSON {
		err = json.NewEncoder(e.stdout).Encode(verification{
			OK: report.OK(), Events: report.Events, Streams: report.Streams, Position: report.Last,
			Seconds: took.Seconds(), Faults: append([]string{}, report.Faults...), More: report.More,
		})
	} else {
		err = printReport(e, report, took)
	}
	if err == nil && !report.OK() {
		err = fmt.Errorf("%w: the store has %d faults", banyan.ErrCorrupt, len(report.Faults)+report.More)
	}
	return err
}

func printReport(e *env, r store.Report, took time.Duration) error {
	for _, fault := range r.Faults {
		if _, err := fmt.Fprintf(e.stdout, "fault: %s\n", printable(fault)); err != nil {
			return err
		}
	}
	if r.More > 0 {
		if _, err := fmt.Fprintf(e.stdout, "… and %d more\n", r.More); err != nil {
			return err
		}
	}
	verdict := "everything is in order"
	if !r.OK() {
		verdict = fmt.Sprintf("%d faults", len(r.Faults)+r.More)
	}
	_, err := fmt.Fprintf(e.stdout, "%d events in %d streams, up to position %d: %s (%v)\n", r.Events, r.Streams, r.Last, verdict, took.Round(time.Millisecond))
	return err
}
