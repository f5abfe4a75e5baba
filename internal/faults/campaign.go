package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// campaign is one long run.
type campaign struct {
	id    string
	what  string
	usual string   // how long it takes
	bugs  []string // what -control plants; none when these are tests themselves
	run   func(context.Context, *env) (outcome, error)
}

// env is what a campaign runs with.
type env struct {
	seed   uint64
	scale  float64 // percent of the full size
	bug    string  // planted; "" is none
	victim string  // the writer's binary
	dir    string  // a folder of its own
	random *rand.Rand
}

// size returns the asked part of a full size, at least 1.
func (e *env) size(full int) int {
	return max(1, int(math.Round(float64(full)*e.scale/100)))
}

// between returns a random time.
func (e *env) between(least, most time.Duration) time.Duration {
	return least + time.Duration(e.random.Int64N(int64(most-least)))
}

// outcome is what a campaign did and found.
type outcome struct {
	did    string // "500 kills, …"
	acked  int    // acknowledged appends; -1: not counted
	faults []string
}

// skipError says why a campaign cannot run on this machine.
type skipError string

func (e skipError) Error() string { return string(e) }

// plans returns the bugs to plant, one run for each; "" is a run without.
func (c campaign) plans(control bool) []string {
	if !control {
		return []string{""}
	}
	return c.bugs
}

func campaigns() []campaign {
	all := append(crashes(), fsyncErrors()...)
	all = append(all, fullDisks()...)
	all = append(all, histories()...)
	return append(all, goTests()...)
}

func printList(w io.Writer, all []campaign) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "id\twhat\tcommand\tusual duration")
	for _, c := range all {
		fmt.Fprintf(t, "%s\t%s\tgo run ./internal/faults %s\t%s\n", c.id, c.what, c.id, c.usual)
	}
	_ = t.Flush()
}

// row is the report of a campaign.
type row struct {
	outcome
	id      string
	start   time.Time
	took    time.Duration
	seed    uint64
	scale   float64
	bug     string
	skipped string
	err     error
}

const header = `| id | date | seed | faults, operations | acknowledged | lost, doubled, out of order | duration |
|---|---|---|---|---|---|---|
`

// bad reports whether the run found a fault, or with a planted bug found none.
func (r row) bad() bool {
	return r.err != nil || r.skipped == "" && (len(r.faults) > 0) != (r.bug != "")
}

func (r row) String() string {
	did, acked := r.did, "–"
	if r.acked >= 0 && r.skipped == "" && r.err == nil {
		acked = thousands(r.acked)
	}
	if r.scale != 100 {
		did += fmt.Sprintf(" (scale %v %%)", r.scale)
	}
	if r.bug != "" {
		did = "control, " + r.bug + ": " + did
	}
	if r.skipped != "" {
		did = "**not run**: " + r.skipped
	}
	cells := []string{r.id, r.start.Format(time.DateOnly), strconv.FormatUint(r.seed, 10), did, acked, r.verdict(), r.took.Round(time.Second).String()}
	for i := range cells { // the table needs its bars and lines
		cells[i] = strings.NewReplacer("|", "/", "\n", " ", "\t", " ").Replace(cells[i])
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

func (r row) verdict() string {
	switch {
	case r.skipped != "":
		return "–"
	case r.err != nil:
		return "**failed**: " + r.err.Error()
	case r.bug != "" && len(r.faults) > 0:
		return fmt.Sprintf("caught: %s faults", thousands(len(r.faults)))
	case r.bug != "":
		return "**not caught**"
	case len(r.faults) > 0:
		return fmt.Sprintf("**%s faults**", thousands(len(r.faults)))
	}
	return "0"
}

// save appends the row to a file, with the header when it is new.
func (r row) save(file string) error {
	if file == "" {
		return nil
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // a report
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed below
	if info, err := f.Stat(); err == nil && info.Size() == 0 {
		if _, err := f.WriteString(header); err != nil {
			return err
		}
	}
	if _, err := f.WriteString(r.String() + "\n"); err != nil {
		return err
	}
	return f.Close()
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
