package resilience

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// once sends the request one time, as an attempt or as the hedge of one.
func (c *call) once(ctx context.Context, attempt int, hedge bool) (*http.Response, error) {
	p := c.policy
	enter := ctx
	if p.shed != nil && p.opts.Shed.Priority != nil {
		enter = WithPriority(ctx, p.opts.Shed.Priority(c.req))
	}
	pm, rejected := p.enter(enter, attemptRole(attempt, hedge))
	if rejected != nil {
		return nil, rejected
	}
	defer pm.abandon()
	t := c.timed(ctx)
	defer t.disarm()
	req, err := c.request(t.ctx, attempt, hedge)
	if err != nil {
		t.end()
		return nil, c.error(ReasonRequest, err)
	}
	resp, err := c.next.RoundTrip(req)
	if t.late() && resp != nil {
		discardNow(resp) // its context has ended, nobody could read it
		err = errTimeout
	}
	if err != nil {
		fault := c.fault(ctx, t.ctx, err)
		pm.settle(c.blame(ctx, &pm, fault))
		t.end()
		return nil, fault
	}
	said := p.judge(resp, nil)
	pm.settle(said)
	if said == success {
		p.latency.add(time.Since(pm.start)) // failures are often fast
	}
	c.hold(resp, &pm, t)
	return resp, nil
}

// hold ties what the call occupies to the response's body.
func (c *call) hold(resp *http.Response, pm *permit, t timed) {
	resp.Request = c.req
	if resp.Body == nil || resp.Body == http.NoBody {
		resp.Body = http.NoBody
		pm.leave()
		t.end()
		return
	}
	if !pm.place && t.cancel == nil {
		return
	}
	var leave func()
	if pm.place {
		pm.place, leave = false, c.policy.leave // now the body's
	}
	resp.Body = onClose(resp.Body, leave, t.cancel)
}

// timed is the context of one attempt: a timer ends it until stopped. It is not
// a deadline, because the body must outlive it.
type timed struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

func (c *call) timed(ctx context.Context) timed {
	limit := c.policy.opts.Timeout
	if limit == 0 && !c.retry {
		return timed{ctx: ctx}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	t := timed{ctx: ctx, cancel: cancel}
	if limit > 0 {
		t.timer = time.AfterFunc(limit, func() { cancel(errTimeout) })
	}
	return t
}

// disarm stops the timer; after late and end it does nothing.
func (t *timed) disarm() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// late stops the timer and reports whether it was too late for that.
func (t *timed) late() bool { return t.timer != nil && !t.timer.Stop() }

func (t *timed) end() {
	if t.cancel != nil {
		t.cancel(nil)
	}
}

// request makes the request of an attempt: own context, headers and body.
func (c *call) request(ctx context.Context, attempt int, hedge bool) (*http.Request, error) {
	h := headers{from: c.req.Header}
	h.metadata(c.ctx)
	if c.policy.opts.Deadline != nil {
		h.timeout(c.ctx)
	}
	if c.retry || c.hedge {
		h.set(HeaderAttempt, strconv.Itoa(attempt))
	} else if marked(c.ctx) && len(h.from[HeaderAttempt]) == 0 {
		h.set(HeaderAttempt, "1")
	}
	if c.hedge && h.to == nil {
		h.to = h.from.Clone() // the loser may still read it when the caller has the answer
	}
	req := c.req
	if !c.plain || h.to != nil || hasBody(req) {
		req = req.WithContext(ctx)
	}
	if h.to != nil {
		req.Header = h.to
	}
	if !hasBody(c.req) {
		return req, nil
	}
	return req, c.body(req)
}

// body gives an attempt its own reader: a consumed one is never sent again.
func (c *call) body(req *http.Request) error {
	body := c.req.Body
	if c.bodyGone {
		var err error
		if body, err = c.req.GetBody(); err != nil {
			return err
		}
	}
	c.bodyGone = true
	req.Body = &source{ReadCloser: body, bad: &c.badBody}
	return nil
}

// fault turns what the transport below said into an *Error.
func (c *call) fault(ctx, attempt context.Context, err error) *Error {
	switch {
	case c.badBody.Load():
		return c.error(ReasonRequest, err)
	case ctx.Err() != nil:
		ended := ctx.Err()
		if !errors.Is(err, ended) {
			err = errors.Join(ended, err) // a cause given by the caller hides it
		}
		return c.error(ReasonEnded, err)
	case errors.Is(context.Cause(attempt), errTimeout):
		return c.error(ReasonTimeout, nil)
	}
	return c.error(ReasonFailed, err)
}

func (c *call) blame(ctx context.Context, pm *permit, fault *Error) outcome {
	switch fault.Reason {
	case ReasonRequest:
		return neutral
	case ReasonEnded: // also the loser of a race
		return c.policy.given(ctx, pm.start)
	}
	return c.policy.judge(nil, fault)
}
