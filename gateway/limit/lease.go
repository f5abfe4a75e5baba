package limit

import "sync"

// leases are what this process has taken from buckets in advance.
type leases struct {
	mu    sync.Mutex // guards the fields below
	of    map[ident]*lease
	most  int
	swept int64 // when there was last no room
}

type lease struct {
	left   int64 // ns; cut by worth
	until  int64 // when the bucket is full if nobody takes more, so that this can go
	tat    int64 // of the bucket, at least
	asking bool  // the store is being asked for more
}

// worth is what is left for a rule. It may have been taken for another rate or
// lease, before a reload; more than the rule's own lease would break its bound.
func (at *lease) worth(r *rule) int64 {
	at.left = min(at.left, r.Lease*r.interval)
	return at.left
}

// sweepEvery bounds how often all leases are looked at, in ns.
const sweepEvery = 1e9

// use makes the charges out of leases; it needs one for each.
func (l *leases) use(d *Decision, now int64) bool {
	if !d.limiter.leased {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var found [maxRules]*lease
	for i := range d.all() {
		c := &d.charges[i]
		if found[i] = l.of[c.id]; found[i] == nil || found[i].worth(&d.limiter.rules[i]) < c.cost {
			return false
		}
	}
	for i := range d.all() {
		c := &d.charges[i]
		found[i].left -= c.cost
		c.debt = owed(found[i].tat, now, c.capacity)
	}
	return true
}

// plan enters what is to be taken besides: so much that a lease is whole again.
// One request at a time asks for a bucket, or they would take too much together.
func (l *leases) plan(d *Decision, now int64) {
	if !d.limiter.leased {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	for i := range d.all() {
		c, r := &d.charges[i], &d.limiter.rules[i]
		at := l.of[c.id]
		if at == nil && len(l.of) < l.most {
			at = &lease{}
			l.of[c.id] = at
		}
		if at != nil && !at.asking {
			at.asking, c.leasing = true, true
			c.extra = r.Lease*r.interval - at.worth(r)
		}
	}
}

// settle enters what the store gave besides, which is nothing if it failed.
func (l *leases) settle(d *Decision, now int64, failed bool) {
	if !d.limiter.leased {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range d.all() {
		c := &d.charges[i]
		if !c.leasing {
			continue
		}
		at := l.of[c.id] // still there: it was asking
		at.asking = false
		if !failed {
			at.left += c.extra
			at.until = now + c.capacity
			at.tat = max(at.tat, now+c.debt)
		}
	}
}

// sweep makes room; mu is held.
func (l *leases) sweep(now int64) {
	if len(l.of) < l.most || now-l.swept < sweepEvery {
		return
	}
	l.swept = now
	for id, at := range l.of {
		if !at.asking && now >= at.until {
			delete(l.of, id)
		}
	}
}
