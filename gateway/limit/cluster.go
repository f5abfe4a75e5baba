package limit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// ClusterOptions of a Cluster.
type ClusterOptions struct {
	// Timeout is how long a request waits for the store. Default: 50 ms.
	Timeout time.Duration
	// Pause is how long the store is left alone after three calls in a row have
	// failed; then one request tries it, and if that fails too the next pause
	// begins. Meanwhile rules go by their Down at once. Default: 1 s.
	Pause time.Duration
	// Batch is the most requests in one call of the store. Default: 256.
	Batch int
	// Processes is how many processes share the store: with DownShare each keeps
	// the limit divided by it. 1 to 256. Default: 1.
	Processes int
	// Keys bounds what this process remembers of buckets: see MemoryOptions.Keys.
	// A lease takes about 100 bytes besides, for at most Keys ÷ 16 of them.
	// Default: 1,048,576.
	Keys int
	// StoreFailed is called after each call of the store that failed, from one
	// goroutine at a time. Default: nil.
	StoreFailed func(error)
}

const (
	defaultTimeout = 50 * time.Millisecond
	defaultPause   = time.Second
	defaultBatch   = 256
	maxProcesses   = 256
	failuresInARow = 3
)

func (o *ClusterOptions) defaults() {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	if o.Processes == 0 {
		o.Processes = 1
	}
	if o.Keys == 0 {
		o.Keys = defaultKeys
	}
	if o.StoreFailed == nil {
		o.StoreFailed = func(error) {}
	}
}

func (o *ClusterOptions) check() error {
	switch {
	case o.Timeout < 0 || o.Pause < 0:
		return errors.New("durations must not be negative")
	case o.Batch < 1:
		return fmt.Errorf("a batch of %d, want at least 1", o.Batch)
	case o.Processes < 1 || o.Processes > maxProcesses:
		return fmt.Errorf("%d processes, want 1 to %d", o.Processes, maxProcesses)
	}
	return nil
}

// Cluster decides by a store that several processes share. Requests that arrive
// while a call of the store is under way share the next call.
//
// What the store refused this process refuses too, without asking, until the time
// that the store said: others can only have taken more since. So clients above
// their limits cost the store hardly anything, and the answers stay exact.
//
// A request that waited Timeout goes by the rules' Down. Its charge may still
// happen, so that the client has less, never more.
type Cluster struct {
	opts    ClusterOptions
	memory  *Memory // of refusals; and of the buckets of DownShare
	share   ident   // tells these two apart
	leases  leases
	circuit circuit
	batches batches
	calling atomic.Int64 // when the call under way began; 0: there is none
}

// NewCluster returns a cluster on a store. Close it.
func NewCluster(store Store, o *ClusterOptions) (*Cluster, error) {
	c := &Cluster{}
	if o != nil {
		c.opts = *o
	}
	c.opts.defaults()
	err := c.opts.check()
	if store == nil {
		err = errors.New("there is no store")
	}
	if err != nil {
		return nil, fmt.Errorf("limit: new cluster: %w: %w", banyan.ErrInvalid, err)
	}
	if c.memory, err = NewMemory(&MemoryOptions{Keys: c.opts.Keys}); err != nil {
		return nil, err
	}
	c.share = c.memory.ident("share")
	c.leases = leases{of: map[ident]*lease{}, most: max(c.opts.Keys/16, 1)}
	c.circuit.pause = int64(c.opts.Pause)
	c.batches.take = func(requests []Request) ([]Result, error) { return c.call(store, requests) }
	c.batches.most = c.opts.Batch
	return c, nil
}

// Close waits for the call of the store that is under way. Requests after it go
// by their rules' Down. It does not close the store.
func (c *Cluster) Close() error {
	c.batches.close()
	return nil
}

// decide fills in a decision whose charges are known.
func (c *Cluster) decide(ctx context.Context, d *Decision) {
	if !c.memory.peek(d.all()) {
		for i := range d.all() {
			if d.charges[i].fits() {
				d.charges[i].interval = 0 // of the others nothing is known
			}
		}
		d.settle(false)
		return
	}
	now := c.memory.now()
	if c.leases.use(d, now) {
		d.settle(true)
		c.spend(d)
		return
	}
	err := errPaused
	if c.circuit.ready(now) {
		err = c.ask(ctx, d, now)
	}
	if err != nil {
		c.down(d, err)
	}
}

var errPaused = fmt.Errorf("limit: %w: the store did not answer, and is left alone for a moment", banyan.ErrUnavailable)

// ask lets the store decide.
func (c *Cluster) ask(ctx context.Context, d *Decision, now int64) error {
	c.leases.plan(d, now)
	result, err := c.wait(ctx, d.request())
	if err == nil {
		for i := range d.all() {
			level := &result.Levels[i]
			d.charges[i].debt, d.charges[i].extra = int64(level.Debt), int64(level.Extra)
		}
	}
	c.leases.settle(d, now, err != nil)
	if err != nil {
		return err
	}
	if result.Allowed {
		c.spend(d)
	} else {
		c.remember(d, now)
	}
	d.settle(result.Allowed)
	return nil
}

// spend takes from this process's shares what the store has allowed. Without that
// a store that answers only some requests in time would let through its limit, and
// the shares theirs besides, for as long as it is slow.
func (c *Cluster) spend(d *Decision) {
	for i := range d.all() {
		if d.limiter.rules[i].Down == DownShare && d.charges[i].cost > 0 {
			share := d.charges[i]
			c.reduce(&share)
			c.memory.drain(&share)
		}
	}
}

// remember keeps what a refusal said, as of when the store was asked: it was
// answered later, so that the bucket is full then at the earliest.
func (c *Cluster) remember(d *Decision, asked int64) {
	for i := range d.all() {
		if ch := &d.charges[i]; !ch.fits() {
			c.memory.raise(ch.id, asked+ch.debt)
		}
	}
}

// wait sends a request with the next batch.
func (c *Cluster) wait(ctx context.Context, r Request) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, errLate)
	defer cancel()
	result, err := c.batches.do(ctx, r)
	if errors.Is(err, errLate) {
		c.stuck()
	}
	if err == nil && len(result.Levels) != len(r.Charges) {
		err = fmt.Errorf("limit: the store returned %d levels for %d charges", len(result.Levels), len(r.Charges))
	}
	return result, err
}

var errLate = fmt.Errorf("limit: %w: the store did not answer in time", banyan.ErrUnavailable)

// stuck begins a pause when a call does not end although its context has ended.
func (c *Cluster) stuck() {
	now := c.memory.now()
	if began := c.calling.Load(); began != 0 && now-began >= 2*int64(c.opts.Timeout) {
		c.circuit.open(now)
	}
}

// call is one call of the store, for a batch.
func (c *Cluster) call(store Store, requests []Request) ([]Result, error) {
	// Not the context of a request: a batch belongs to several.
	ctx, cancel := context.WithTimeout(context.Background(), c.opts.Timeout)
	defer cancel()
	c.calling.Store(max(c.memory.now(), 1))
	results, err := store.Take(ctx, requests)
	c.calling.Store(0)
	if err == nil && len(results) != len(requests) {
		err = fmt.Errorf("it returned %d results for %d requests", len(results), len(requests))
	}
	if err != nil {
		err = fmt.Errorf("limit: take from the store: %w", err)
		c.circuit.fail(c.memory.now())
		c.opts.StoreFailed(err)
		return nil, err
	}
	c.circuit.succeed()
	return results, nil
}

// request is what the store is asked. Keys are hashed because they come from
// clients: they may be long, secret, or no text.
func (d *Decision) request() Request {
	charges := make([]Charge, len(d.all()))
	var text []byte
	for i := range charges {
		c := &d.charges[i]
		text = append(append(append(text[:0], d.limiter.rules[i].bucket...), 0), c.key...)
		sum := sha256.Sum256(text)
		charges[i] = Charge{
			Key:  string(sum[:16]),
			Cost: time.Duration(c.cost), Extra: time.Duration(c.extra), Capacity: time.Duration(c.capacity),
		}
	}
	return Request{Charges: charges}
}

// down decides without the store, by the rules' Down.
func (c *Cluster) down(d *Decision, err error) {
	d.Err = err
	var shares [maxRules]charge
	n := 0
	for i := range d.all() {
		ch := &d.charges[i]
		switch d.limiter.rules[i].Down {
		case DownClosed:
			d.Status, d.Rule, d.RetryAfter = http.StatusServiceUnavailable, d.limiter.rules[i].Name, c.opts.Pause
			return
		case DownOpen:
			*ch = charge{}
		case DownShare:
			c.reduce(ch)
			if ch.cost > ch.capacity { // it never fits here, however long it waits
				d.Status, d.Rule, d.RetryAfter = http.StatusServiceUnavailable, d.limiter.rules[i].Name, c.opts.Pause
				return
			}
			shares[n] = *ch
			n++
		}
	}
	allowed := c.memory.take(shares[:n])
	n = 0
	for i := range d.all() {
		if d.limiter.rules[i].Down == DownShare {
			d.charges[i] = shares[n]
			n++
		}
	}
	d.settle(allowed)
}

// reduce makes of a charge one on this process's share of the limit: all amounts
// count as often as there are processes. The bucket holds one unit at least.
func (c *Cluster) reduce(ch *charge) {
	n := int64(c.opts.Processes)
	ch.id = ch.id.with(c.share)
	ch.interval *= n
	ch.cost *= n
	ch.extra = 0
	ch.capacity = max(ch.capacity, ch.interval)
}

// circuit keeps calls away from a store that does not answer.
type circuit struct {
	pause    int64
	failures atomic.Int32 // in a row
	until    atomic.Int64 // of the pause; 0: there is none
}

// ready reports whether the store may be called. After a pause one caller is told
// so; the others wait for what it finds.
func (c *circuit) ready(now int64) bool {
	until := c.until.Load()
	return until == 0 || now >= until && c.until.CompareAndSwap(until, now+c.pause)
}

func (c *circuit) fail(now int64) {
	if c.failures.Add(1) >= failuresInARow {
		c.open(now)
	}
}

func (c *circuit) open(now int64) { c.until.Store(now + c.pause) }

func (c *circuit) succeed() {
	c.failures.Store(0)
	c.until.Store(0)
}
