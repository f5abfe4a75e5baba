package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Comparison says what Differential compares.
type Comparison struct {
	// Open opens the back end under test as Harness.Open does, Reference the one
	// that is known to be right: package mem.
	Open, Reference func(t testing.TB) store.Backend
	// Sequences is how many stores are filled, Steps how many calls each gets.
	// Defaults: 20 and 60.
	Sequences, Steps int
	// Seed of the first sequence; the next have Seed+1, Seed+2 …
	Seed uint64
}

// Differential sends random sequences of calls to a back end and to a reference
// and compares every answer: outcomes, kinds of error, records, pages, heads,
// snapshots. Positions are compared where both are gap free; the order of the
// log exactly where PositionOnAppend is promised, and by stream elsewhere. Every
// sequence is a subtest named by its seed, so that it can be run again alone.
func Differential(t *testing.T, c Comparison) {
	t.Helper()
	if c.Sequences == 0 {
		c.Sequences = 20
	}
	if c.Steps == 0 {
		c.Steps = 60
	}
	for i := range c.Sequences {
		seed := c.Seed + uint64(i)
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { compare(t, c, seed) })
	}
}

// pair is a back end under test and its reference, which get the same calls.
type pair struct {
	*kit
	ref     *kit
	rng     *rand.Rand
	commits []store.Commit // sent so far
	trace   []string
}

func compare(t testing.TB, c Comparison, seed uint64) {
	p := &pair{kit: newKit(t, Harness{Open: c.Open}), ref: newKit(t, Harness{Open: c.Reference}), rng: rand.New(rand.NewPCG(seed, 0))}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d; the last calls were:", seed)
			for _, line := range p.trace[max(0, len(p.trace)-12):] {
				t.Log("  " + line)
			}
		}
	}()
	for range c.Steps {
		switch n := p.rng.IntN(20); {
		case n < 10:
			p.stepAppend()
		case n < 13:
			p.stepStream()
		case n < 16:
			p.stepLog()
		case n < 18:
			p.stepLookup()
		default:
			p.stepSnapshot()
		}
	}
	p.stepLog()
	for _, s := range p.streams() {
		p.same("stream "+s, p.stream(s), p.places(p.ref.stream(s)))
	}
}

func (p *pair) note(format string, args ...any) {
	p.trace = append(p.trace, fmt.Sprintf(format, args...))
}

func (p *pair) streams() []string { return []string{"a-1", "a-2", "b-1", "b-10", "c"} }

// places removes the positions of the reference where the back end may have
// others.
func (p *pair) places(records []store.Record) []store.Record {
	if p.b.Promises().GapFree && p.b.Promises().PositionOnAppend {
		return records
	}
	out := slices.Clone(records)
	for i := range out {
		out[i].Position = 0
	}
	return out
}

func (p *pair) stepAppend() {
	var group []store.Commit
	used := map[string]bool{}
	for range 1 + p.rng.IntN(4)*p.rng.IntN(2) {
		c := p.randomCommit()
		ids := store.IDs([]store.Commit{c})
		if slices.ContainsFunc(ids, func(id string) bool { return used[id] }) {
			continue // Store never sends such a group
		}
		for _, id := range ids {
			used[id] = true
		}
		group = append(group, c)
	}
	if len(group) == 0 {
		return
	}
	for _, c := range group {
		p.note("append %s", describe(c))
	}
	got, want := p.append(group...), p.ref.append(group...)
	for i := range got {
		p.compareOutcome(got[i], want[i], describe(group[i]))
	}
	p.commits = append(p.commits, group...)
}

func describe(c store.Commit) string {
	out := ""
	for _, s := range c.Sections {
		out += fmt.Sprintf("[%s expects %v:", s.Stream, s.Expect)
		for _, r := range s.Records {
			out += fmt.Sprintf(" %s(%s)", r.ID[max(0, len(r.ID)-6):], r.Type)
		}
		out += "]"
	}
	return out
}

func (p *pair) compareOutcome(got, want store.Outcome, what string) {
	p.Helper()
	if banyan.Kind(got.Err) != banyan.Kind(want.Err) || got.Duplicate != want.Duplicate {
		p.Fatalf("append %s: error %v, duplicate %v; the reference has %v, %v", what, got.Err, got.Duplicate, want.Err, want.Duplicate)
	}
	var a, b *store.ConflictError
	if errors.As(got.Err, &a) && errors.As(want.Err, &b) && *a != *b {
		p.Fatalf("append %s: conflict %+v; the reference has %+v", what, *a, *b)
	}
	p.same("append "+what, got.Records, p.places(want.Records))
}

// randomCommit is a new append, a repetition, or a mixture of both.
func (p *pair) randomCommit() store.Commit {
	if len(p.commits) > 0 && p.rng.IntN(5) == 0 {
		return p.oldCommit()
	}
	var writes []store.Write
	streams := p.streams()
	p.rng.Shuffle(len(streams), func(i, j int) { streams[i], streams[j] = streams[j], streams[i] })
	for _, s := range streams[:1+p.rng.IntN(3)*p.rng.IntN(2)] {
		evs := events(1+p.rng.IntN(3), []string{"x", "y", "order.placed"}[p.rng.IntN(3)])
		if p.rng.IntN(25) == 0 {
			evs = append(evs, event(banyan.Tombstone, "{}"))
		}
		writes = append(writes, write(s, p.randomExpect(s), evs...))
	}
	return p.commit(writes...)
}

func (p *pair) randomExpect(stream string) store.Expect {
	head := len(p.ref.stream(stream))
	switch p.rng.IntN(8) {
	case 0:
		return store.NoStream
	case 1:
		return store.Exists
	case 2:
		return store.Exact(banyan.Revision(max(0, head-1)))
	case 3:
		return store.Exact(banyan.Revision(head + 1))
	case 4, 5:
		return store.Exact(banyan.Revision(head))
	default:
		return store.Any
	}
}

// oldCommit repeats an earlier commit, whole or changed.
func (p *pair) oldCommit() store.Commit {
	old := p.commits[p.rng.IntN(len(p.commits))]
	c := store.Commit{Sections: slices.Clone(old.Sections)}
	s := &c.Sections[p.rng.IntN(len(c.Sections))]
	s.Records = slices.Clone(s.Records)
	r := &s.Records[p.rng.IntN(len(s.Records))]
	switch p.rng.IntN(6) {
	case 0:
		r.ID = banyan.NewID()
	case 1:
		r.Data = []byte(`"changed"`)
	case 2:
		s.Expect = p.randomExpect(s.Stream)
	}
	return c
}

func (p *pair) stepStream() {
	s := p.streams()[p.rng.IntN(5)]
	r := store.Range{From: banyan.Revision(p.rng.IntN(12)), Limit: 1 + p.rng.IntN(8), Backward: p.rng.IntN(2) == 0}
	p.note("read %s %+v", s, r)
	p.same(fmt.Sprintf("read %s %+v", s, r), p.slice(s, r), p.places(p.ref.slice(s, r)))
}

func (p *pair) stepLog() {
	want := p.ref.pages(store.Filter{}, 1000)
	got := p.log(len(want))
	p.compareLog(got, want)
	f := []store.Filter{{}, {Types: []string{"x"}}, {Prefixes: []string{"a-", "c"}}, {Types: []string{"y", "order.placed"}, Prefixes: []string{"b-1"}}}[p.rng.IntN(4)]
	limit := 1 + p.rng.IntN(20)
	p.note("read the log, %+v, pages of %d", f, limit)
	p.same(fmt.Sprintf("log %+v in pages of %d", f, limit), p.pages(f, limit), filter(got, f))
	if len(got) > 0 {
		i := p.rng.IntN(len(got))
		page, _ := p.page(got[i].Position, store.Filter{}, limit)
		p.same(fmt.Sprintf("log after %d", got[i].Position), page, got[i+1:min(i+1+limit, len(got))])
		if head := p.head(); head != got[len(got)-1].Position {
			p.Fatalf("head is %d; the log ends at %d", head, got[len(got)-1].Position)
		}
	}
}

func (p *pair) compareLog(got, want []store.Record) {
	p.Helper()
	if p.b.Promises().PositionOnAppend {
		p.same("log", got, p.places(want))
		return
	}
	for _, s := range p.streams() {
		f := store.Filter{Prefixes: []string{s}}
		only := func(records []store.Record) []store.Record {
			return slices.DeleteFunc(filter(records, f), func(r store.Record) bool { return r.Stream != s })
		}
		p.same("log of stream "+s, only(got), p.places(only(want)))
	}
}

func (p *pair) stepLookup() {
	ids := []string{banyan.NewID()}
	for range 3 {
		if len(p.commits) > 0 {
			ids = append(ids, store.IDs(p.commits[p.rng.IntN(len(p.commits)):][:1])...)
		}
	}
	p.note("look up %d ids", len(ids))
	got, want := p.lookup(ids...), p.ref.lookup(ids...)
	for _, id := range ids {
		if _, found := got[id]; found != (want[id].ID != "") {
			p.Fatalf("Lookup %s: found %v; the reference says otherwise", id, found)
		}
		p.same("Lookup "+id, []store.Record{got[id]}, p.places([]store.Record{want[id]}))
	}
}

func (p *pair) stepSnapshot() {
	b, ok := p.b.(store.Snapshotter)
	ref, refOK := p.ref.b.(store.Snapshotter)
	if !ok || !refOK || !p.b.Promises().Snapshots {
		return
	}
	s := snapshot(p.streams()[p.rng.IntN(5)], banyan.Revision(1+p.rng.IntN(9)), 1+p.rng.IntN(2), fmt.Sprint(p.rng.Int()))
	p.note("snapshot of %s@%d, schema %d", s.Stream, s.Revision, s.Schema)
	p.putSnapshot(b, s)
	p.putSnapshot(ref, s)
	got, err := b.GetSnapshot(p.ctx, s.Stream)
	want, refErr := ref.GetSnapshot(p.ctx, s.Stream)
	if err != nil || refErr != nil || got.Revision != want.Revision || got.Schema != want.Schema || got.Checksum != want.Checksum || !bytes.Equal(got.Data, want.Data) {
		p.Fatalf("snapshot of %s is %+v, %v; the reference has %+v, %v", s.Stream, got, err, want, refErr)
	}
}
