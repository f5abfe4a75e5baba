package cache

import (
	"hash/maphash"
	"strings"
	"time"
)

// Purge names stored answers.
type Purge struct {
	// URLs such as "https://shop.example/orders/17?full=1", without the query
	// parameters that the rules of their route leave out of the key. All
	// variants, for all people, are met.
	URLs []string
	// Prefixes of such URLs, as text: "https://shop.example/orders/". A prefix
	// looks at each stored answer.
	Prefixes []string
	// Tags that answers gave themselves in Surrogate-Key or Cache-Tag, or the
	// rules gave them.
	Tags []string
	// All means everything.
	All bool
	// Soft keeps the answers as stale: they are validated before their next use,
	// except as stale-while-revalidate and stale-if-error allow.
	Soft bool
}

// Purge removes stored answers, or makes them stale, and returns how many. What
// the next handler was asked for before the purge is not stored after it, and
// no request that comes after it gets it. A URL or prefix that is none is an
// error of kind banyan.ErrInvalid, and then nothing is done.
func (c *Cache) Purge(p Purge) (int, error) {
	var targets [][]byte
	for _, raw := range p.URLs {
		target, err := targetOf(raw)
		if err != nil {
			return 0, err
		}
		targets = append(targets, target)
	}
	prefixes := make([]string, 0, len(p.Prefixes))
	for _, raw := range p.Prefixes {
		target, err := targetOf(raw)
		if err != nil {
			return 0, err
		}
		prefixes = append(prefixes, string(target))
	}
	marks := make([]uint64, 0, len(p.Tags)+len(targets))
	for _, tag := range p.Tags {
		marks = append(marks, maphash.String(c.tags, tag))
	}
	for _, target := range targets {
		marks = append(marks, maphash.Bytes(c.seed, target))
	}
	c.fences.raise(marks, prefixes, p.All)
	n := c.sweep(marks, prefixes, p.All, p.Soft)
	if c.opts.Trace.Purged != nil {
		c.opts.Trace.Purged(p, n)
	}
	return n, nil
}

// purgeTargets removes the answers of URIs.
func (c *Cache) purgeTargets(targets [][]byte) {
	marks := make([]uint64, len(targets))
	for i, target := range targets {
		marks[i] = maphash.Bytes(c.seed, target)
	}
	c.fences.raise(marks, nil, false)
	c.sweep(marks, nil, false, false)
}

// marks returns the marks of tags and, for an answer that the hash of its URI
// does not find, of that.
func (c *Cache) marks(a *ask, tags []string) []uint64 {
	var marks []uint64
	for _, tag := range tags {
		marks = append(marks, maphash.String(c.tags, tag))
	}
	if a.particular() {
		marks = append(marks, a.target)
	}
	return union(marks, nil)
}

func (c *Cache) sweep(marks []uint64, prefixes []string, all, soft bool) int {
	n := 0
	for _, s := range c.shards {
		n += s.sweep(marks, prefixes, all, soft, c.now())
	}
	return n
}

// sweep removes or marks what a purge meets: in the time of that for URLs and
// tags, of everything for prefixes.
func (s *shard) sweep(marks []uint64, prefixes []string, all, soft bool, now time.Duration) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	var met []*entry
	for _, mark := range marks {
		for link := s.tags[mark]; link != nil; link = link.next {
			met = append(met, link.owner)
		}
		for e := s.entries[mark]; e != nil; e = e.next {
			met = append(met, e)
		}
	}
	if all || len(prefixes) > 0 {
		for e := s.oldest; e != nil; e = e.newer {
			if all || e.hasPrefix(prefixes) {
				met = append(met, e)
			}
		}
	}
	n := 0
	for _, e := range met {
		if !e.gone {
			n += s.meet(e, soft, now)
		}
	}
	return n
}

func (e *entry) hasPrefix(prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(e.url(), p) {
			return true
		}
	}
	return false
}

// meet applies a purge to one entry. mu is held.
func (s *shard) meet(e *entry, soft bool, now time.Duration) int {
	switch {
	case e.memo:
		s.remove(e)
		return 0
	case !soft:
		s.remove(e)
	case !e.softAt.CompareAndSwap(0, max(1, int64(now))):
		return 0
	}
	return 1
}
