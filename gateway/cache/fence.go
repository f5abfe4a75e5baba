package cache

import (
	"strings"
	"sync"
)

// fences keep an answer that was asked for before a purge from being stored
// after it. Purges are numbered; a fill notes the last number at its start; and
// a purge leaves a fence for as long as fills that began before it are under
// way. Storing happens under the read lock: either the purge sees what was
// stored, or the fill sees the purge.
type fences struct {
	mu       sync.RWMutex
	seq      uint64            // guarded by mu: the number of the last purge
	marks    map[uint64]uint64 // guarded by mu: of a tag or URI → of its last purge
	prefixes []prefixFence     // guarded by mu
	all      uint64            // guarded by mu: the last purge of everything
	first    *fill             // guarded by mu: under way, in the order of their start
	last     *fill             // guarded by mu
}

type prefixFence struct {
	prefix string
	seq    uint64
}

// Beyond these a purge fences everything: fills that began before it are not
// stored, which costs a call each and no memory.
const (
	maxMarks    = 1 << 16
	maxPrefixes = 64
)

// begin registers a fill.
func (x *fences) begin(f *fill) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.start = x.seq
	if f.before = x.last; f.before != nil {
		f.before.after = f
	} else {
		x.first = f
	}
	x.last = f
	f.fenced = true
}

// end unregisters it; a second call does nothing.
func (x *fences) end(f *fill) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !f.fenced {
		return
	}
	f.fenced, f.met = false, x.blocked(f, f.head.marks, x.seq) // for those who wait and look later
	if f.before != nil {
		f.before.after = f.after
	} else {
		x.first = f.after
	}
	if f.after != nil {
		f.after.before = f.before
	} else {
		x.last = f.before
	}
	f.before, f.after = nil, nil
	if x.first == nil {
		x.forget()
	}
}

// forget drops the fences. mu is held.
func (x *fences) forget() {
	if len(x.marks) > 0 {
		x.marks = nil
	}
	x.prefixes = nil
}

// now returns the number of the last purge.
func (x *fences) now() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.seq
}

// raise puts up the fences of a purge.
func (x *fences) raise(marks []uint64, prefixes []string, all bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seq++
	if x.first == nil {
		return // nothing is under way
	}
	if all || len(x.marks)+len(marks) > maxMarks || len(x.prefixes)+len(prefixes) > maxPrefixes {
		x.all = x.seq
		x.forget()
		return
	}
	if x.marks == nil {
		x.marks = map[uint64]uint64{}
	}
	for _, m := range marks {
		x.marks[m] = x.seq
	}
	for _, p := range prefixes {
		x.prefixes = append(x.prefixes, prefixFence{p, x.seq})
	}
}

// blocked says whether a purge since the start of f may meet it, for somebody who
// came after the purge numbered arrived. mu is held for reading.
func (x *fences) blocked(f *fill, tags []uint64, arrived uint64) bool {
	if arrived == f.start {
		return false
	}
	if x.all > f.start || x.marks[f.ask.target] > f.start {
		return true
	}
	for _, tag := range tags {
		if x.marks[tag] > f.start {
			return true
		}
	}
	for _, p := range x.prefixes {
		if p.seq > f.start && strings.HasPrefix(f.ask.url(), p.prefix) {
			return true
		}
	}
	return false
}
