package limit

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/banyanhq/banyan"
)

// Options of a Limiter.
type Options struct {
	// Memory keeps the buckets in this process. Give one Memory to all limiters.
	// Default: a new one of default size, if there is no Cluster.
	Memory *Memory
	// Cluster keeps the buckets in a store that several processes share. Give one
	// Cluster to all limiters. It excludes Memory. Default: nil.
	Cluster *Cluster
	// Trace is called as things happen. Default: nil.
	Trace *Trace
}

// Trace holds callbacks; each may be nil, and is called from many goroutines,
// without locks held. They should be quick.
type Trace struct {
	// Allowed is called before the next handler.
	Allowed func(*http.Request, Decision)
	// Limited is called after a refusal was written: 429, 403 or 503.
	Limited func(*http.Request, Decision)
}

// Limiter applies rules to requests. It is safe for concurrent use.
type Limiter struct {
	rules   []rule
	memory  *Memory
	cluster *Cluster
	trace   Trace
	leased  bool   // all rules have a lease
	policy  string // the header RateLimit-Policy
}

// New returns a limiter with 1 to 4 rules of different names.
func New(rules []Rule, o *Options) (*Limiter, error) {
	l := &Limiter{}
	if o != nil {
		l.memory, l.cluster = o.Memory, o.Cluster
		if o.Trace != nil {
			l.trace = *o.Trace
		}
	}
	err := l.open(rules)
	if err != nil {
		return nil, fmt.Errorf("limit: new: %w: %w", banyan.ErrInvalid, err)
	}
	return l, nil
}

func (l *Limiter) open(rules []Rule) (err error) {
	switch {
	case len(rules) < 1 || len(rules) > maxRules:
		return fmt.Errorf("%d rules, want 1 to %d", len(rules), maxRules)
	case l.memory != nil && l.cluster != nil:
		return fmt.Errorf("Memory and Cluster exclude each other")
	case l.cluster != nil:
		l.memory = l.cluster.memory
	case l.memory == nil:
		if l.memory, err = NewMemory(nil); err != nil {
			return err
		}
	}
	names := map[string]bool{}
	for _, given := range rules {
		r, err := newRule(given)
		if err != nil {
			return err
		}
		if names[r.Name] {
			return fmt.Errorf("two rules are named %s", r.Name)
		}
		names[r.Name] = true
		r.mix = l.memory.ident("rule\x00" + r.Name)
		l.rules = append(l.rules, r)
		if leased := r.Lease > 0; leased != l.leased && len(l.rules) > 1 {
			return fmt.Errorf("rule %s: either all rules have a lease or none", r.Name)
		}
		l.leased = r.Lease > 0
	}
	l.policy = policy(l.rules)
	return nil
}

// Decision is what a limiter says of a request.
type Decision struct {
	// Allowed: there was room in all rules, and the request has taken from them.
	Allowed bool
	// Status is the answer to a refused request: 429 when a later one can pass;
	// 403 when it costs more than a bucket holds, so that none can; 503 when the
	// store is down and a rule has DownClosed, or DownShare and a share that holds
	// less than the request costs. It is 0 for an allowed one.
	Status int
	// Rule is the name of the rule that refused, of several the one with the
	// longest wait.
	Rule string
	// RetryAfter is how long it takes until the same request can pass, at least;
	// 0 when allowed or never.
	RetryAfter time.Duration
	// Err says why the store did not decide; rules went by their Down.
	Err error

	limiter *Limiter
	charges [maxRules]charge
	cost    int64 // units, of a refusal with 403
}

// Decide takes from the buckets of a request, unless there is no room in one of
// them. Programs that do not want Handler's answers use it.
func (l *Limiter) Decide(r *http.Request) Decision {
	d := Decision{limiter: l}
	if l.charge(r, &d) {
		if l.cluster == nil {
			d.settle(l.memory.take(d.all()))
		} else {
			l.cluster.decide(r.Context(), &d)
		}
	}
	return d
}

// charge works out what a request takes; false if that is more than a bucket
// holds.
func (l *Limiter) charge(r *http.Request, d *Decision) bool {
	for i := range l.rules {
		rule := &l.rules[i]
		cost := int64(1)
		if rule.Cost != nil {
			cost = max(rule.Cost(r), 0)
		}
		if cost > rule.burst {
			d.Status, d.Rule, d.cost = http.StatusForbidden, rule.Name, cost
			return false
		}
		c := &d.charges[i]
		if rule.Key != nil {
			c.key = rule.Key(r)
		}
		c.id = l.memory.ident(c.key).with(rule.mix)
		c.cost, c.capacity, c.interval = cost*rule.interval, rule.capacity, rule.interval
	}
	return true
}

func (d *Decision) all() []charge { return d.charges[:len(d.limiter.rules)] }

// settle enters the outcome; the charges have the debts.
func (d *Decision) settle(allowed bool) {
	if allowed {
		d.Allowed = true
		return
	}
	d.Status = http.StatusTooManyRequests
	for i := range d.all() {
		if c := &d.charges[i]; c.interval > 0 && !c.fits() && time.Duration(c.wait()) > d.RetryAfter {
			d.Rule, d.RetryAfter = d.limiter.rules[i].Name, time.Duration(c.wait())
		}
	}
}

// Handler lets requests pass to next as the rules allow, with the headers
// RateLimit and RateLimit-Policy, and answers the others itself. As a value it is
// a middleware: func(http.Handler) http.Handler.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := l.Decide(r)
		if !d.Allowed {
			d.refuse(w)
			if l.trace.Limited != nil {
				l.trace.Limited(r, d)
			}
			return
		}
		d.header(w.Header())
		if l.trace.Allowed != nil {
			l.trace.Allowed(r, d)
		}
		next.ServeHTTP(w, r)
	})
}

// Store keeps buckets for several processes. Package postgres has one.
//
// Take makes, in order, for each request all charges or none, by the algorithm
// that package limit describes and one clock for all processes; nobody else's
// charges come between the check and the change of a bucket. The charges of one
// request have different keys. A bucket that was never charged is full. Result i
// belongs to request i. An error means that nothing is known of any request; ctx
// ends after ClusterOptions.Timeout. A Cluster calls Take for one batch at a time.
type Store interface {
	Take(ctx context.Context, requests []Request) ([]Result, error)
}

// Request is what one HTTP request takes.
type Request struct{ Charges []Charge }

// Charge is what is taken from one bucket. Amounts are the time in which they
// come back.
type Charge struct {
	// Key is the name of the bucket: 16 bytes of any value, a hash.
	Key string
	// Cost is taken if there is room for it. At most Capacity.
	Cost time.Duration
	// Extra is taken besides, as much of it as there is room for, when the
	// request is allowed.
	Extra time.Duration
	// Capacity is what the bucket holds.
	Capacity time.Duration
}

// Result is the answer to a Request.
type Result struct {
	Allowed bool
	Levels  []Level // one for each charge
}

// Level is the state of a bucket after a request.
type Level struct {
	// Debt is what the bucket lacks: the time until it is full.
	Debt time.Duration
	// Extra is how much of Charge.Extra was taken.
	Extra time.Duration
}

// policy is the header RateLimit-Policy of rules.
func policy(rules []rule) string {
	var b []byte
	for i, r := range rules {
		if i > 0 {
			b = append(b, ", "...)
		}
		count, per := r.Rate.Count, r.Rate.Per
		if per < time.Second && time.Second%per == 0 {
			count, per = count*int64(time.Second/per), time.Second
		}
		b = append(b, `"`+r.Name+`";q=`...)
		b = strconv.AppendInt(b, count, 10)
		if per%time.Second == 0 { // the draft has no fractions of seconds
			b = append(b, ";w="...)
			b = strconv.AppendInt(b, int64(per/time.Second), 10)
		}
		if r.burst != count {
			b = append(b, ";banyan-burst="...)
			b = strconv.AppendInt(b, r.burst, 10)
		}
	}
	return string(b)
}
