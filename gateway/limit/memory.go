package limit

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
)

// MemoryOptions of a Memory.
type MemoryOptions struct {
	// Keys bounds the buckets that are kept at once. A bucket takes 44 bytes when
	// all are in use, at most 52; memory grows up to that and is not given back.
	// Default: 1,048,576, which is 47 MB; at least 1 and at most 2^30.
	Keys int
}

const (
	defaultKeys  = 1 << 20
	maxKeys      = 1 << 30
	maxShards    = 64   // as many as a word has bits
	shardAtLeast = 1024 // keys: smaller shards would fill too unevenly
)

// Memory keeps the buckets of one process. Any number of limiters may share one,
// so that its bound holds for all of them together, and so that the state
// survives when a limiter is replaced because its configuration changed.
//
// A bucket that is full again says nothing, and is dropped as others come. When
// Keys buckets are in use and none of them is full, the one that would be full
// first goes (of its shard, 1/64 of all); its client gets back what it had taken,
// at most one burst. Stats counts that.
//
// Memory is a [Store] too, for tests and for programs that run several clusters
// in one process. It is safe for concurrent use and has no goroutine.
type Memory struct {
	start time.Time
	seeds [2]maphash.Seed
	few   uint64 // shards - 1
	shard [maxShards]shard
}

type shard struct {
	mu      sync.Mutex // guards the fields below; of several shards, lower ones are locked first
	table   table
	evicted int64
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty memory.
func NewMemory(o *MemoryOptions) (*Memory, error) {
	keys := defaultKeys
	if o != nil && o.Keys != 0 {
		keys = o.Keys
	}
	if keys < 1 || keys > maxKeys {
		return nil, fmt.Errorf("limit: new memory: %w: Keys is %d, want 1 to %d", banyan.ErrInvalid, keys, maxKeys)
	}
	shards := 1
	for shards < maxShards && keys/(2*shards) >= shardAtLeast {
		shards *= 2
	}
	m := &Memory{start: time.Now(), seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, few: uint64(shards - 1)}
	for i := range shards {
		m.shard[i].table.most = (keys + i) / shards
	}
	return m, nil
}

// Stats of a Memory.
type Stats struct {
	// Keys is the number of buckets that are kept, full ones included.
	Keys int
	// Evicted counts the buckets that were dropped though they were not full. If
	// it grows, Keys is too low for the number of clients.
	Evicted int64
}

// Stats returns the numbers of this moment.
func (m *Memory) Stats() Stats {
	var s Stats
	for i := range m.few + 1 {
		sh := &m.shard[i]
		sh.mu.Lock()
		s.Keys += len(sh.table.heap)
		s.Evicted += sh.evicted
		sh.mu.Unlock()
	}
	return s
}

// now is on the monotonic clock: setting the wall clock changes nothing.
func (m *Memory) now() int64 { return int64(time.Since(m.start)) }

func (m *Memory) ident(text string) ident {
	return ident{maphash.String(m.seeds[0], text), maphash.String(m.seeds[1], text)}
}

func (m *Memory) shardOf(id ident) uint64 { return id.hi & m.few }

// take makes all charges or none, and enters the debts.
func (m *Memory) take(cs []charge) bool {
	locked := m.lock(cs)
	defer m.unlock(locked)
	now := m.now() // behind the locks, so that no bucket sees time go back
	fits := m.look(cs, now)
	if !fits {
		return false
	}
	for i := range cs {
		if cs[i].cost+cs[i].extra > 0 {
			m.set(cs[i].id, cs[i].take(now), now)
		}
	}
	return true
}

// look enters the debts and reports whether all charges fit.
func (m *Memory) look(cs []charge, now int64) bool {
	fits := true
	for i := range cs {
		t := &m.shard[m.shardOf(cs[i].id)].table
		cs[i].debt = 0
		if at := t.find(cs[i].id); at >= 0 {
			e := &t.entries[at]
			cs[i].debt = owed(e.tat, now, cs[i].capacity)
			e.tat = min(e.tat, now+cs[i].capacity) // or it would stay cut at every look
		}
		fits = fits && cs[i].fits()
	}
	return fits
}

func (m *Memory) set(id ident, tat, now int64) {
	s := &m.shard[m.shardOf(id)]
	if s.table.set(id, tat, now) {
		s.evicted++
	}
}

// lock locks the shards of all charges and returns them, a bit for each.
func (m *Memory) lock(cs []charge) uint64 {
	var set uint64
	for i := range cs {
		set |= 1 << m.shardOf(cs[i].id)
	}
	for rest := set; rest != 0; rest &= rest - 1 {
		m.shard[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return set
}

func (m *Memory) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		m.shard[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// peek enters the debts, and reports whether all charges fit.
func (m *Memory) peek(cs []charge) bool {
	locked := m.lock(cs)
	defer m.unlock(locked)
	return m.look(cs, m.now())
}

// drain makes a charge whether it fits or not; it leaves no debt above the capacity.
func (m *Memory) drain(c *charge) {
	s := &m.shard[m.shardOf(c.id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	now := m.now()
	if at := s.table.find(c.id); at >= 0 {
		c.debt = owed(s.table.entries[at].tat, now, c.capacity)
	} else {
		c.debt = 0
	}
	m.set(c.id, now+min(c.debt+c.cost, c.capacity), now)
}

// raise makes a bucket at least as empty as tat says.
func (m *Memory) raise(id ident, tat int64) {
	s := &m.shard[m.shardOf(id)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.table.find(id); at < 0 || s.table.entries[at].tat < tat {
		m.set(id, tat, m.now())
	}
}

// Take implements Store.
func (m *Memory) Take(_ context.Context, requests []Request) ([]Result, error) {
	results := make([]Result, len(requests))
	for i, r := range requests {
		cs := make([]charge, len(r.Charges))
		for j, c := range r.Charges {
			cs[j] = charge{id: m.ident(c.Key), cost: int64(c.Cost), extra: int64(c.Extra), capacity: int64(c.Capacity)}
		}
		results[i] = Result{Allowed: m.take(cs), Levels: make([]Level, len(cs))}
		for j := range cs {
			results[i].Levels[j].Debt = time.Duration(cs[j].debt)
			if results[i].Allowed {
				results[i].Levels[j].Extra = time.Duration(cs[j].extra)
			}
		}
	}
	return results, nil
}
