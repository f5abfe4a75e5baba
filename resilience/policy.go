package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/bulkhead"

	"github.com/banyanhq/banyan"
)

// Policy is how one dependency, or one route, is called. Make it once with New
// and share it: breaker, budget and bounds are those of the value.
type Policy struct {
	name string
	opts Options
	on   bool // some part is

	breaker  *breaker
	bulkhead bulkhead.Bulkhead[any]
	leave    func() // gives a place in the bulkhead back
	shed     *shed
	budget   *budget // with Retry or Hedge
	latency  *latency
}

// New makes a Policy. The name stands in errors and hooks: that of the
// dependency or route.
func New(name string, o *Options) (*Policy, error) {
	p := &Policy{name: name}
	if o != nil {
		p.opts = *o
	}
	p.opts.defaults()
	err := p.opts.check()
	if name == "" {
		err = errors.Join(errors.New("the name is empty"), err)
	}
	if err != nil {
		return nil, fmt.Errorf("resilience: new policy %q: %w: %w", name, banyan.ErrInvalid, err)
	}
	if p.opts.Hooks == nil {
		p.opts.Hooks = &Hooks{}
	}
	p.build()
	return p, nil
}

func (p *Policy) build() {
	o := &p.opts
	if o.Breaker != nil {
		var report func(from, to State)
		if hook := o.Hooks.OnBreaker; hook != nil {
			report = func(from, to State) { hook(p.name, from, to) }
		}
		p.breaker = newBreaker(o.Breaker, report)
	}
	if o.Bulkhead != nil {
		p.bulkhead = bulkhead.New[any](uint(o.Bulkhead.Max))
		p.leave = p.bulkhead.ReleasePermit
	}
	if o.Shed != nil {
		p.shed = newShed(o.Shed)
	}
	if o.Retry != nil || o.Hedge != nil {
		p.budget = newBudget(o.Budget)
	}
	if o.Hedge != nil && o.Hedge.Quantile > 0 {
		p.latency = &latency{quantile: o.Hedge.Quantile}
	}
	p.on = o.Timeout > 0 || o.Deadline != nil || o.Retry != nil || o.Breaker != nil || o.Bulkhead != nil || o.Shed != nil || o.Hedge != nil || o.Fallback != nil
}

// Name returns the name given to New.
func (p *Policy) Name() string { return p.name }

// Stats is a look at a Policy.
type Stats struct {
	// Breaker is Closed where there is none.
	Breaker State
	// FailureRate in the breaker's window, 0 to 1; while open, that which opened it.
	FailureRate float64
	// ShedLimit is the present bound of Shed, ShedInFlight and ShedQueued the
	// calls under it.
	ShedLimit, ShedInFlight, ShedQueued int
}

// Stats returns the present state.
func (p *Policy) Stats() Stats {
	var s Stats
	if p.breaker != nil {
		s.Breaker, s.FailureRate = p.breaker.now()
	}
	if p.shed != nil {
		l := p.shed.limiter
		s.ShedLimit, s.ShedInFlight, s.ShedQueued = l.Limit(), l.Inflight(), l.Queued()
	}
	return s
}

// permit is a place in each part that bounds calls. The zero value has none.
type permit struct {
	policy  *Policy
	start   time.Time
	turn    uint64
	breaker bool // to be settled
	place   bool // in the bulkhead
	shed    adaptivelimiter.Permit
}

// role says who asks for a place.
type role uint8

const (
	server role = iota // a handler
	first              // the first attempt of a call
	extra              // a retry or a hedge
)

func attemptRole(n int, hedge bool) role {
	if n > 1 || hedge {
		return extra
	}
	return first
}

// enter asks the breaker and takes a place. Handlers have no breaker: what they
// protect is this process.
func (p *Policy) enter(ctx context.Context, as role) (permit, *Error) {
	pm := permit{policy: p, start: time.Now()}
	if as != server && p.breaker != nil {
		turn, wait, ok := p.breaker.enter()
		if !ok {
			return pm, p.reject(ctx, ReasonOpen, wait, nil)
		}
		pm.turn, pm.breaker = turn, true
	}
	if p.shed != nil {
		var err error
		if pm.shed, err = p.shed.enter(ctx); err != nil {
			pm.shed = nil
			return pm.refused(ctx, ReasonShed, err)
		}
	}
	if p.bulkhead != nil {
		if err := p.bulkhead.AcquirePermitWithMaxWait(ctx, p.opts.Bulkhead.MaxWait); err != nil {
			return pm.refused(ctx, ReasonFull, err)
		}
		pm.place = true
	}
	if as == first && p.budget != nil {
		p.budget.call() // what is turned away earns no retries
	}
	return pm, nil
}

func (pm *permit) refused(ctx context.Context, why Reason, err error) (permit, *Error) {
	p := pm.policy
	pm.settle(neutral)
	pm.leave()
	if errors.Is(err, bulkhead.ErrFull) || isShed(err) {
		return *pm, p.reject(ctx, why, time.Second, nil)
	}
	return *pm, &Error{Policy: p.name, Reason: ReasonEnded, Err: err}
}

func (p *Policy) reject(ctx context.Context, why Reason, wait time.Duration, cause error) *Error {
	e := &Error{Policy: p.name, Reason: why, RetryAfter: wait, Err: cause, kind: banyan.ErrUnavailable}
	if hook := p.opts.Hooks.OnReject; hook != nil {
		hook(ctx, e)
	}
	return e
}

// settle says how the call went, once; later calls do nothing.
func (pm *permit) settle(o outcome) {
	if pm.breaker {
		pm.breaker = false
		pm.policy.breaker.settle(pm.turn, o)
	}
	if pm.shed == nil {
		return
	}
	if o == neutral {
		pm.shed.Drop() // its duration says nothing about the dependency
	} else {
		pm.shed.Record()
	}
	pm.shed = nil
}

// leave gives the bulkhead's place back, once.
func (pm *permit) leave() {
	if pm.place {
		pm.place = false
		pm.policy.leave()
	}
}

// abandon is for defer: it does nothing after settle and leave, and cleans up
// when a panic came before them.
func (pm *permit) abandon() {
	pm.settle(neutral)
	pm.leave()
}

// given tells what a call means that the caller's context ended: only one that
// had patience says something about the dependency.
func (p *Policy) given(ctx context.Context, start time.Time) outcome {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) && p.opts.Breaker != nil && time.Since(start) >= p.opts.Breaker.Patience {
		return failure
	}
	return neutral
}

// limit applies Deadline.Overall.
func (p *Policy) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.opts.Deadline == nil || p.opts.Deadline.Overall == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, p.opts.Deadline.Overall)
}

// spend asks the budget for an extra call.
func (p *Policy) spend(ctx context.Context, cause error) bool {
	if p.budget.take() {
		return true
	}
	p.reject(ctx, ReasonBudget, 0, cause)
	return false
}
