package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// read reads a stream.
func (m *Machine) read(stream string, o store.ReadOptions) []banyan.Event {
	m.k.Helper()
	var events []banyan.Event
	for e, err := range m.k.st.Read(m.k.ctx, stream, o) {
		if err != nil {
			m.k.Fatalf("read %s %+v: %v", stream, o, err)
		}
		events = append(events, e)
	}
	return events
}

// all reads the log.
func (m *Machine) all(after banyan.Position, f store.Filter) []banyan.Event {
	m.k.Helper()
	var events []banyan.Event
	for e, err := range m.k.st.All(m.k.ctx, after, f) {
		if err != nil {
			m.k.Fatalf("read the log after %d, %+v: %v", after, f, err)
		}
		events = append(events, e)
	}
	return events
}

func (m *Machine) readForward() {
	stream := m.randomStream()
	want := m.model.streams[stream]
	o := store.ReadOptions{From: banyan.Revision(m.choose("from", len(want)+3)), Limit: m.choose("limit", 5)}
	want = want[min(max(0, int(o.From)-1), len(want)):]
	m.sameEvents(fmt.Sprintf("read %s %+v", stream, o), m.read(stream, o), limited(want, o.Limit))
}

func (m *Machine) readBackward() {
	stream := m.randomStream()
	want := slices.Clone(m.model.streams[stream])
	o := store.ReadOptions{From: banyan.Revision(m.choose("from", len(want)+3)), Limit: m.choose("limit", 5), Backward: true}
	if o.From > 0 {
		want = want[:min(int(o.From), len(want))]
	}
	slices.Reverse(want)
	m.sameEvents(fmt.Sprintf("read %s %+v", stream, o), m.read(stream, o), limited(want, o.Limit))
}

// readUntil reads the state of a stream at a time.
func (m *Machine) readUntil() {
	stream := m.randomStream()
	o := store.ReadOptions{Until: m.clock.Add(-time.Duration(m.choose("seconds ago", 30)) * time.Second)}
	if i := m.choose("time", 2*len(someTimes)); i < len(someTimes) {
		o.Until = someTimes[i]
	}
	want := m.model.streams[stream]
	if i := slices.IndexFunc(want, func(e banyan.Event) bool { return e.Time.After(o.Until) }); i >= 0 {
		want = want[:i]
	}
	m.sameEvents(fmt.Sprintf("read %s %+v", stream, o), m.read(stream, o), want)
}

func limited(events []banyan.Event, limit int) []banyan.Event {
	if limit > 0 {
		return events[:min(limit, len(events))]
	}
	return events
}

// readLog reads the log from anywhere with a filter.
func (m *Machine) readLog() {
	m.learn()
	after := banyan.Position(m.choose("after", int(m.end())+2))
	f := machineFilters[m.choose("filter", len(machineFilters))]
	m.sameEvents(fmt.Sprintf("log after %d, %+v", after, f), m.all(after, f), matching(m.after(after), f))
	if head, err := m.k.st.Head(m.k.ctx); err != nil || head != m.end() {
		m.k.Fatalf("the head is %d, %v; want %d", head, err, m.end())
	}
}

// after returns the events of the log after a position.
func (m *Machine) after(p banyan.Position) []banyan.Event {
	return slices.DeleteFunc(m.model.logEvents(), func(e banyan.Event) bool { return e.Position <= p })
}

// readPage reads one page. How far it looks is the back end's affair; up to
// there it has everything, and it gets on until nothing is left.
func (m *Machine) readPage() {
	m.learn()
	after := banyan.Position(m.choose("after", int(m.end())+2))
	f := machineFilters[m.choose("filter", len(machineFilters))]
	limit := 1 + m.choose("limit", 6)
	page, err := m.k.st.ReadPage(m.k.ctx, after, f, limit)
	what := fmt.Sprintf("page of %d after %d, %+v", limit, after, f)
	if err != nil {
		m.k.Fatalf("%s: %v", what, err)
	}
	rest := m.after(after)
	if (page.Next > after) != (len(rest) > 0) || len(page.Events) > limit {
		m.k.Fatalf("%s: %d events and next %d, where %d follow", what, len(page.Events), page.Next, len(rest))
	}
	want := slices.DeleteFunc(rest, func(e banyan.Event) bool { return e.Position > page.Next })
	m.sameEvents(what, page.Events, matching(want, f))
}

// lookUp asks for events by id, some of which do not exist, and for the position
// of an append.
func (m *Machine) lookUp() {
	asked := []string{"e0", "E1"}
	for range m.choose("ids", 4) {
		asked = append(asked, fmt.Sprintf("e%d", 1+m.choose("id", m.ids+1)))
	}
	slices.Sort(asked)
	asked = slices.Compact(asked)
	var want []banyan.Event
	for _, id := range asked {
		if e := m.model.event(id); e != nil {
			want = append(want, *e)
		}
	}
	got, err := m.k.st.Lookup(m.k.ctx, asked...)
	if err != nil {
		m.k.Fatalf("look up %q: %v", asked, err)
	}
	slices.SortFunc(got, func(a, b banyan.Event) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	m.sameEvents(fmt.Sprintf("look up %q", asked), got, want)
	id := asked[len(asked)-1]
	at, err := m.k.st.PositionOf(m.k.ctx, store.Token(id))
	if e := m.model.event(id); e != nil {
		m.learn()
		if err != nil || at != e.Position {
			m.k.Fatalf("position of %s is %d, %v; want %d", id, at, err, e.Position)
		}
	} else if !errors.Is(err, banyan.ErrNotFound) {
		m.k.Fatalf("position of %s, which does not exist: %d, %v; want kind %q", id, at, err, banyan.ErrNotFound)
	}
}

// snapshot keeps one and asks for one.
func (m *Machine) snapshot() {
	stream := m.randomStream()
	snap := store.Snapshot{
		Stream: stream, Revision: banyan.Revision(1 + m.choose("revision", 5)), Schema: 1 + m.choose("schema", 2),
		Data: fmt.Appendf(nil, "state %d\x00", m.choose("state", 100)),
	}
	if err := m.k.st.SaveSnapshot(m.k.ctx, snap); err != nil {
		m.k.Fatalf("save snapshot %+v: %v", snap, err)
	}
	if have, ok := m.model.snapshots[stream]; !ok || have.Schema != snap.Schema || have.Revision < snap.Revision {
		m.model.snapshots[stream] = snap
	}
	stream, schema := m.randomStream(), 1+m.choose("schema", 2)
	want, ok := m.model.snapshots[stream]
	got, err := m.k.st.LoadSnapshot(m.k.ctx, stream, schema)
	switch {
	case !ok || want.Schema != schema:
		if !errors.Is(err, banyan.ErrNotFound) {
			m.k.Fatalf("load snapshot of %s, schema %d: %+v, %v; want kind %q", stream, schema, got, err, banyan.ErrNotFound)
		}
	case err != nil || got.Stream != want.Stream || got.Revision != want.Revision || got.Schema != want.Schema || !bytes.Equal(got.Data, want.Data):
		m.k.Fatalf("load snapshot of %s, schema %d: %+v, %v; want %+v", stream, schema, got, err, want)
	}
}
