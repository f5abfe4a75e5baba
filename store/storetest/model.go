package storetest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// model is what a store means, in the plainest form: it shares nothing with
// package store but the types.
type model struct {
	streams map[string][]banyan.Event
	place   map[string]place // of every stored id
	log     []string         // ids in the order of the log
	// pending ids are stored and have no position that the model knows: where the
	// back end gives positions later, or with holes.
	pending   map[string]bool
	snapshots map[string]store.Snapshot
}

// place is where an event is: streams[stream][index].
type place struct {
	stream string
	index  int
}

func newModel() model {
	return model{
		streams: map[string][]banyan.Event{}, place: map[string]place{}, pending: map[string]bool{},
		snapshots: map[string]store.Snapshot{},
	}
}

func (m *model) event(id string) *banyan.Event {
	at, ok := m.place[id]
	if !ok {
		return nil
	}
	return &m.streams[at.stream][at.index]
}

func (m *model) closed(stream string) bool {
	events := m.streams[stream]
	return len(events) > 0 && events[len(events)-1].Type == banyan.Tombstone
}

// append is the whole meaning of an append.
func (m *model) append(writes []store.Write, positions bool, now time.Time) (store.Result, error) {
	if result, err := m.repetition(writes); err != nil || result.Duplicate {
		return result, err
	}
	for _, w := range writes {
		have := banyan.Revision(len(m.streams[w.Stream]))
		if m.closed(w.Stream) {
			return store.Result{}, banyan.ErrGone
		}
		if !expected(w.Expect, have) {
			return store.Result{}, &store.ConflictError{Stream: w.Stream, Want: w.Expect, Have: have}
		}
	}
	var result store.Result
	for _, w := range writes {
		for _, e := range w.Events {
			result.Events = append(result.Events, m.put(w.Stream, e, positions, now))
		}
	}
	return result, nil
}

func expected(want store.Expect, have banyan.Revision) bool {
	switch want {
	case store.Any:
		return true
	case store.Exists:
		return have > 0
	case store.NoStream:
		return have == 0
	}
	return banyan.Revision(want) == have
}

// repetition answers an append of ids that are stored: all of them with the same
// facts is a repetition, anything else a mistake.
func (m *model) repetition(writes []store.Write) (store.Result, error) {
	var result store.Result
	known, total := 0, 0
	for _, w := range writes {
		for _, e := range w.Events {
			total++
			old := m.event(e.ID)
			if old == nil {
				continue
			}
			known++
			if old.Stream != w.Stream || old.Type != e.Type || !bytes.Equal(old.Data, e.Data) {
				return store.Result{}, banyan.ErrExists
			}
			result.Events = append(result.Events, *old)
		}
	}
	switch known {
	case 0:
		return store.Result{}, nil
	case total:
		result.Duplicate = true
		return result, nil
	}
	return store.Result{}, banyan.ErrExists
}

// put stores an event as a store completes it.
func (m *model) put(stream string, e banyan.Event, position bool, now time.Time) banyan.Event {
	e.Stream, e.Recorded = stream, now
	e.Schema = max(e.Schema, 1)
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Source == "" {
		e.Source = "/machine"
	}
	m.place[e.ID] = place{stream, len(m.streams[stream])}
	e.Revision = banyan.Revision(len(m.streams[stream]) + 1)
	if position {
		m.log = append(m.log, e.ID)
		e.Position = banyan.Position(len(m.log))
	} else {
		m.pending[e.ID] = true
	}
	m.streams[stream] = append(m.streams[stream], e)
	return e
}

// logEvents returns the events of the log as far as its order is known.
func (m *model) logEvents() []banyan.Event {
	events := make([]banyan.Event, len(m.log))
	for i, id := range m.log {
		events[i] = *m.event(id)
	}
	return events
}

// learn reads on in the log until everything has a position, where the back end
// gives positions later. What is learned once must never change.
func (m *Machine) learn() {
	m.k.Helper()
	if len(m.model.pending) == 0 {
		return
	}
	for tick := newTicker(m.k); len(m.model.pending) > 0; tick.wait("%d events have a position", len(m.model.pending)) {
		for _, e := range m.all(m.end(), store.Filter{}) {
			m.learnOne(e)
		}
	}
}

func (m *Machine) learnOne(e banyan.Event) {
	m.k.Helper()
	if !m.model.pending[e.ID] {
		m.k.Fatalf("the log has event %s at position %d; want one of %d that have none yet", e.ID, e.Position, len(m.model.pending))
	}
	before := m.model.streams[e.Stream][:m.model.place[e.ID].index]
	if n := len(before); n > 0 && before[n-1].Position == 0 {
		m.k.Fatalf("event %s (%s@%d) is in the log before the one in front of it", e.ID, e.Stream, e.Revision)
	}
	if end := m.end(); e.Position <= end || (m.k.b.Promises().GapFree && e.Position != end+1) {
		m.k.Fatalf("event %s has position %d; want it to follow %d", e.ID, e.Position, end)
	}
	delete(m.model.pending, e.ID)
	m.model.log = append(m.model.log, e.ID)
	m.model.event(e.ID).Position = e.Position
	m.sameEvents("event "+e.ID+" of the log", []banyan.Event{e}, []banyan.Event{*m.model.event(e.ID)})
}

// end is the highest position known.
func (m *Machine) end() banyan.Position {
	if len(m.model.log) == 0 {
		return 0
	}
	return m.model.event(m.model.log[len(m.model.log)-1]).Position
}

// sameEvents compares events in order. A position that one side does not know is
// not compared.
func (m *Machine) sameEvents(what string, got, want []banyan.Event) {
	m.k.Helper()
	if len(got) != len(want) {
		m.k.Fatalf("%s: %d events; want %d\ngot  %s\nwant %s", what, len(got), len(want), ids(got), ids(want))
	}
	for i := range got {
		if !sameEvent(&got[i], &want[i]) {
			m.k.Fatalf("%s: event %d is\n     %+v\nwant %+v", what, i, got[i], want[i])
		}
	}
}

func sameEvent(a, b *banyan.Event) bool {
	return a.ID == b.ID && a.Type == b.Type && a.Schema == b.Schema && a.Stream == b.Stream && a.Revision == b.Revision &&
		(a.Position == b.Position || a.Position == 0 || b.Position == 0) &&
		a.Time.Equal(b.Time) && a.Recorded.Equal(b.Recorded) && a.Source == b.Source && a.ContentType == b.ContentType &&
		bytes.Equal(a.Data, b.Data) && sameMeta(a.Meta, b.Meta)
}

func sameMeta(a, b banyan.Metadata) bool {
	return a.Correlation == b.Correlation && a.Causation == b.Causation && a.Actor == b.Actor && a.Tenant == b.Tenant &&
		a.TraceParent == b.TraceParent && maps.Equal(a.Extra, b.Extra)
}

func ids(events []banyan.Event) string {
	out := ""
	for _, e := range events[:min(len(events), 20)] {
		out += fmt.Sprintf(" %d:%s(%s@%d)", e.Position, e.ID, e.Stream, e.Revision)
	}
	return out
}

// matching returns the events that a filter selects.
func matching(events []banyan.Event, f store.Filter) []banyan.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e banyan.Event) bool { return !selects(f, e) })
}

// selects is the meaning of a filter.
func selects(f store.Filter, e banyan.Event) bool {
	prefix := len(f.Prefixes) == 0 || slices.ContainsFunc(f.Prefixes, func(p string) bool { return bytes.HasPrefix([]byte(e.Stream), []byte(p)) })
	return prefix && (len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}
