package resilience

import (
	"context"
	"errors"
	"time"

	"github.com/banyanhq/banyan"
)

// Do calls fn under the Policy: a database call, the handler of an event, a
// client of another protocol. fn gets a context that ends with the attempt and
// must obey it. With Retry on, fn may run several times, one after the other:
// it must be safe to repeat, or be called under NoRetry.
//
// fn's errors come back as they are, or inside an *Error that says more.
func (p *Policy) Do(ctx context.Context, fn func(ctx context.Context) error) error {
	if !p.on {
		return fn(ctx)
	}
	caller := ctx
	ctx, cancel := p.limit(ctx)
	defer cancel()
	err := p.attempts(ctx, fn)
	if err != nil && p.opts.Fallback != nil && p.opts.Fallback.Do != nil && !errors.Is(caller.Err(), context.Canceled) {
		return p.opts.Fallback.Do(caller, err)
	}
	return err
}

func (p *Policy) attempts(ctx context.Context, fn func(ctx context.Context) error) error {
	retry := p.opts.Retry != nil && !marked(ctx)
	inner := ctx
	if retry {
		inner = NoRetry(ctx) // what fn calls does not multiply these attempts
	}
	unknown := false
	for made := 1; ; made++ {
		away, err := p.once(inner, made, fn)
		if err == nil {
			return nil
		}
		again := retry && !away && p.opts.Retry.Errors(err)
		wait := p.wait(again, made)
		again = again && p.retry(ctx, made, wait, err)
		if !again {
			return p.finish(err, made, unknown)
		}
		unknown = unknown || errors.Is(err, banyan.ErrUnknown)
		if ended := sleep(ctx, wait); ended != nil {
			return p.finish(&Error{Policy: p.name, Reason: ReasonEnded, Err: ended}, made, unknown)
		}
	}
}

func (p *Policy) wait(again bool, made int) (d time.Duration) {
	if again {
		d = p.opts.Retry.backoff(made + 1)
	}
	return d
}

// once makes an attempt; away says that it was turned away before fn ran.
func (p *Policy) once(ctx context.Context, made int, fn func(ctx context.Context) error) (away bool, err error) {
	pm, rejected := p.enter(ctx, attemptRole(made, false))
	if rejected != nil {
		return true, rejected
	}
	defer pm.abandon()
	run := ctx
	if p.opts.Timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeoutCause(ctx, p.opts.Timeout, errTimeout)
		defer cancel()
	}
	err = fn(run)
	late := err != nil && errors.Is(context.Cause(run), errTimeout) && !errors.Is(context.Cause(ctx), errTimeout) // another Policy's
	pm.settle(p.judgeDo(ctx, &pm, err, late))
	if late {
		return false, p.lateError(err)
	}
	return false, err
}

// lateError: an attempt that was cut may have done its work, unless fn's error
// knows better.
func (p *Policy) lateError(err error) error {
	kind := banyan.Kind(err)
	if kind == nil {
		kind = banyan.ErrUnknown
	}
	return &Error{Policy: p.name, Reason: ReasonTimeout, Err: err, kind: kind}
}

func (p *Policy) judgeDo(ctx context.Context, pm *permit, err error, late bool) outcome {
	switch b := p.opts.Breaker; {
	case err == nil:
		return success
	case ctx.Err() != nil:
		return p.given(ctx, pm.start)
	case late:
		return failure
	case b != nil && b.Counts != nil:
		return countsAs(b.Counts(nil, err))
	}
	switch banyan.Kind(err) {
	case nil:
		if errors.Is(err, context.Canceled) {
			return neutral
		}
		return failure
	case banyan.ErrUnavailable, banyan.ErrUnknown, banyan.ErrClosed, banyan.ErrCorrupt:
		return failure
	}
	return success // it answered; the question was wrong
}

func countsAs(failed bool) outcome {
	if failed {
		return failure
	}
	return success
}

// finish adds what one attempt cannot know. An earlier attempt whose outcome is
// unknown makes "nothing was done" untrue.
func (p *Policy) finish(err error, made int, unknown bool) error {
	kind := banyan.Kind(err)
	if unknown && (kind == nil || errors.Is(kind, banyan.ErrUnavailable)) {
		kind = banyan.ErrUnknown
	}
	own, ok := err.(*Error) //nolint:errorlint // only the outermost may be changed
	if !ok {
		if made == 1 {
			return err
		}
		return &Error{Policy: p.name, Reason: ReasonFailed, Attempts: made, Err: err, kind: kind}
	}
	e := *own // a hook may have kept the original
	e.kind, e.Attempts = kind, made
	if e.turnedAway() {
		e.Attempts--
	}
	return &e
}
