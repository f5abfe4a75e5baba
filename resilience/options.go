package resilience

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
)

// Options of a Policy. A nil or zero part is off and costs nothing; nil Options
// are a Policy that only lets trace and correlation headers travel.
type Options struct {
	// Timeout ends an attempt that has not answered: in Transport when no
	// response header arrived, in Handler when the answer has not begun, in Do
	// when the function has not returned. A body that streams for hours is not
	// cut. Default: 0, none.
	Timeout time.Duration
	// Deadline bounds whole calls and makes what is left of them travel.
	Deadline *Deadline
	// Retry sends a failed call again where that is safe. Transport and Do.
	Retry *Retry
	// Budget bounds what Retry and Hedge may add, together. Default: the zero
	// Budget.
	Budget *Budget
	// Breaker stops calling a dependency that fails. Transport and Do.
	Breaker *Breaker
	// Bulkhead bounds how many calls are under way.
	Bulkhead *Bulkhead
	// Shed bounds them too, finds the bound itself, and turns away calls of low
	// priority first.
	Shed *Shed
	// Hedge sends a slow safe request a second time. Transport only.
	Hedge *Hedge
	// Fallback answers when everything else has failed.
	Fallback *Fallback
	// Hooks are told what happens.
	Hooks *Hooks
}

// Deadline bounds whole calls: all attempts, the waits between them, and the
// body. It travels in the header X-Request-Timeout, whose value is the time
// that is left in whole milliseconds, 1 to 9 digits. Handler reads the header,
// Transport writes it when the context has a deadline.
type Deadline struct {
	// Overall is the most that a call may take, with its body: leave it 0 where
	// answers stream without end. A context or a header that says less wins.
	// Default: 0, none.
	Overall time.Duration
	// Max caps what the header of an incoming request may ask for. Default: 1h.
	Max time.Duration
}

// Retry says how a failed call is sent again. Transport repeats requests of an
// idempotent method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) or with an
// Idempotency-Key header, and only if their body can be had again (none, or
// GetBody). Do repeats any function that is not called under NoRetry.
type Retry struct {
	// MaxAttempts counts the first one too. Default: 3.
	MaxAttempts int
	// Backoff before attempt n is a random time between 0 and Backoff·2^(n-2),
	// at most MaxBackoff. Defaults: 50ms, 2s.
	Backoff, MaxBackoff time.Duration
	// MaxRetryAfter is how long a Retry-After header may make a call wait. A
	// server that asks for more is not asked again. Default: 5s.
	MaxRetryAfter time.Duration
	// Statuses are the responses that are retried, 429 only if it has a
	// Retry-After. Default: 429, 502, 503, 504.
	Statuses []int
	// Errors selects the errors of Do's function that are retried; those of
	// timeouts are asked too. Default: banyan.Retryable.
	Errors func(error) bool
}

// Budget bounds the extra load: in every window of 10 s retries and hedges
// together are at most Ratio of the calls, or MinPerSecond if that is more.
type Budget struct {
	// Ratio is the share of calls, 0 to 1. Default: 0.2.
	Ratio float64
	// MinPerSecond lets rare calls be retried at all. Negative: none. Default: 1.
	MinPerSecond int
}

// Breaker opens when too large a share of the calls fails, then turns calls away
// without trying. Callers' faults never count: responses below 500, errors of
// kinds such as banyan.ErrInvalid, request bodies that could not be read, and
// calls that the caller gave up.
type Breaker struct {
	// FailureRate opens the breaker, in steps of 0.01. Default: 0.5.
	FailureRate float64
	// MinCalls in Window are needed before the rate means anything. Default: 20.
	MinCalls int
	// Window is how far back the rate looks. Default: 10s.
	Window time.Duration
	// Open is how long it stays open before probes are let through. Default: 5s.
	Open time.Duration
	// Probes is how many calls may be under way at once while half-open, and how
	// many have to succeed to close; one failure opens again. Default: 3.
	Probes int
	// Patience is how long a call must have waited to count as a failure when
	// the caller's own deadline ended it, so that impatient callers open nothing.
	// Default: Timeout, at most 5s; 5s without a Timeout.
	Patience time.Duration
	// Counts says whether an answer is a failure of the dependency; resp is nil
	// in Do and where err is not. Default: errors other than callers' faults, and
	// statuses from 500 but 501 and 505.
	Counts func(resp *http.Response, err error) bool
}

// Bulkhead bounds the calls under way. A call of Transport is under way until
// its response body was read or closed.
type Bulkhead struct {
	// Max calls at once. Required.
	Max int
	// MaxWait is how long a call may wait for a place. Default: 0, not at all.
	MaxWait time.Duration
}

// Shed is a bulkhead whose bound follows the measured latency. When calls have
// to queue, those of low priority are turned away first. In Transport a call
// counts until its response header, in Handler until the handler returns: serve
// streams under a policy without Shed.
type Shed struct {
	// Min, Max and Initial bound of the calls under way. Defaults: 1, 200, 20.
	Min, Max, Initial int
	// MaxWait is how long a call may queue. Default: 100ms.
	MaxWait time.Duration
	// Priority of a request. Default: that of its context, see WithPriority.
	Priority func(*http.Request) Priority
}

// Hedge sends a GET, HEAD, OPTIONS or TRACE without a body a second time when
// the first has not answered in time. The first good answer wins; the other
// call is cancelled and its body closed. Hedges are paid from the Budget.
type Hedge struct {
	// Delay before the second request. Required without Quantile; with it, the
	// least delay.
	Delay time.Duration
	// Quantile of the latest 128 latencies to wait for, between 0 and 1, once
	// there are 32; until then Delay counts, or nothing is hedged. Default: off.
	Quantile float64
}

// Fallback answers when everything else failed, unless the caller cancelled.
// Each of the three ways to use a Policy has its own; nil is none.
type Fallback struct {
	// Do replaces the error of Policy.Do.
	Do func(ctx context.Context, cause error) error
	// Response replaces an error of the transport, or a response that a Breaker
	// would count as a failure and whose body is then closed. The cause is
	// usually an *Error.
	Response func(req *http.Request, cause error) (*http.Response, error)
	// Handler serves requests that Policy.Handler turned away; Cause says why.
	Handler http.Handler
}

// Hooks are called as things happen, by the goroutine of the call: they must be
// quick and safe for concurrent use. Nil ones are skipped.
type Hooks struct {
	// OnRetry comes before the wait for the given attempt (2, 3, …).
	OnRetry func(ctx context.Context, policy string, attempt int, wait time.Duration, cause error)
	// OnBreaker reports changes of state, in their order, one at a time.
	OnBreaker func(policy string, from, to State)
	// OnReject reports calls that were turned away, and with ReasonBudget retries
	// and hedges that were not made.
	OnReject func(ctx context.Context, e *Error)
	// OnHedge comes before a second request.
	OnHedge func(ctx context.Context, policy string)
}

func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// defaults fills in copies, so that the caller's structs stay as they are.
func (o *Options) defaults() {
	o.Deadline = fill(o.Deadline, func(d *Deadline) { or(&d.Max, time.Hour) })
	o.Retry = fill(o.Retry, func(r *Retry) {
		or(&r.MaxAttempts, 3)
		or(&r.Backoff, 50*time.Millisecond)
		or(&r.MaxBackoff, 2*time.Second)
		or(&r.MaxRetryAfter, 5*time.Second)
		if r.Statuses == nil {
			r.Statuses = []int{429, 502, 503, 504}
		}
		r.Statuses = slices.Clone(r.Statuses)
		if r.Errors == nil {
			r.Errors = banyan.Retryable
		}
	})
	if o.Budget == nil {
		o.Budget = &Budget{}
	}
	o.Budget = fill(o.Budget, func(b *Budget) {
		or(&b.Ratio, 0.2)
		or(&b.MinPerSecond, 1)
	})
	o.Breaker = fill(o.Breaker, func(b *Breaker) {
		or(&b.FailureRate, 0.5)
		or(&b.MinCalls, 20)
		or(&b.Window, 10*time.Second)
		or(&b.Open, 5*time.Second)
		or(&b.Probes, 3)
		or(&b.Patience, min(cmpOr(o.Timeout, 5*time.Second), 5*time.Second))
	})
	o.Bulkhead = fill(o.Bulkhead, func(*Bulkhead) {})
	o.Shed = fill(o.Shed, func(s *Shed) {
		or(&s.Min, 1)
		or(&s.Max, max(200, s.Min))
		or(&s.Initial, min(max(20, s.Min), s.Max))
		or(&s.MaxWait, 100*time.Millisecond)
	})
	o.Hedge = fill(o.Hedge, func(*Hedge) {})
	o.Fallback = fill(o.Fallback, func(*Fallback) {})
	o.Hooks = fill(o.Hooks, func(*Hooks) {})
}

// within is false for NaN too.
func within(v, least, most float64) bool { return v >= least && v <= most }

func cmpOr(a, b time.Duration) time.Duration {
	if a > 0 {
		return a
	}
	return b
}

func fill[T any](part *T, set func(*T)) *T {
	if part == nil {
		return nil
	}
	c := *part
	set(&c)
	return &c
}

// check is called after defaults.
func (o *Options) check() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(o.Timeout < 0, "Timeout is %v: it must not be negative", o.Timeout)
	if d := o.Deadline; d != nil {
		refuse(d.Overall < 0 || d.Max < 0, "Deadline %+v: times must not be negative", *d)
	}
	if r := o.Retry; r != nil {
		refuse(r.MaxAttempts < 1, "Retry.MaxAttempts is %d: at least 1 is needed", r.MaxAttempts)
		refuse(r.Backoff < 0 || r.MaxBackoff < r.Backoff || r.MaxRetryAfter < 0, "Retry: Backoff %v, MaxBackoff %v, MaxRetryAfter %v: they must not be negative, nor Backoff above MaxBackoff", r.Backoff, r.MaxBackoff, r.MaxRetryAfter)
	}
	refuse(!within(o.Budget.Ratio, 0, 1), "Budget.Ratio is %v: it must be between 0 and 1", o.Budget.Ratio)
	if b := o.Breaker; b != nil {
		refuse(!within(b.FailureRate, 0.01, 1), "Breaker.FailureRate is %v: it must be between 0.01 and 1", b.FailureRate)
		refuse(b.MinCalls < 1 || b.Probes < 1 || b.Probes > 10_000, "Breaker: MinCalls %d, Probes %d: at least 1 is needed, and at most 10000 probes", b.MinCalls, b.Probes)
		refuse(b.Window < 10 || b.Open <= 0 || b.Patience < 0, "Breaker: Window %v, Open %v, Patience %v: they must be positive", b.Window, b.Open, b.Patience)
	}
	if b := o.Bulkhead; b != nil {
		refuse(b.Max < 1 || b.Max > 1<<20 || b.MaxWait < 0, "Bulkhead: Max %d, MaxWait %v: Max is needed, from 1 to 1048576, and a wait that is not negative", b.Max, b.MaxWait)
	}
	if s := o.Shed; s != nil {
		refuse(s.Min < 1 || s.Max < s.Min || s.Initial < s.Min || s.Initial > s.Max || s.MaxWait < 0, "Shed: Min %d, Initial %d, Max %d, MaxWait %v: they must be positive and in this order", s.Min, s.Initial, s.Max, s.MaxWait)
	}
	if h := o.Hedge; h != nil {
		refuse(h.Delay < 0 || !within(h.Quantile, 0, 0.9999) || (h.Delay == 0 && h.Quantile == 0), "Hedge: Delay %v, Quantile %v: a delay, or a quantile between 0 and 1, is needed", h.Delay, h.Quantile)
	}
	return errors.Join(errs...)
}
