package cache

import (
	"net/http"
	"sync"
	"time"
)

// shard is a part of the store with a share of the bytes. It evicts by SIEVE
// (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024): a queue by age and a
// hand that goes from old to new, spares once what was used since it passed, and
// takes the rest. A hit sets one bit and needs no exclusive lock.
type shard struct {
	mu      sync.RWMutex
	entries map[uint64]*entry   // guarded by mu: chains by hash
	tags    map[uint64]*tagLink // guarded by mu: lists by tag
	flights map[uint64]*fill    // guarded by mu: chains by hash
	oldest  *entry              // guarded by mu
	newest  *entry              // guarded by mu
	hand    *entry              // guarded by mu: the next to be looked at; nil is oldest
	bytes   int64               // guarded by mu
	count   int                 // guarded by mu
	evicted uint64              // guarded by mu

	budget   int64
	variants int
}

func newShard(budget int64, variants int) *shard {
	return &shard{
		entries: map[uint64]*entry{}, tags: map[uint64]*tagLink{}, flights: map[uint64]*fill{},
		budget: budget, variants: variants,
	}
}

// found is what a lookup sees: the answer for the request, or else a note that
// its key cannot be stored, or else an answer of the key for other requests.
type found struct{ answer, memo, sibling *entry }

func (s *shard) find(a *ask, now time.Duration) found {
	s.mu.RLock()
	f := s.findLocked(a, now)
	s.mu.RUnlock()
	return f
}

// findLocked is find with mu held.
func (s *shard) findLocked(a *ask, now time.Duration) (f found) {
	for e := s.entries[a.hash]; e != nil; e = e.next {
		switch {
		case e.key() != string(a.key):
		case e.memo:
			if now-e.born < e.lifetime {
				f.memo = e
			}
		case e.vary == nil || matches(e.vary, a.r.Header):
			f.answer = e
			if !e.used.Load() { // a store to a shared line costs more than a look
				e.used.Store(true)
			}
			return f
		case f.sibling == nil:
			f.sibling = e
		}
	}
	return f
}

// put stores e in place of what the same request would have found. header is
// that request's.
func (s *shard) put(e *entry, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := 1
	for old := s.entries[e.hash]; old != nil; {
		next := old.next
		if old.key() == e.key() && old.memo == e.memo {
			if kept++; e.memo || kept > s.variants || matches(old.vary, header) {
				s.remove(old)
				kept--
			}
		}
		old = next
	}
	if e.size > s.budget {
		return
	}
	for s.bytes+e.size > s.budget {
		s.evict()
	}
	s.insert(e)
}

// insert adds e to the lists. mu is held.
func (s *shard) insert(e *entry) {
	e.next = s.entries[e.hash]
	s.entries[e.hash] = e
	if e.prev = s.newest; e.prev != nil {
		e.prev.newer = e
	} else {
		s.oldest = e
	}
	s.newest = e
	for i := range e.tags {
		link := &e.tags[i]
		if link.next = s.tags[link.tag]; link.next != nil {
			link.next.prev = link
		}
		s.tags[link.tag] = link
	}
	s.bytes += e.size
	s.count++
}

// remove takes e, which is in the lists, out of them. mu is held.
func (s *shard) remove(e *entry) {
	s.unchain(e)
	if s.hand == e {
		s.hand = e.newer
	}
	if e.prev != nil {
		e.prev.newer = e.newer
	} else {
		s.oldest = e.newer
	}
	if e.newer != nil {
		e.newer.prev = e.prev
	} else {
		s.newest = e.prev
	}
	for i := range e.tags {
		s.untag(&e.tags[i])
	}
	e.next, e.prev, e.newer = nil, nil, nil // who still serves e must not keep its neighbours alive
	e.gone = true
	s.bytes -= e.size
	s.count--
}

func (s *shard) unchain(e *entry) {
	at := s.entries[e.hash]
	if at == e {
		if e.next == nil {
			delete(s.entries, e.hash)
		} else {
			s.entries[e.hash] = e.next
		}
		return
	}
	for at.next != e {
		at = at.next
	}
	at.next = e.next
}

func (s *shard) untag(link *tagLink) {
	if link.next != nil {
		link.next.prev = link.prev
	}
	switch {
	case link.prev != nil:
		link.prev.next = link.next
	case link.next != nil:
		s.tags[link.tag] = link.next
	default:
		delete(s.tags, link.tag)
	}
	link.prev, link.next = nil, nil
}

// evict removes one entry. mu is held and there is one.
func (s *shard) evict() {
	e := s.hand
	if e == nil {
		e = s.oldest
	}
	for e.used.CompareAndSwap(true, false) {
		if e = e.newer; e == nil {
			e = s.oldest
		}
	}
	s.hand = e
	s.remove(e) // moves the hand on
	s.evicted++
}

// drop removes e if it is still there.
func (s *shard) drop(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := s.entries[e.hash]; at != nil; at = at.next {
		if at == e {
			s.remove(e)
			return
		}
	}
}
