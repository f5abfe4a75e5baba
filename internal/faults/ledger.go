package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// ledger is what writers said: what was promised, and what is open. It outlives
// the writers of a run.
type ledger struct {
	pad int // size of the events

	mu     sync.Mutex
	acked  map[string]ack      // guarded by mu; by event id
	open   map[string]*attempt // guarded by mu; tried, not acknowledged
	marks  map[string]string   // guarded by mu; what the data of an event says, when not its own id
	answer map[string]string   // guarded by mu; what a writer said it can read of a stream
	tries  int                 // guarded by mu
	dark   bool                // guarded by mu; the power is being cut: see note
	life   life                // guarded by mu; of the writer that runs now
}

type ack struct {
	stream   string
	revision int64
}

// attempt is an append that nobody acknowledged.
type attempt struct {
	stream  string
	text    string // of the first failure
	flying  bool   // it was sent, and no answer came
	unknown bool   // an answer was that the outcome is unknown
	late    bool   // it was sent, or failed, after the first failure of this writer
}

// refused: every answer was that nothing was written.
func (a *attempt) refused() bool { return !a.flying && !a.unknown }

// life is what a ledger counts for one writer process.
type life struct {
	acks, fails, unknowns int
	late                  []string // acknowledgements of what was sent after the first failure
}

func newLedger(pad int) *ledger {
	return &ledger{pad: pad, acked: map[string]ack{}, open: map[string]*attempt{}, marks: map[string]string{}, answer: map[string]string{}}
}

// note takes a line of a writer.
//
// An acknowledgement that arrives after the power began to go does not count:
// with real power nobody would have heard it. It matters, because the machine
// here goes on: without this rule 2 of 320 cuts showed a last transaction that
// was acknowledged and lost, and with it none of 1,000. The likely reason, not
// proven, is an fsync that is under way when the file system shuts down and
// returns success although its journal commit was dropped.
func (l *ledger) note(line string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := strings.SplitN(line, " ", 4)
	switch {
	case len(f) == 3 && f[0] == "try":
		l.try(f[1], f[2])
	case len(f) == 4 && f[0] == "ack" && l.dark:
	case len(f) == 4 && f[0] == "ack":
		return l.acknowledge(f[1], f[2], f[3])
	case len(f) == 4 && f[0] == "fail" && l.open[f[1]] != nil:
		l.fail(l.open[f[1]], f[2] == "unknown", f[3])
	case len(f) >= 3 && (f[0] == "have" || f[0] == "unread"):
		l.answer[f[1]] = strings.TrimPrefix(line, f[0]+" "+f[1]+" ")
	default:
		return fmt.Errorf("the victim said %q", line)
	}
	return nil
}

func (l *ledger) try(id, stream string) { // mu held
	l.tries++
	a := l.open[id]
	if a == nil {
		a = &attempt{stream: stream}
		l.open[id] = a
	}
	a.flying = true
	a.late = a.late || l.life.fails > 0
}

func (l *ledger) fail(a *attempt, unknown bool, text string) { // mu held
	l.life.fails++
	if unknown {
		l.life.unknowns++
	}
	a.flying, a.late = false, true
	if a.text == "" {
		a.text = text
	}
	a.unknown = a.unknown || unknown
}

func (l *ledger) acknowledge(id, stream, revision string) error { // mu held
	a := ack{stream: stream}
	if _, err := fmt.Sscan(revision, &a.revision); err != nil {
		return fmt.Errorf("the victim said ack %s %s %s: %w", id, stream, revision, err)
	}
	if o := l.open[id]; o != nil && o.late {
		l.life.late = append(l.life.late, id)
	}
	l.life.acks++
	delete(l.open, id)
	l.acked[id] = a
	return nil
}

// begin starts the counts of a new writer.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.life = life{}
	clear(l.answer)
	for _, a := range l.open {
		a.late = false
	}
}

func (l *ledger) now() life {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.life
}

func (l *ledger) setDark(dark bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dark = dark
}

// counts returns how many appends were acknowledged, and how many are open.
func (l *ledger) counts() (acked, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked), len(l.open)
}

// handover returns the lines that give a new writer the open appends. With a
// rename, which is a planted bug, they go out under new ids.
func (l *ledger) handover(rename func(id string) string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	again := map[string]*attempt{}
	for id, a := range l.open {
		if rename == nil {
			a.flying = true
			fmt.Fprintf(&b, "%s %s\n", id, a.stream)
			continue
		}
		as := rename(id)
		again[as] = &attempt{stream: a.stream, flying: true}
		l.marks[as] = id
		fmt.Fprintf(&b, "%s %s %s\n", as, a.stream, id)
	}
	for id, a := range again {
		l.open[id] = a
	}
	return b.String() + "\n"
}

// ids returns the open appends.
func (l *ledger) ids() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.open {
		ids = append(ids, id)
	}
	return ids
}

// sample returns some streams, with the highest revision acknowledged in each.
func (l *ledger) sample(n int) map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	heads := map[string]int64{}
	for _, a := range l.acked {
		if _, ok := heads[a.stream]; ok || len(heads) < n {
			heads[a.stream] = max(heads[a.stream], a.revision)
		}
	}
	return heads
}

// wait returns true as soon as a condition of the ledger holds, false when it
// does not in time.
func (l *ledger) wait(ctx context.Context, most time.Duration, holds func(*ledger) bool) bool {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		ok := holds(l) // with mu held
		l.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// stored is a row as the bare driver reads it, in the order of the log.
type stored struct {
	id, stream string
	revision   int64
	data       []byte
}

// compare returns what is wrong with what is stored. rows calls its argument for
// each row.
func (l *ledger) compare(rows func(func(stored)) error) (faults []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &comparison{ledger: l, seen: make(map[string]bool, len(l.acked)), marks: map[string]string{}, heads: map[string]int64{}}
	err = rows(c.row)
	for id, a := range l.acked {
		if !c.seen[id] {
			c.fault("event %s was acknowledged as %s@%d and is lost", id, a.stream, a.revision)
		}
	}
	return c.faults, err
}

type comparison struct {
	*ledger // mu held
	faults  []string
	seen    map[string]bool
	marks   map[string]string // what data said, to the id of the event
	heads   map[string]int64
}

func (c *comparison) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

func (c *comparison) row(r stored) {
	if c.seen[r.id] {
		c.fault("event %s is stored twice", r.id)
	}
	c.seen[r.id] = true
	if r.revision != c.heads[r.stream]+1 {
		c.fault("event %s: stream %s has revision %d after %d", r.id, r.stream, r.revision, c.heads[r.stream])
	}
	c.heads[r.stream] = r.revision
	c.mark(r)
	a, acked := c.acked[r.id]
	switch o := c.open[r.id]; {
	case acked && (a.stream != r.stream || a.revision != r.revision):
		c.fault("event %s was acknowledged as %s@%d and is %s@%d", r.id, a.stream, a.revision, r.stream, r.revision)
	case !acked && o == nil:
		c.fault("event %s is stored and nobody tried to", r.id)
	case !acked && o.refused():
		c.fault("event %s is stored, and every answer was that nothing was written: %s", r.id, o.text)
	}
}

// mark looks at the data. Two events with the same are one append done twice.
func (c *comparison) mark(r stored) {
	mark, renamed := c.ledger.marks[r.id]
	if !renamed {
		mark = r.id
	}
	if want := `{"id":"` + mark + `","pad":"` + strings.Repeat("x", c.pad) + `"}`; string(r.data) != want {
		c.fault("event %s: its data is altered", r.id)
	}
	if len(c.ledger.marks) == 0 {
		return // each mark is an id
	}
	if other, ok := c.marks[mark]; ok {
		c.fault("one append is stored twice, as %s and as %s", other, r.id)
	}
	c.marks[mark] = r.id
}
