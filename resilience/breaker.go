package resilience

import (
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// State of a breaker.
type State int

// The states.
const (
	Closed   State = iota // calls go through
	HalfOpen              // a few probes go through
	Open                  // none does
)

func (s State) String() string {
	switch s {
	case HalfOpen:
		return "half-open"
	case Open:
		return "open"
	case Closed:
	}
	return "closed"
}

func stateOf(s circuitbreaker.State) State {
	switch s {
	case circuitbreaker.OpenState:
		return Open
	case circuitbreaker.HalfOpenState:
		return HalfOpen
	case circuitbreaker.ClosedState:
	}
	return Closed
}

// outcome is what a call says about its dependency.
type outcome uint8

const (
	neutral outcome = iota // nothing: the caller's doing
	success
	failure
)

// breaker is failsafe-go's, which keeps the window and the states, with three
// things that its permits lack: a result counts only in the state in which its
// call began; a probe may end without a result, or never, and its place is not
// lost for ever; and changes are reported in their order, outside the locks.
type breaker struct {
	open   time.Duration
	report func(from, to State) // or nil

	mu        sync.Mutex // guards what follows; failsafe-go's lock is inside it
	cb        circuitbreaker.CircuitBreaker[any]
	state     State
	turn      uint64 // raised by each change of state
	probes    int    // admitted in this half-open turn and not settled
	probed    time.Time
	renewing  bool
	changes   [][2]State // not yet reported
	reporting bool
}

func newBreaker(o *Breaker, report func(from, to State)) *breaker {
	b := &breaker{open: o.Open, report: report}
	b.cb = circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(o.FailureRate, uint(o.MinCalls), o.Window).
		WithSuccessThreshold(uint(o.Probes)).
		WithDelay(o.Open).
		OnStateChanged(b.changed).
		Build()
	return b
}

// changed is called by failsafe-go, with mu held by enter or settle.
func (b *breaker) changed(e circuitbreaker.StateChangedEvent) {
	b.turn++
	b.probes = 0
	if b.renewing {
		return
	}
	from := b.state
	b.state = stateOf(e.NewState)
	if b.report != nil {
		b.changes = append(b.changes, [2]State{from, b.state})
	}
}

// enter asks for a place. The turn belongs to settle, the wait to a refused
// caller.
func (b *breaker) enter() (turn uint64, wait time.Duration, ok bool) {
	b.mu.Lock()
	ok = b.cb.TryAcquirePermit()
	if !ok && b.state == HalfOpen && b.stranded() {
		b.renew()
		ok = b.cb.TryAcquirePermit()
	}
	if ok && b.state == HalfOpen {
		b.probes++
		b.probed = time.Now()
	}
	if !ok {
		wait = max(b.cb.RemainingDelay(), time.Second)
	}
	turn = b.turn
	b.unlock()
	return turn, wait, ok
}

// stranded: every permit of failsafe-go went to a probe that said nothing, or
// that has not come back for as long as the breaker would have been open.
func (b *breaker) stranded() bool {
	return b.probes == 0 || time.Since(b.probed) >= b.open
}

// renew starts the half-open state anew, which is the one way to get permits
// back from failsafe-go without a result.
func (b *breaker) renew() {
	b.renewing = true
	b.cb.Open()
	b.cb.HalfOpen()
	b.renewing = false
}

func (b *breaker) settle(turn uint64, o outcome) {
	b.mu.Lock()
	if turn == b.turn {
		if b.state == HalfOpen {
			b.probes--
		}
		switch o {
		case success:
			b.cb.RecordSuccess()
		case failure:
			b.cb.RecordFailure()
		case neutral:
		}
	}
	b.unlock()
}

// unlock releases mu and reports what has changed. One goroutine reports at a
// time, so that the order stays; a hook that panics loses its turn only.
func (b *breaker) unlock() {
	if len(b.changes) == 0 || b.reporting {
		b.mu.Unlock()
		return
	}
	b.reporting = true
	defer func() {
		b.reporting = false
		b.mu.Unlock()
	}()
	for len(b.changes) > 0 {
		next := b.changes[0]
		b.changes = b.changes[1:]
		b.tell(next[0], next[1])
	}
}

// tell calls the hook with mu released.
func (b *breaker) tell(from, to State) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.report(from, to)
}

// now returns the state as a caller would find it: an open breaker whose time is
// over is half-open, although failsafe-go says so only to the next call.
func (b *breaker) now() (State, float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == Open && b.cb.RemainingDelay() == 0 {
		return HalfOpen, b.cb.Metrics().FailureRate()
	}
	return b.state, b.cb.Metrics().FailureRate()
}
