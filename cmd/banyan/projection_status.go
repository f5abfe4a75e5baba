package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

func newStatusCommand(e *env, at *place) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status [NAME]", Short: "Show how projections are",
		Long: "Show how far each projection is behind the log, who runs it, and what keeps it from\n" +
			"going on. With a NAME also its generations, and its parked keys with the event that\n" +
			"failed. BEHIND is the age of the oldest event, of any type, that was not looked at.",
		Example: "  banyan projection status catalog --store sqlite:shop.db",
		Args:    wantArgs(1, "NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			return at.open(c.Context(), func(st *store.Store, db *view.DB) (err error) {
				names := args
				if len(args) == 0 {
					if names, err = projection.Names(c.Context(), db); err != nil {
						return interrupted(c.Context(), err)
					}
				}
				all := make([]projectionStatus, len(names))
				for i, name := range names {
					if all[i], err = readStatus(c.Context(), e, st, db, name); err != nil {
						return interrupted(c.Context(), err)
					}
				}
				return printStatus(e, all, asJSON, len(args) == 1)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// projectionStatus is the JSON of a projection.
type projectionStatus struct {
	Name       string             `json:"name"`
	Owner      string             `json:"owner"`
	LeaseUntil time.Time          `json:"lease_until,omitzero"` // by the owner's clock
	Error      string             `json:"error,omitempty"`
	ErrorSince time.Time          `json:"error_since,omitzero"`
	Head       banyan.Position    `json:"head"`
	OtherLog   bool               `json:"other_log,omitempty"` // the head is of a log that it does not read
	Live       *generationStatus  `json:"-"`
	All        []generationStatus `json:"generations"`
	Parked     []parkedKey        `json:"parked"`
}

type generationStatus struct {
	Number       int             `json:"number"`
	Role         string          `json:"role"`
	Version      int             `json:"version"`
	Position     banyan.Position `json:"position"`
	Handled      int64           `json:"handled"`
	LagEvents    int64           `json:"lag_events"`
	LagSeconds   float64         `json:"lag_seconds"`
	Progress     float64         `json:"progress"`
	ParkedKeys   int             `json:"parked_keys"`
	ParkedEvents int             `json:"parked_events"`
	Held         string          `json:"held,omitempty"`
	Waiting      string          `json:"waiting,omitempty"`
}

// parkedKey is a key with the event that failed.
type parkedKey struct {
	Key        string          `json:"key"`
	Generation int             `json:"generation"`
	Position   banyan.Position `json:"position"`
	EventID    string          `json:"event_id"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream"`
	Attempts   int             `json:"attempts"`
	Error      string          `json:"error"`
}

func readStatus(ctx context.Context, e *env, st *store.Store, db *view.DB, name string) (projectionStatus, error) {
	r, err := projection.NewRemote(st, db, name, &projection.RemoteOptions{Now: e.now})
	if err != nil {
		return projectionStatus{}, err
	}
	s, err := r.Status(ctx)
	if err != nil {
		return projectionStatus{}, err
	}
	keys, err := r.ParkedKeys(ctx)
	if err != nil {
		return projectionStatus{}, err
	}
	p := projectionStatus{
		Name: s.Name, Owner: s.Owner, LeaseUntil: s.Until, Error: s.Error, ErrorSince: s.ErrorSince, Head: s.Head,
		All: make([]generationStatus, len(s.Generations)), Parked: make([]parkedKey, len(keys)),
	}
	for i, g := range s.Generations {
		p.All[i] = generationStatus{
			Number: g.Number, Role: g.Role, Version: g.Version, Position: g.Position, Handled: g.Handled,
			LagEvents: g.Lag, LagSeconds: g.LagTime.Seconds(), Progress: g.Progress,
			ParkedKeys: g.ParkedKeys, ParkedEvents: g.ParkedEvents, Held: g.Held, Waiting: g.Waiting,
		}
		p.OtherLog = p.OtherLog || g.Position > s.Head
		if g.Number == s.Active().Number {
			p.Live = &p.All[i]
		}
	}
	for i, k := range keys {
		p.Parked[i] = parkedKey{k.Key, k.Generation, k.Position, k.EventID, k.Type, k.Stream, k.Attempts, k.Error}
	}
	return p, nil
}

func printStatus(e *env, all []projectionStatus, asJSON, one bool) error {
	var b bytes.Buffer
	switch {
	case asJSON:
		out := json.NewEncoder(e.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(map[string]any{"projections": all})
	case one:
		all[0].describe(&b, e.now())
	case len(all) == 0:
		fmt.Fprintln(&b, "no projection has ever run in this database")
	default:
		w := table(&b, "PROJECTION", "GENERATION", "POSITION", "LAG", "BEHIND", "PARKED KEYS", "OWNER", "NOTE")
		for i := range all {
			p := &all[i]
			g := generationStatus{}
			if p.Live != nil {
				g = *p.Live
			}
			w.row(p.Name, g.Number, g.Position, p.lag(g), p.late(g), g.ParkedKeys, p.owner(), strings.Join(p.notes(e.now()), "; "))
		}
		w.end()
	}
	_, err := b.WriteTo(e.stdout)
	return err
}

// describe shows everything about one projection.
func (p *projectionStatus) describe(b *bytes.Buffer, now time.Time) {
	fmt.Fprintf(b, "%s: owner %s, the log ends at position %d\n", p.Name, p.owner(), p.Head)
	if p.Owner != "" {
		fmt.Fprintf(b, "lease until %s by its own clock\n", moment(p.LeaseUntil.Truncate(time.Second)))
	}
	for _, note := range p.notes(now) {
		fmt.Fprintf(b, "note: %s\n", printable(note))
	}
	if len(p.All) > 0 {
		fmt.Fprintln(b)
		w := table(b, "GENERATION", "ROLE", "VERSION", "POSITION", "LAG", "BEHIND", "HANDLED", "PARKED KEYS", "PARKED EVENTS")
		for _, g := range p.All {
			w.row(g.Number, g.Role, g.Version, g.Position, p.lag(g), p.late(g), g.Handled, g.ParkedKeys, g.ParkedEvents)
		}
		w.end()
	}
	if len(p.Parked) > 0 {
		fmt.Fprintln(b)
		w := table(b, "PARKED KEY", "GENERATION", "POSITION", "EVENT", "TYPE", "ATTEMPTS", "ERROR")
		for _, k := range p.Parked {
			w.row(k.Key, k.Generation, k.Position, k.EventID, k.Type, k.Attempts, shorten(k.Error))
		}
		w.end()
	}
}

func (p *projectionStatus) owner() string {
	if p.Owner == "" {
		return "none"
	}
	return p.Owner
}

// notes says what a person should know, the worst first.
func (p *projectionStatus) notes(now time.Time) []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	if p.Error != "" {
		note("error since %s: %s", moment(p.ErrorSince.Truncate(time.Second)), p.Error)
	}
	if late := now.Sub(p.LeaseUntil); p.Owner == "" {
		note("no process runs it")
	} else if late > 0 {
		note("the lease ran out %v ago: no process seems to run it", late.Round(time.Second))
	}
	if p.OtherLog {
		note("the log ends before its position: it reads another one, to be named with --store")
	}
	for _, g := range p.All {
		if g.Role == "building" && g.Waiting == "" && g.Held == "" {
			note("generation %d is being built, %.0f %% of the log", g.Number, 100*g.Progress)
		}
		if g.Waiting != "" {
			note("generation %d is built and not live: %s", g.Number, g.Waiting)
		}
		if g.Held != "" {
			note("generation %d is not advanced: %s", g.Number, g.Held)
		}
	}
	return notes
}

func (p *projectionStatus) lag(g generationStatus) string {
	if p.OtherLog {
		return "?"
	}
	return fmt.Sprint(g.LagEvents)
}

func (p *projectionStatus) late(g generationStatus) string {
	if p.OtherLog {
		return "?"
	}
	return time.Duration(g.LagSeconds * float64(time.Second)).Round(time.Second).String()
}

// columns writes a table whose rows are all known.
type columns struct {
	out  *bytes.Buffer
	text *bytes.Buffer
	w    *tabwriter.Writer
}

func table(b *bytes.Buffer, header ...any) columns {
	text := &bytes.Buffer{}
	c := columns{b, text, tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)}
	c.row(header...)
	return c
}

func (c columns) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(c.w, "\t")
		}
		fmt.Fprint(c.w, printable(fmt.Sprint(cell)))
	}
	fmt.Fprintln(c.w)
}

// end writes the rows, without the spaces behind empty cells.
func (c columns) end() {
	_ = c.w.Flush() // a buffer does not fail
	for line := range strings.Lines(c.text.String()) {
		fmt.Fprintln(c.out, strings.TrimRight(line, " \n"))
	}
}
