package cache

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// Cache is a store of answers that many routes share. Its methods may be called
// from any number of goroutines.
type Cache struct {
	opts   Options
	base   time.Time // now counts from here, by the monotonic clock
	seed   maphash.Seed
	tags   maphash.Seed
	shards []*shard
	room   atomic.Int64 // bytes that bodies under way may still take
	fences fences
	counts counts

	ctx     context.Context // ends when the cache closes; fills end with it
	stop    context.CancelFunc
	running sync.WaitGroup // fills; added to only while mu is held and closed is false
	mu      sync.RWMutex
	closed  bool // guarded by mu
}

var errClosed = fmt.Errorf("cache: %w", banyan.ErrClosed)

// New returns an empty cache. Mistakes in the options are errors of kind
// banyan.ErrInvalid.
func New(o *Options) (*Cache, error) {
	c := &Cache{base: time.Now(), seed: maphash.MakeSeed(), tags: maphash.MakeSeed()}
	if o != nil {
		c.opts = *o
		c.opts.Targets = append([]string(nil), o.Targets...)
		if o.Targets != nil && len(o.Targets) == 0 {
			c.opts.Targets = []string{}
		}
	}
	c.opts.defaults()
	if err := c.opts.check(); err != nil {
		return nil, err
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.room.Store(c.opts.FillBytes)
	c.makeShards()
	return c, nil
}

// makeShards divides the bytes so that the largest object takes at most an
// eighth of a shard: sixteen shards are enough for the locks not to be felt.
func (c *Cache) makeShards() {
	n := 1
	for n < 16 && c.opts.Bytes/int64(2*n) >= 8*c.opts.MaxObject {
		n *= 2
	}
	for range n {
		c.shards = append(c.shards, newShard(c.opts.Bytes/int64(n), c.opts.Variants))
	}
}

func (c *Cache) shard(hash uint64) *shard { return c.shards[hash>>32%uint64(len(c.shards))] }

func (c *Cache) now() time.Duration { return time.Since(c.base) }

// jitter takes a random part of at most the fraction off d.
func (c *Cache) jitter(d time.Duration, fraction float64) time.Duration {
	if fraction == 0 || d <= 0 {
		return d
	}
	return d - time.Duration(rand.Float64()*fraction*float64(d))
}

// launch runs f in a goroutine that Close waits for. It returns false when the
// cache is closed.
func (c *Cache) launch(f *fill) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	go f.run()
	return true
}

// Close ends what runs in the background and the fills under way, and waits for
// them. Afterwards the handlers pass everything on. Shut servers down first: a
// client whose answer is cut off here sees it end early.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop()
	c.running.Wait()
}

// Retire is Close for a cache that another one takes the place of: it lets the fills
// under way come to their end. Close, called meanwhile, ends them.
func (c *Cache) Retire() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
	c.stop()
}

// Handler returns a handler that answers from the cache where rules allow it,
// and otherwise calls next. A nil rules is the zero value. Mistakes in the rules
// are errors of kind banyan.ErrInvalid.
//
// For one key next is called by one request at a time, in a goroutine of the
// cache, with a context that has the values of the request that came first but
// neither its deadline nor its end. The ResponseWriter that it gets then can
// flush but not be hijacked.
func (c *Cache) Handler(rules *Rules, next http.Handler) (http.Handler, error) {
	if next == nil {
		return nil, fmt.Errorf("cache: handler: %w: there is no next handler", banyan.ErrInvalid)
	}
	h := &handler{c: c, next: next}
	if rules != nil {
		h.rules = *rules
	}
	if err := h.rules.check(); err != nil {
		return nil, err
	}
	names := make([]string, len(h.rules.Headers))
	for i, name := range h.rules.Headers {
		names[i] = http.CanonicalHeaderKey(name)
	}
	h.rules.Headers = names
	return h, nil
}

// Stats are counts since the cache was made, and what it holds now.
type Stats struct {
	// Served is how many requests had each status.
	Served map[Status]uint64
	// Entries and Bytes are stored, notes on keys that cannot be stored included.
	Entries int
	Bytes   int64
	// Evicted counts entries that made room for others.
	Evicted uint64
	// Filling is how many bytes the bodies under way take.
	Filling int64
}

// counts has a place for each Status, far enough apart that processors do not
// contend for one line of memory.
type counts [statuses]struct {
	atomic.Uint64
	_ [56]byte
}

// Stats returns the figures of now.
func (c *Cache) Stats() Stats {
	s := Stats{Served: map[Status]uint64{}, Filling: c.opts.FillBytes - c.room.Load()}
	for i := range c.counts {
		s.Served[Status(i)] = c.counts[i].Load()
	}
	for _, sh := range c.shards {
		sh.mu.RLock()
		s.Entries += sh.count
		s.Bytes += sh.bytes
		s.Evicted += sh.evicted
		sh.mu.RUnlock()
	}
	return s
}
