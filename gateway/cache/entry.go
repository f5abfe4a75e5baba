package cache

import (
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// entry is a stored answer. Apart from its places in lists, which the shard's
// lock guards, and the atomics, it never changes: whoever found it may use it
// without a lock, also after it was removed.
type entry struct {
	hash   uint64
	urlLen uint32
	keyLen uint32
	text   string   // the key, the header and the number of values of each field
	lines  []string // name, values, name, values, …: parts of text
	counts string   // how many values each field has: a part of text
	body   []byte
	vary   []selector
	tags   []tagLink

	born     time.Duration // when it was received, by the clock of the cache
	initial  time.Duration // its age then
	lifetime time.Duration
	swr, sie time.Duration
	size     int64
	status   uint16
	validate bool
	strict   bool
	guarded  bool // s-maxage: not used stale because a client does not mind
	memo     bool // no answer: says that those of this key cannot be stored

	used       atomic.Bool  // since the hand passed
	refreshing atomic.Bool  // in the background
	softAt     atomic.Int64 // when a soft purge met it; 0 never
	retryAt    atomic.Int64 // until then a failed validation is not tried again

	next        *entry // of the same hash
	prev, newer *entry // the queue
	gone        bool   // guarded by the shard's mu: it was removed
}

// tagLink puts an entry into the list of one of its tags.
type tagLink struct {
	tag        uint64
	owner      *entry
	prev, next *tagLink
}

// indexBytes is what the index takes for an entry: a key and a pointer, at the
// mean load of Go's maps. tagBytes is the same for a list of a tag.
const (
	indexBytes = 40
	tagBytes   = 40
)

// newEntry packs an answer into as few pieces of memory as can be.
func newEntry(a *ask, status int, p *plan, now time.Duration, body []byte, vary []selector, tags []uint64) *entry {
	e := &entry{
		hash: a.hash, urlLen: uint32(a.urlLen), keyLen: uint32(len(a.key)), status: uint16(status), born: now,
		initial: p.initial, lifetime: p.lifetime, swr: p.swr, sie: p.sie, validate: p.validate, strict: p.strict, guarded: p.guarded,
		body: body, vary: vary,
	}
	e.pack(a.key, p.header)
	if len(tags) > 0 {
		e.tags = make([]tagLink, len(tags))
		for i, tag := range tags {
			e.tags[i] = tagLink{tag: tag, owner: e}
		}
	}
	e.size = e.measure()
	return e
}

// newMemo returns a note that answers of a key cannot be stored, for a time.
func newMemo(a *ask, now, lifetime time.Duration) *entry {
	e := &entry{
		hash: a.hash, urlLen: uint32(a.urlLen), keyLen: uint32(len(a.key)), text: string(a.key),
		memo: true, born: now, lifetime: lifetime,
	}
	if a.particular() {
		e.tags = []tagLink{{tag: a.target, owner: e}}
	}
	e.size = e.measure()
	return e
}

func (e *entry) pack(key []byte, h http.Header) {
	names := make([]string, 0, len(h))
	total, lines := len(key), 0
	for name, values := range h {
		if len(values) == 0 || len(values) > 255 {
			continue
		}
		names = append(names, name)
		total += len(name) + 1
		lines += 1 + len(values)
		for _, v := range values {
			total += len(v)
		}
	}
	slices.Sort(names)
	var text strings.Builder
	text.Grow(total)
	text.Write(key)
	for _, name := range names {
		text.WriteString(name)
		for _, v := range h[name] {
			text.WriteString(v)
		}
	}
	for _, name := range names {
		text.WriteByte(byte(len(h[name])))
	}
	e.text = text.String()
	e.lines = make([]string, 0, lines)
	rest := e.text[len(key):]
	cut := func(n int) {
		e.lines = append(e.lines, rest[:n])
		rest = rest[n:]
	}
	for _, name := range names {
		cut(len(name))
		for _, v := range h[name] {
			cut(len(v))
		}
	}
	e.counts = rest
}

// measure returns the memory that the entry takes, its place in the index
// included, as the allocator rounds it.
func (e *entry) measure() int64 {
	n := indexBytes + sizeClass(int(unsafe.Sizeof(*e))) + sizeClass(len(e.text)) +
		sizeClass(cap(e.lines)*int(unsafe.Sizeof(""))) + sizeClass(cap(e.body)) +
		sizeClass(cap(e.vary)*int(unsafe.Sizeof(selector{}))) + sizeClass(cap(e.tags)*int(unsafe.Sizeof(tagLink{})))
	for i := range e.vary {
		n += sizeClass(len(e.vary[i].raw)) + sizeClass(len(e.vary[i].normal)) + sizeClass(len(e.vary[i].name))
	}
	return int64(n + len(e.tags)*tagBytes)
}

// sizeClass rounds up about as Go's allocator does: to 16 bytes, then to eighths
// of a power of two, then to pages.
func sizeClass(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= 128:
		return (n + 15) &^ 15
	case n > 32<<10:
		return (n + 8191) &^ 8191
	}
	step := 1 << (bits.Len(uint(n-1)) - 4)
	return (n + step - 1) &^ (step - 1)
}

// marks returns the tags.
func (e *entry) marks() []uint64 {
	marks := make([]uint64, len(e.tags))
	for i := range e.tags {
		marks[i] = e.tags[i].tag
	}
	return marks
}

func union(a, b []uint64) []uint64 {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (e *entry) key() string { return e.text[:e.keyLen] }

func (e *entry) url() string { return e.text[:e.urlLen] }

// header returns the stored header; its values are parts of the entry.
func (e *entry) header() http.Header {
	h := make(http.Header, len(e.counts))
	e.copyTo(h)
	return h
}

// copyTo sets the stored header, beside what outer handlers set before. The
// slices are shared with the entry and cut so that an append copies them.
func (e *entry) copyTo(h http.Header) {
	at, fresh := 0, len(h) == 0
	for i := range len(e.counts) {
		end := at + 1 + int(e.counts[i])
		name, values := e.lines[at], e.lines[at+1:end:end]
		at = end
		if !fresh {
			if old := h[name]; len(old) > 0 {
				values = append(old[:len(old):len(old)], values...)
			}
		}
		h[name] = values
	}
}

// field returns the first value of a header, "" when it is not there.
func (e *entry) field(name string) string {
	at := 0
	for i := range len(e.counts) {
		if e.lines[at] == name {
			return e.lines[at+1]
		}
		at += 1 + int(e.counts[i])
	}
	return ""
}

func (e *entry) age(now time.Duration) time.Duration { return e.initial + now - e.born }

// staleness returns for how long the entry has not been fresh: negative when it
// is, and then how long it stays so.
func (e *entry) staleness(now time.Duration) time.Duration {
	stale := e.age(now) - e.lifetime
	if soft := e.softAt.Load(); soft != 0 {
		stale = max(stale, now-time.Duration(soft), 0)
	}
	return stale
}

// fresh: usable without asking (RFC 9111 §4.2). Where lifetime and age are equal
// it is not.
func (e *entry) fresh(now time.Duration) bool { return !e.validate && e.staleness(now) < 0 }

// within: stale, but for less than what window allows.
func (e *entry) within(now, window time.Duration) bool {
	return !e.strict && !e.validate && window > 0 && e.staleness(now) < window
}

func ageText(age time.Duration) string { return strconv.FormatInt(int64(age/time.Second), 10) }
