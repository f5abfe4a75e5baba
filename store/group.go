package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
)

// group is group commit: appends that wait at the same time share one call of
// the back end. While a call is under way the next appends queue up, so groups
// grow with the load by themselves and a lone append waits for nobody.
//
// A worker goroutine exists only while there is work: do starts one when fewer
// than writers run, it takes groups until the queue is empty, and ends.
type group struct {
	commit  func(context.Context, []Commit) ([]Outcome, error)
	writers int
	limit   int // events in one group

	mu      sync.Mutex
	queue   []*pending     // guarded by mu; in order of arrival
	workers int            // guarded by mu
	full    chan struct{}  // guarded by mu; nil, or closed when want appends wait
	want    int            // guarded by mu
	running sync.WaitGroup // workers, and appends that wait alone
}

// pending is one append on its way.
type pending struct {
	commit  Commit
	ctx     context.Context // of the caller who waits; see shared
	done    chan struct{}   // closed when outcome and err are set
	outcome Outcome
	err     error
}

func newGroup(commit func(context.Context, []Commit) ([]Outcome, error), writers, limit int) *group {
	return &group{commit: commit, writers: writers, limit: limit}
}

// do commits c together with others and returns its own outcome.
func (g *group) do(ctx context.Context, c Commit) (Outcome, error) {
	if err := ctx.Err(); err != nil {
		return Outcome{}, err
	}
	p := &pending{commit: c, ctx: ctx, done: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, p)
	g.arrived()
	if g.workers < g.writers {
		g.start()
	}
	g.mu.Unlock()
	select {
	case <-p.done:
		return p.outcome, p.err
	case <-ctx.Done():
	}
	if g.withdraw(p) {
		return Outcome{}, fmt.Errorf("nothing was written: %w", ctx.Err())
	}
	select {
	case <-p.done: // it ended at the same moment
		return p.outcome, p.err
	default:
		return Outcome{}, fmt.Errorf("%w: the call ended while the append was under way; send the same events with the same ids again: %w", banyan.ErrUnknown, ctx.Err())
	}
}

// withdraw takes p out of the queue and reports whether it still was there.
func (g *group) withdraw(p *pending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, p)
	if i < 0 {
		return false
	}
	g.queue = slices.Delete(g.queue, i, i+1)
	return true
}

// wait returns when no worker runs. No do may be called from then on.
func (g *group) wait() { g.running.Wait() }

func (g *group) work() {
	defer g.running.Done()
	var gather gatherer
	for batch := g.take(); batch != nil; batch = g.take() {
		replaced := g.replaceWhenSlow(batch)
		waiting := g.run(batch)
		if replaced() {
			return
		}
		gather.wait(g, len(batch)+waiting, len(batch))
	}
}

// slow is how long a lone append may keep its worker.
const slow = 100 * time.Millisecond

// replaceWhenSlow gives the worker's place away when a lone append takes long: it
// may wait for somebody's open transaction, and the others must not wait for it.
// (A larger group never does: Outcome.Busy.) The function that it returns says
// whether that happened.
func (g *group) replaceWhenSlow(batch []*pending) func() bool {
	if len(batch) > 1 {
		return func() bool { return false }
	}
	timer := time.AfterFunc(slow, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.workers--
		if len(g.queue) > 0 {
			g.start()
		}
	})
	return func() bool { return !timer.Stop() }
}

// start starts a worker; mu is held.
func (g *group) start() {
	g.workers++
	g.running.Add(1)
	go g.work()
}

func (g *group) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// gatherer decides how long a worker waits for company before its next group.
//
// Callers in a loop come back a few microseconds after their answer. A worker
// that takes what waits at once therefore finds only those who came during the
// commit, and groups settle at half of what they could be: with 16 callers on
// PostgreSQL 8 events a commit instead of 16, 16,100/s instead of 28,000/s. So
// it waits until as many are there as were answered and already waited, at most
// gatherFor. It sleeps, and the last of them wakes it: yielding in a loop keeps
// a core from those it waits for (15 % slower). Where callers do not come back,
// it soon stops trying.
type gatherer struct {
	skip    int // so many groups without waiting
	penalty int // the next skip after a miss
}

const (
	gatherFor  = 200 * time.Microsecond
	maxPenalty = 256
)

// wait returns when want appends wait in g, or when it has waited long enough.
// last is the size of the group before.
func (r *gatherer) wait(g *group, want, last int) {
	if last < 2 {
		return
	}
	if r.skip > 0 {
		r.skip--
		return
	}
	full := g.expect(want)
	timer := time.NewTimer(gatherFor)
	defer timer.Stop()
	select {
	case <-full:
		r.penalty = 0
	case <-timer.C:
		r.penalty = min(2*r.penalty+1, maxPenalty)
		r.skip = r.penalty
	}
}

// expect returns a channel that is closed when want appends wait. Of several
// workers the last one to call it is served; the others wait out their time.
func (g *group) expect(want int) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full, g.want = make(chan struct{}), want
	g.arrived()
	return g.full
}

// arrived tells the worker that expects them when enough appends wait; mu is held.
func (g *group) arrived() {
	if g.full != nil && len(g.queue) >= g.want {
		close(g.full)
		g.full = nil
	}
}

// take removes the next group from the queue; nil, when there is none, ends the
// worker. The group is a prefix of the queue, except that a commit stays behind
// when an id of it is in the group already: of two commits with a common id the
// second must find what the first stored.
func (g *group) take() []*pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.workers--
		return nil
	}
	ids := make(map[string]struct{}, len(g.queue))
	var batch []*pending
	rest := g.queue[:0]
	events, full := 0, false
	for _, p := range g.queue {
		n := countRecords([]Commit{p.commit})
		full = full || (len(batch) > 0 && events+n > g.limit)
		if full || !claim(ids, p.commit) {
			rest = append(rest, p)
			continue
		}
		events += n
		batch = append(batch, p)
	}
	clear(g.queue[len(rest):])
	g.queue = rest
	return batch
}

// claim adds the commit's ids to those of the group, unless one is there.
func claim(ids map[string]struct{}, c Commit) bool {
	for _, s := range c.Sections {
		for i := range s.Records {
			if _, taken := ids[s.Records[i].ID]; taken {
				return false
			}
		}
	}
	for _, s := range c.Sections {
		for i := range s.Records {
			ids[s.Records[i].ID] = struct{}{}
		}
	}
	return true
}

// run commits a group, answers its members, and returns how many appends
// waited when the back end had answered.
func (g *group) run(batch []*pending) int {
	ctx, cancel := shared(batch)
	defer cancel()
	commits := make([]Commit, len(batch))
	for i, p := range batch {
		commits[i] = p.commit
	}
	outcomes, err := g.commit(ctx, commits)
	waiting := g.waiting()
	for i, p := range batch {
		switch {
		case err != nil:
			p.finish(Outcome{}, err)
		case outcomes[i].Busy && len(batch) > 1:
			g.running.Add(1)
			go g.alone(p)
		default:
			p.finish(outcomes[i], nil)
		}
	}
	return waiting
}

// alone commits an append that would have to wait for somebody's transaction,
// so that only its own caller waits.
func (g *group) alone(p *pending) {
	defer g.running.Done()
	outcomes, err := g.commit(p.ctx, []Commit{p.commit})
	if err != nil {
		p.finish(Outcome{}, err)
		return
	}
	p.finish(outcomes[0], nil)
}

func (p *pending) finish(o Outcome, err error) {
	p.outcome, p.err = o, err
	if err == nil && o.Busy {
		p.err = fmt.Errorf("%w: another transaction holds the end of the stream", banyan.ErrUnavailable)
	}
	close(p.done)
}

// errAbandoned is why a group's context ends: nobody waits for it any more.
var errAbandoned = errors.New("every caller of this group of appends has left")

// shared returns a context that ends when the contexts of all members have
// ended: one caller who leaves must not spoil the append of another.
func shared(batch []*pending) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(batch[0].ctx))
	var mu sync.Mutex
	left := len(batch) // guarded by mu
	stops := make([]func() bool, 0, len(batch))
	for _, p := range batch {
		stops = append(stops, context.AfterFunc(p.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel(errAbandoned)
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel(nil)
	}
}

// signal wakes everybody who waits on it. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{} // guarded by mu; nil while nobody waits
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// wait returns a channel that the next broadcast closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}
