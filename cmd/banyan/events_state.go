package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

type state struct {
	at       string
	revision int64
	json     bool
}

func newStateCommand(e *env, at *location) *cobra.Command {
	var s state
	c := &cobra.Command{
		Use: "state STREAM", Short: "Show a stream as it was at a time or revision",
		Long: `Show the events of a stream up to a time or a revision, and the last value of
each field of their data with the revision that set it.

That is a shallow merge of the JSON objects in order, without the rules of the
service that wrote them: a list is the last list, not the sum of all. Data that is
not a JSON object changes nothing. For the state as the service sees it, ask the
service.`,
		Example: "  banyan events state order-536365 --at 2010-12-08 --store sqlite:orders.db",
		Args:    oneArg("STREAM"),
		RunE: func(c *cobra.Command, args []string) error {
			o := store.ReadOptions{}
			var err error
			switch {
			case s.revision < 0 || (s.revision == 0 && c.Flags().Changed("revision")):
				return usage("--revision must be at least 1")
			case s.at != "" && s.revision > 0:
				return usage("give --at or --revision, not both")
			case s.at != "":
				o.Until, err = parseTime(s.at, e.now())
			}
			if err != nil {
				return err
			}
			o.Limit = int(s.revision)
			return at.store(c.Context(), func(st *store.Store) error { return s.run(c.Context(), e, st, args[0], o) })
		},
	}
	f := c.Flags()
	f.StringVar(&s.at, "at", "", "as it was at this time: "+timeHelp)
	f.Int64Var(&s.revision, "revision", 0, "as it was at this revision")
	f.BoolVar(&s.json, "json", false, "print one JSON object")
	return c
}

// folded is a stream up to some point. The JSON of the result.
type folded struct {
	Stream   string                `json:"stream"`
	Revision banyan.Revision       `json:"revision"`
	Time     time.Time             `json:"time"`
	Closed   bool                  `json:"closed"`
	State    map[string]fieldValue `json:"state"`
	Events   []foldedEvent         `json:"events"`
}

type fieldValue struct {
	Value    json.RawMessage `json:"value"`
	Revision banyan.Revision `json:"revision"`
}

type foldedEvent struct {
	Revision banyan.Revision `json:"revision"`
	Time     time.Time       `json:"time"`
	Type     string          `json:"type"`
	ID       string          `json:"id"`
	// Opaque: its data is no JSON object and changed nothing.
	Opaque bool `json:"opaque,omitempty"`
}

func (s *state) run(ctx context.Context, e *env, st *store.Store, stream string, o store.ReadOptions) error {
	f := folded{Stream: stream, State: map[string]fieldValue{}}
	for event, err := range st.Read(ctx, stream, o) {
		if err != nil {
			return interrupted(ctx, err)
		}
		f.apply(event)
	}
	if f.Revision == 0 {
		return notThere(ctx, st, stream)
	}
	if s.json {
		out := json.NewEncoder(e.stdout)
		out.SetEscapeHTML(false)
		return out.Encode(f)
	}
	_, err := f.table().WriteTo(e.stdout)
	return err
}

func (f *folded) apply(e banyan.Event) {
	f.Revision, f.Time, f.Closed = e.Revision, e.Time, e.Type == banyan.Tombstone
	var fields map[string]json.RawMessage
	opaque := e.ContentType != "" || json.Unmarshal(e.Data, &fields) != nil || fields == nil
	f.Events = append(f.Events, foldedEvent{e.Revision, e.Time, e.Type, e.ID, opaque})
	if opaque {
		return
	}
	for name, value := range fields {
		f.State[name] = fieldValue{json.RawMessage(compact(value)), e.Revision}
	}
}

func (f *folded) table() *bytes.Buffer {
	var b bytes.Buffer
	const events, fields = "%8s  %-20s  %s\n", "%-24s  %8s  %s\n"
	fmt.Fprintf(&b, events, "REVISION", "TIME", "TYPE")
	for _, e := range f.Events {
		note := ""
		if e.Opaque {
			note = "  (no JSON object)"
		}
		fmt.Fprintf(&b, events, fmt.Sprint(e.Revision), moment(e.Time), printable(e.Type)+note)
	}
	closed := ""
	if f.Closed {
		closed = ", closed by a tombstone"
	}
	fmt.Fprintf(&b, "\n%s at revision %d%s; the last value of each field:\n\n", printable(f.Stream), f.Revision, closed)
	fmt.Fprintf(&b, fields, "FIELD", "REVISION", "VALUE")
	for _, name := range slices.Sorted(maps.Keys(f.State)) {
		v := f.State[name]
		fmt.Fprintf(&b, fields, printable(name), fmt.Sprint(v.Revision), printable(string(v.Value)))
	}
	return &b
}
