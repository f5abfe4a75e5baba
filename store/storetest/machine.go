package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Machine is a store beside a model of it that is made of slices and maps. Each
// of its actions makes one call and compares the answer with that of the model,
// so that any sequence of actions is a test:
//
//	m := storetest.NewMachine(t, harness, func(_ string, n int) int { return rng.IntN(n) })
//	for range 100 {
//		m.Step()
//	}
//	m.Check()
//
// A library for properties, such as rapid, runs Actions instead, chooses by what
// it draws, and so finds the shortest sequence that fails. Calls are made one
// after the other; the Concurrency group of [Run] is for those at once.
type Machine struct {
	k      *kit
	choose func(what string, n int) int
	model  model
	writes [][]store.Write // what was sent, accepted or not
	ids    int
	clock  time.Time
}

// NewMachine returns a machine with an empty store. choose returns a number from
// 0 to n-1, and what says what for; the same choices make the same calls.
func NewMachine(t testing.TB, h Harness, choose func(what string, n int) int) *Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	m := &Machine{k: &kit{TB: t, h: h, ctx: ctx}, choose: choose, model: newModel(), clock: someTimes[0]}
	m.open(h.Open(t))
	return m
}

// open makes a store with the clock of the machine.
func (m *Machine) open(b store.Backend) {
	m.k.Helper()
	st, err := store.New(b, &store.Options{Source: "/machine", Now: m.tick})
	if err != nil {
		m.k.Fatalf("store.New: %v", err)
	}
	m.k.b, m.k.st = b, st
}

// tick is a clock that moves by a second with each look.
func (m *Machine) tick() time.Time {
	m.clock = m.clock.Add(time.Second)
	return m.clock
}

// Actions returns the actions by name.
func (m *Machine) Actions() map[string]func() {
	actions := map[string]func(){
		"append":         func() { m.append(m.randomWrites(1)) },
		"append several": func() { m.append(m.randomWrites(2 + m.choose("streams", 2))) },
		"append again":   m.again,
		"append nothing": m.refusedAtOnce,
		"read backward":  m.readBackward,
		"read forward":   m.readForward,
		"read log":       m.readLog,
		"read page":      m.readPage,
		"read until":     m.readUntil,
		"look up":        m.lookUp,
		"verify":         m.verify,
	}
	if m.k.b.Promises().Snapshots {
		actions["snapshot"] = m.snapshot
	}
	if m.k.h.Reopen != nil {
		actions["reopen"] = m.reopen
	}
	return actions
}

// Step runs one action.
func (m *Machine) Step() {
	actions := m.Actions()
	names := make([]string, 0, len(actions))
	for name := range actions {
		names = append(names, name)
	}
	slices.Sort(names)
	actions[names[m.choose("action", len(names))]]()
}

// Check compares everything with the model.
func (m *Machine) Check() {
	m.k.Helper()
	m.learn()
	for _, name := range machineStreams {
		m.sameEvents("stream "+name, m.read(name, store.ReadOptions{}), m.model.streams[name])
	}
	m.sameEvents("the log", m.all(0, store.Filter{}), m.model.logEvents())
	m.verify()
}

// What is chosen from. Times do not ascend with the revisions, as an import may
// have them.
var (
	machineStreams = []string{"a-1", "a-2", "b-1", "c"}
	machineTypes   = []string{"x", "y", "order.placed"}
	machineFilters = []store.Filter{
		{},
		{Types: []string{"x"}},
		{Types: []string{"y", "order.placed"}},
		{Prefixes: []string{"a-"}},
		{Prefixes: []string{"a-2", "c"}},
		{Types: []string{"x", banyan.Tombstone}, Prefixes: []string{"b", "a-1"}},
		{Types: []string{"never"}},
	}
	someTimes = []time.Time{
		time.Date(2020, 2, 29, 12, 0, 0, 1000, time.UTC),
		time.Date(1969, 7, 20, 20, 17, 40, 0, time.UTC),
		time.Date(2020, 2, 29, 12, 0, 0, 2000, time.UTC),
		time.Date(2999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	}
)

func (m *Machine) randomStream() string {
	return machineStreams[m.choose("stream", len(machineStreams))]
}

func (m *Machine) randomExpect(stream string) store.Expect {
	have := len(m.model.streams[stream])
	switch m.choose("expectation", 8) {
	case 0:
		return store.NoStream
	case 1:
		return store.Exists
	case 2:
		return store.Exact(banyan.Revision(max(0, have-1)))
	case 3:
		return store.Exact(banyan.Revision(have + 1))
	case 4, 5:
		return store.Exact(banyan.Revision(have))
	default:
		return store.Any
	}
}

func (m *Machine) randomEvent() banyan.Event {
	m.ids++
	e := banyan.Event{ID: fmt.Sprintf("e%d", m.ids), Type: machineTypes[m.choose("type", len(machineTypes))]}
	e.Data = fmt.Appendf(nil, `{"n":%d}`, m.ids)
	switch kind := m.choose("kind", 8); kind {
	case 0:
		e.Data, e.ContentType = []byte{0xff, 0, byte(m.ids), 0}, "application/octet-stream"
	case 1:
		e.Schema, e.Source = 3, "/other"
	case 2:
		e.Meta = banyan.Metadata{Correlation: "c" + e.ID, Actor: "me", Extra: map[string]string{"k": "v"}}
	case 3, 4, 5, 6:
		e.Time = someTimes[kind-3]
	}
	return e
}

// randomWrites makes an append to so many streams.
func (m *Machine) randomWrites(streams int) []store.Write {
	left := slices.Clone(machineStreams)
	var writes []store.Write
	for range streams {
		i := m.choose("stream", len(left))
		w := store.Write{Stream: left[i], Expect: m.randomExpect(left[i])}
		left = slices.Delete(left, i, i+1)
		for range 1 + m.choose("events", 3) {
			w.Events = append(w.Events, m.randomEvent())
		}
		if m.choose("close it", 16) == 15 {
			m.ids++
			w.Events = append(w.Events, banyan.Event{ID: fmt.Sprintf("e%d", m.ids), Type: banyan.Tombstone, Data: []byte("{}")})
		}
		writes = append(writes, w)
	}
	return writes
}

// append sends writes and compares the answer.
func (m *Machine) append(writes []store.Write) {
	m.k.Helper()
	m.k.Logf("append %s", describeWrites(writes))
	m.writes = append(m.writes, writes)
	p := m.k.b.Promises()
	want, wantErr := m.model.append(writes, p.PositionOnAppend && p.GapFree, m.clock.Add(time.Second))
	got, err := m.k.st.AppendAll(m.k.ctx, writes...)
	if banyan.Kind(err) != banyan.Kind(wantErr) || (err == nil) != (wantErr == nil) {
		m.k.Fatalf("append %s: error %v; want %v", describeWrites(writes), err, wantErr)
	}
	var conflict, wantConflict *store.ConflictError
	if errors.As(err, &conflict) && errors.As(wantErr, &wantConflict) && *conflict != *wantConflict {
		m.k.Fatalf("append %s: conflict %+v; want %+v", describeWrites(writes), *conflict, *wantConflict)
	}
	if got.Duplicate != want.Duplicate {
		m.k.Fatalf("append %s: duplicate %v; want %v", describeWrites(writes), got.Duplicate, want.Duplicate)
	}
	m.sameEvents("append "+describeWrites(writes), got.Events, want.Events)
	for _, w := range writes {
		events := m.model.streams[w.Stream]
		m.sameEvents("the end of stream "+w.Stream, m.read(w.Stream, store.ReadOptions{Backward: true, Limit: 1}), events[max(0, len(events)-1):])
	}
}

func describeWrites(writes []store.Write) string {
	out := ""
	for _, w := range writes {
		out += fmt.Sprintf("[%s expects %v:", w.Stream, w.Expect)
		for _, e := range w.Events {
			out += fmt.Sprintf(" %s(%s)", e.ID, e.Type)
		}
		out += "]"
	}
	return out
}

// again sends an earlier append again, as it was or with a change.
func (m *Machine) again() {
	if len(m.writes) == 0 {
		m.append(m.randomWrites(1))
		return
	}
	writes := slices.Clone(m.writes[m.choose("which", len(m.writes))])
	w := &writes[m.choose("stream of it", len(writes))]
	w.Events = slices.Clone(w.Events)
	e := &w.Events[m.choose("event of it", len(w.Events))]
	switch m.choose("change", 8) {
	case 0:
		m.ids++
		e.ID = fmt.Sprintf("e%d", m.ids)
	case 1:
		e.Data = []byte(`"changed"`)
		e.ContentType = ""
	case 2:
		w.Expect = m.randomExpect(w.Stream)
	case 3:
		w.Events = w.Events[:1]
	case 4:
		w.Events = append([]banyan.Event{m.randomEvent()}, w.Events...)
	}
	m.append(writes)
}

// refusedAtOnce sends what no store may take.
func (m *Machine) refusedAtOnce() {
	stream := m.randomStream()
	one := banyan.Event{ID: "never", Type: "x", Data: []byte("1")}
	end := banyan.Event{ID: "never", Type: banyan.Tombstone, Data: []byte("1")}
	var events []banyan.Event
	switch m.choose("what", 5) {
	case 1:
		events = []banyan.Event{one, one}
	case 2:
		events = []banyan.Event{end, {ID: "neither", Type: "x", Data: []byte("1")}}
	case 3:
		events = []banyan.Event{{ID: "never", Type: "x", Data: []byte("{")}}
	case 4:
		events = []banyan.Event{{ID: "never", Type: "banyan.own", Data: []byte("1")}}
	}
	if _, err := m.k.st.Append(m.k.ctx, stream, store.Any, events...); !errors.Is(err, banyan.ErrInvalid) {
		m.k.Fatalf("append %+v: error %v; want kind %q", events, err, banyan.ErrInvalid)
	}
}

func (m *Machine) reopen() {
	m.k.Logf("reopen")
	m.open(m.k.h.Reopen(m.k.TB, m.k.b))
}

func (m *Machine) verify() {
	m.k.Helper()
	report, err := m.k.st.Verify(m.k.ctx, nil)
	if err != nil || !report.OK() || report.Events != int64(len(m.model.place)) {
		m.k.Fatalf("verify: %+v, %v; want %d events and no fault", report, err, len(m.model.place))
	}
}
