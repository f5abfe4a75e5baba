package postgres

import (
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// headCache remembers stream ends that this process has seen committed. They
// may be outdated, never ahead: an append that builds on one is refused by the
// unique index if somebody else was first. So a hit saves the query for the
// head, and a miss or an old entry costs one.
//
// It holds two generations of entries; when the young one is full it becomes the
// old one, whose entries are forgotten unless they were used.
type headCache struct {
	mu    sync.Mutex
	young map[string]store.Head // guarded by mu
	old   map[string]store.Head // guarded by mu
}

// generation bounds the memory to about 2 × 20,000 × 150 bytes.
const generation = 20_000

func newHeadCache() *headCache { return &headCache{young: map[string]store.Head{}} }

func (c *headCache) get(stream string) (store.Head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.young[stream]
	if !ok {
		if h, ok = c.old[stream]; ok {
			c.put(stream, h)
		}
	}
	return h, ok
}

// put needs mu held.
func (c *headCache) put(stream string, h store.Head) {
	if len(c.young) >= generation {
		c.old, c.young = c.young, make(map[string]store.Head, generation)
	}
	c.young[stream] = h
}

// saw takes committed records into account, in the order of their revisions.
func (c *headCache) saw(records []store.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range records {
		r := &records[i]
		have, ok := c.young[r.Stream]
		if !ok {
			have = c.old[r.Stream]
		}
		if r.Revision > have.Revision {
			c.put(r.Stream, store.Head{Revision: r.Revision, Closed: r.Type == banyan.Tombstone})
		}
	}
}

func (c *headCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.young, c.old = map[string]store.Head{}, nil
}

// heldStreams remembers for a moment which streams end in somebody's open
// transaction, so that not every group has to find out by waiting.
type heldStreams struct {
	mu    sync.Mutex
	until map[string]time.Time // guarded by mu
}

// holdFor is how long a stream counts as held after the last time-out.
const holdFor = time.Second

func (h *heldStreams) mark(c *store.Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for stream, until := range h.until {
		if now.After(until) {
			delete(h.until, stream)
		}
	}
	if h.until == nil {
		h.until = map[string]time.Time{}
	}
	for i := range c.Sections {
		h.until[c.Sections[i].Stream] = now.Add(holdFor)
	}
}

func (h *heldStreams) release(c *store.Commit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range c.Sections {
		delete(h.until, c.Sections[i].Stream)
	}
}

// has reports whether one of the commit's streams is held.
func (h *heldStreams) has(c *store.Commit) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.until) == 0 {
		return false
	}
	for i := range c.Sections {
		if until, ok := h.until[c.Sections[i].Stream]; ok && time.Now().Before(until) {
			return true
		}
	}
	return false
}
