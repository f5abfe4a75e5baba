package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/machine"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// R8: whatever happens in whatever order, the rows of each generation are the
// fold of the log up to its checkpoint without what is parked, and no effect is
// lost.
func TestMachine(t *testing.T) {
	t.Parallel()
	sizes := machine.Sizes{Checks: 60, Steps: 50, LongChecks: 20_000, LongSteps: 100}
	machine.Run(t, "R8", sizes, func(t testing.TB, r *rapid.T) {
		rapid.SyncTest(r, func(r *rapid.T) {
			m := newProjectionMachine(t, machine.Choose(r))
			machine.Repeat(r, m.actions())
			m.heal()
		})
	})
}

// projectionMachine is a projection beside a model of it.
type projectionMachine struct {
	*fixture
	choose func(what string, n int) int
	s      *sales
	def    *projection.Definition
	r      *projection.Runner // the process that lives through it all

	log     []logged
	bad     map[string]bool // reasons that make an event fail now
	gens    map[int]*generationModel
	status  projection.Status // as last seen
	spotted bool              // something failed or crashed: effects may run twice
}

// logged is an event as the model reads it.
type logged struct {
	id, stream string
	payload    any
}

// generationModel is what one generation must be.
type generationModel struct {
	position int
	handled  int64
	totals   map[string]total
	orders   map[string]order
	parked   map[string][]int // by key: places in the log, in order
}

func newProjectionMachine(t testing.TB, choose func(what string, n int) int) *projectionMachine {
	m := &projectionMachine{fixture: setup(t), choose: choose, s: newSales(), bad: map[string]bool{}, gens: map[int]*generationModel{}}
	m.def = m.s.define(projection.Options{BatchSize: 4})
	m.r = m.process(nil)
	return m
}

// process returns a runner over a database with faults, or the right one.
func (m *projectionMachine) process(b *faulty) *projection.Runner {
	m.Helper()
	db := m.views
	if b != nil {
		b.Backend = m.db.ViewBackend()
		db = view.New(b)
	}
	// Short pauses, so that a run gets done what there is to do.
	o := &projection.RunnerOptions{Lease: time.Second, Attempts: 3, Backoff: 5 * time.Millisecond, MaxBackoff: 200 * time.Millisecond}
	r, err := projection.NewRunner(m.store, db, m.def, o)
	if err != nil {
		m.Fatal(err)
	}
	return r
}

func (m *projectionMachine) actions() map[string]func() {
	return map[string]func(){
		"append":      m.appendSome,
		"append more": m.appendSome,
		"run":         func() { m.run(m.r) },
		"run and die": m.die,
		"run through faults": func() {
			m.spotted = true
			m.run(m.process(m.faults(0)))
		},
		"make bad or good": m.toggle,
		"retry":            m.retry,
		"rebuild":          m.rebuild,
		"switch":           m.switchTo,
		"drop":             m.drop,
		"":                 m.check,
	}
}

func (m *projectionMachine) appendSome() {
	stream := stream(m.choose("stream", 5))
	for range 1 + m.choose("events", 6) {
		var p any = placed{Country: fmt.Sprintf("C%d", m.choose("country", 3)), Amount: int64(m.choose("amount", 100))}
		if n := m.choose("kind", 8); n < 4 {
			p = cancelled{Reason: []string{"good", "good", "bad", "worse"}[n]}
		}
		result := m.append(stream, p)
		m.log = append(m.log, logged{result.Events[0].ID, stream, p})
	}
}

func (m *projectionMachine) toggle() {
	reason := []string{"bad", "worse"}[m.choose("reason", 2)]
	if m.bad[reason] = !m.bad[reason]; m.bad[reason] {
		m.spotted = true // a failed event has the effects of its batch run again
		m.s.poison.Store(reason, true)
	} else {
		m.s.poison.Delete(reason)
	}
}

// run runs a process until there is nothing left to do.
func (m *projectionMachine) run(r *projection.Runner) {
	ctx, cancel := context.WithTimeout(m.Context(), 2*time.Second)
	defer cancel()
	if err := r.Run(ctx); err != nil {
		m.Fatalf("run: %v", err)
	}
}

// faults returns a database that fails now and then, and dies at call left.
func (m *projectionMachine) faults(left int) *faulty {
	return &faulty{rng: rand.New(rand.NewPCG(uint64(m.choose("faults", 1000)), 8)), left: left, flaky: 20}
}

// die runs a process that crashes.
func (m *projectionMachine) die() {
	m.spotted = true
	b := m.faults(1 + m.choose("calls until it dies", 150))
	if m.choose("other faults", 2) == 0 {
		b.flaky = 0
	}
	ctx, cancel := context.WithTimeout(m.Context(), 2*time.Second)
	defer cancel()
	_ = m.process(b).Run(ctx) // nobody is left to hear of it
}

// person returns who gives an order: the process that lives, or one that dies
// over it, whose answer is not to be trusted.
func (m *projectionMachine) person() (r *projection.Runner, dies bool) {
	if m.choose("dies over it", 4) > 0 {
		return m.r, false
	}
	m.spotted = true
	b := m.faults(1 + m.choose("calls until it dies", 40))
	b.flaky = 0
	return m.process(b), true
}

func (m *projectionMachine) rebuild() {
	r, dies := m.person()
	_, err := r.Rebuild(m.Context(), &projection.RebuildOptions{Hold: m.choose("hold", 3) == 0})
	building := slices.ContainsFunc(m.status.Generations, func(g projection.Generation) bool { return g.Role == "building" })
	switch {
	case dies:
	case len(m.status.Generations) == 0:
		m.refused("rebuild before the first run", err, banyan.ErrNotFound)
	case building:
		m.refused("rebuild beside another", err, banyan.ErrExists)
	case err != nil:
		m.Fatalf("rebuild: %v", err)
	}
}

func (m *projectionMachine) switchTo() {
	r, dies := m.person()
	number := m.anyGeneration()
	err := r.Switch(m.Context(), number, nil)
	switch {
	case dies:
	case m.gens[number] == nil:
		m.refused("switch to what is not kept", err, banyan.ErrNotFound)
	case errors.Is(err, banyan.ErrConflict) && len(m.gens[m.status.Active().Number].parked) > 0: // it would lose effects
	case err != nil:
		m.Fatalf("switch to %d: %v", number, err)
	default:
		m.observe("")
		if got := m.status.Active().Number; got != number {
			m.Fatalf("after the switch generation %d is live, want %d", got, number)
		}
	}
}

func (m *projectionMachine) drop() {
	r, dies := m.person()
	number := m.anyGeneration()
	err := r.Drop(m.Context(), number)
	switch {
	case dies:
	case m.gens[number] == nil:
		m.refused("drop of what is not kept", err, banyan.ErrNotFound)
	case number == m.status.Active().Number:
		m.refused("drop of the live generation", err, banyan.ErrInvalid)
	case err != nil:
		m.Fatalf("drop %d: %v", number, err)
	}
}

// anyGeneration is one that is kept, mostly.
func (m *projectionMachine) anyGeneration() int {
	if n := m.choose("generation", len(m.status.Generations)+1); n < len(m.status.Generations) {
		return m.status.Generations[n].Number
	}
	return 9000
}

func (m *projectionMachine) refused(what string, err, kind error) {
	m.Helper()
	if !errors.Is(err, kind) {
		m.Fatalf("%s: error %v, want one of kind %q", what, err, kind)
	}
}

func (m *projectionMachine) retry() {
	r, dies := m.person()
	key := stream(m.choose("stream", 5))
	err := r.Retry(m.Context(), key)
	waiting, fails := 0, false
	for _, g := range m.gens {
		for _, i := range g.parked[key] {
			waiting++
			fails = fails || m.fails(m.log[i])
		}
	}
	switch {
	case dies:
	case waiting == 0:
		m.refused("retry of a key that is not parked", err, banyan.ErrNotFound)
	case fails != (err != nil):
		m.Fatalf("retry of %s, %d events wait, some still fail: %v; error %v", key, waiting, fails, err)
	}
	m.observe(key)
}

func (m *projectionMachine) fails(e logged) bool {
	c, ok := e.payload.(cancelled)
	return ok && m.bad[c.Reason]
}

// observe learns how far the generations are, and takes the model there. retried
// is the key that was retried since it last looked: as many of its events as are
// no longer parked were applied, from the first on.
func (m *projectionMachine) observe(retried string) {
	m.Helper()
	m.status = m.fixture.status(m.process(nil))
	seen := map[int]bool{}
	for _, g := range m.status.Generations {
		seen[g.Number] = true
		model := m.gens[g.Number]
		if model == nil {
			model = &generationModel{totals: map[string]total{}, orders: map[string]order{}, parked: map[string][]int{}}
			m.gens[g.Number] = model
		}
		if int(g.Position) < model.position || g.Position > m.status.Head {
			m.Fatalf("generation %d is at position %d after %d; the log ends at %d", g.Number, g.Position, model.position, m.status.Head)
		}
		if retried != "" {
			m.unpark(model, retried, model.waiting()-g.ParkedEvents)
		}
		for ; model.position < int(g.Position); model.position++ {
			m.advance(model, model.position)
		}
	}
	for number := range m.gens {
		if !seen[number] {
			delete(m.gens, number)
		}
	}
}

func (g *generationModel) waiting() (n int) {
	for _, events := range g.parked {
		n += len(events)
	}
	return n
}

func (m *projectionMachine) advance(g *generationModel, i int) {
	e := m.log[i]
	if g.parked[e.stream] != nil || m.fails(e) {
		g.parked[e.stream] = append(g.parked[e.stream], i)
		return
	}
	g.apply(e)
}

func (m *projectionMachine) unpark(g *generationModel, key string, n int) {
	m.Helper()
	if n < 0 || n > len(g.parked[key]) {
		m.Fatalf("%d events of %s were applied by a retry; %d waited", n, key, len(g.parked[key]))
	}
	for _, i := range g.parked[key][:n] {
		if m.fails(m.log[i]) {
			m.Fatalf("a retry applied event %d, which fails", i+1)
		}
		g.apply(m.log[i])
	}
	if g.parked[key] = g.parked[key][n:]; len(g.parked[key]) == 0 {
		delete(g.parked, key)
	}
}

func (g *generationModel) apply(e logged) {
	g.handled++
	o := g.orders[e.stream]
	o.Events = append(slices.Clone(o.Events), e.id)
	switch p := e.payload.(type) {
	case placed:
		t := g.totals[p.Country]
		t.Orders++
		t.Amount += p.Amount
		g.totals[p.Country], o.Country = t, p.Country
	case cancelled:
		t := g.totals["cancelled"]
		t.Cancelled++
		g.totals["cancelled"] = t
	}
	g.orders[e.stream] = o
}

func (g *generationModel) rows() map[string]string {
	all := map[string]string{}
	for key, v := range g.totals {
		doc, _ := json.Marshal(v)
		all["totals/"+key] = string(doc)
	}
	for key, v := range g.orders {
		doc, _ := json.Marshal(v)
		all["orders/"+key] = string(doc)
	}
	return all
}

// check is what must hold after each action.
func (m *projectionMachine) check() {
	m.Helper()
	m.observe("")
	for _, g := range m.status.Generations {
		model := m.gens[g.Number]
		if g.ParkedEvents != model.waiting() || g.ParkedKeys != len(model.parked) || g.Handled != model.handled {
			m.Fatalf("generation %d: %d events of %d keys are parked, %d handled; want %d, %d and %d", g.Number, g.ParkedEvents, g.ParkedKeys, g.Handled, model.waiting(), len(model.parked), model.handled)
		}
		want := model.rows()
		if got := m.tables(fmt.Sprintf("_g%d", g.Number)); !cmp.Equal(want, got) {
			m.Fatalf("the rows of generation %d at position %d are not the fold (-want +got):\n%s", g.Number, g.Position, cmp.Diff(want, got))
		}
		if g.Role != "active" {
			continue
		}
		if got := m.tables(""); !cmp.Equal(want, got) {
			m.Fatalf("readers do not see generation %d, which is live (-want +got):\n%s", g.Number, cmp.Diff(want, got))
		}
	}
}

func (m *projectionMachine) tables(suffix string) map[string]string {
	m.Helper()
	all := map[string]string{}
	for _, name := range []string{"totals", "orders"} {
		rows, err := m.db.ViewBackend().Scan(m.Context(), name+suffix, view.Query{Limit: 1000})
		if err != nil {
			m.Fatal(err)
		}
		for _, r := range rows {
			all[name+"/"+r.Key] = string(r.Doc)
		}
	}
	return all
}

// heal makes everything good: then everything must end well.
func (m *projectionMachine) heal() {
	m.Helper()
	m.s.poison.Clear()
	clear(m.bad)
	m.run(m.r)
	m.check()
	for n := range 5 {
		if err := m.r.Retry(m.Context(), stream(n)); err != nil && !errors.Is(err, banyan.ErrNotFound) {
			m.Fatalf("retry of %s when nothing fails: %v", stream(n), err)
		}
		m.observe(stream(n))
		m.check()
	}
	m.run(m.r)
	m.check()
	for _, g := range m.status.Generations {
		if g.Lag != 0 || g.ParkedEvents != 0 {
			m.Fatalf("in the end generation %d is %d behind, with %d events parked; want none", g.Number, g.Lag, g.ParkedEvents)
		}
	}
	for e, err := range m.store.All(m.Context(), 0, store.Filter{}) {
		n := m.s.effects.count(e.ID)
		if err != nil || n == 0 || (n > 1 && !m.spotted) {
			m.Fatalf("the effect of event %d ran %d times, want once; error %v", e.Position, n, err)
		}
	}
}
