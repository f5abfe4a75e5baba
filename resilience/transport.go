package resilience

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// Transport returns a RoundTripper that sends requests through next under the
// Policy; nil is http.DefaultTransport. Trace and correlation headers of the
// request's context are set where the request has none.
//
// Timeout covers an attempt until its response header; the body streams as long
// as it likes. The place in the bulkhead is held until the body was read to its
// end or closed. Errors are *Error, inside the client's *url.Error.
func (p *Policy) Transport(next http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = http.DefaultTransport
	}
	return &transport{policy: p, next: next}
}

type transport struct {
	policy *Policy
	next   http.RoundTripper
}

// CloseIdleConnections makes http.Client's reach the transport below.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	p := t.policy
	if !p.on {
		h := headers{from: req.Header}
		h.metadata(req.Context())
		if h.to != nil {
			req = req.WithContext(req.Context())
			req.Header = h.to
		}
		return t.next.RoundTrip(req)
	}
	ctx, cancel := p.limit(req.Context())
	c := &call{transport: t, req: req, ctx: ctx}
	c.prepare()
	resp, err := c.fallback(c.run())
	if err != nil {
		cancel()
		return nil, err
	}
	if p.opts.Deadline != nil && p.opts.Deadline.Overall > 0 {
		resp.Body = onClose(resp.Body, nil, func(error) { cancel() })
	}
	return resp, nil
}

// call is one RoundTrip: attempts, each perhaps hedged.
type call struct {
	*transport
	req *http.Request
	ctx context.Context // the request's, with Deadline.Overall

	retry, hedge bool
	plain        bool // attempts have the context of the request
	attempt      int
	unknown      bool        // an earlier attempt may have been done
	badBody      atomic.Bool // the request's body could not be read
	bodyGone     bool        // the request's own body was handed on or closed
}

func (c *call) prepare() {
	o := &c.policy.opts
	c.plain = o.Timeout == 0 && o.Retry == nil && o.Hedge == nil && (o.Deadline == nil || o.Deadline.Overall == 0)
	if o.Retry == nil && o.Hedge == nil {
		return
	}
	if marked(c.ctx) || c.req.Header.Get(HeaderAttempt) != "" || !repeatable(c.req) {
		return
	}
	c.retry = o.Retry != nil
	c.hedge = o.Hedge != nil && safe(c.req.Method) && !hasBody(c.req)
}

func (c *call) run() (*http.Response, error) {
	for {
		c.attempt++
		resp, err := c.round()
		wait, cause, again := c.worthRetry(resp, err)
		if !again || !c.policy.retry(c.ctx, c.attempt, wait, cause) {
			return resp, c.finish(err)
		}
		c.unknown = c.unknown || errors.Is(err, banyan.ErrUnknown)
		if resp != nil {
			c.unknown = c.unknown || c.mayBeDone(resp.StatusCode)
			discard(resp)
		}
		if err := sleep(c.ctx, wait); err != nil {
			return nil, c.finish(c.error(ReasonEnded, err))
		}
	}
}

// mayBeDone: a 5xx answer to an unsafe request leaves open whether it was done;
// 503 and 429 say that it was not.
func (c *call) mayBeDone(status int) bool {
	return status >= 500 && status != http.StatusServiceUnavailable && !safe(c.req.Method)
}

func (c *call) finish(err error) error {
	if err == nil {
		return nil
	}
	c.closeBody()
	return c.policy.finish(err, c.attempt, c.unknown)
}

// closeBody closes a request body that never reached the transport below, as a
// RoundTripper must.
func (c *call) closeBody() {
	if !c.bodyGone && c.req.Body != nil {
		_ = c.req.Body.Close()
	}
	c.bodyGone = true
}

// worthRetry decides by the answer alone.
func (c *call) worthRetry(resp *http.Response, err error) (time.Duration, error, bool) {
	if !c.retry {
		return 0, nil, false
	}
	r := c.policy.opts.Retry
	wait := r.backoff(c.attempt + 1)
	if err != nil {
		var e *Error
		again := errors.As(err, &e) && (e.Reason == ReasonTimeout || e.Reason == ReasonFailed)
		return wait, err, again
	}
	if !slices.Contains(r.Statuses, resp.StatusCode) {
		return 0, nil, false
	}
	asked, ok := retryAfter(resp.Header)
	if asked > r.MaxRetryAfter || (!ok && resp.StatusCode == http.StatusTooManyRequests) {
		return 0, nil, false
	}
	return wait + asked, c.statusError(resp), true // the jitter keeps callers apart that were told the same time
}

func (c *call) statusError(resp *http.Response) *Error {
	after, _ := retryAfter(resp.Header)
	return &Error{Policy: c.policy.name, Reason: ReasonStatus, Status: resp.StatusCode, RetryAfter: after, Attempts: c.attempt, kind: banyan.ErrUnavailable}
}

func (c *call) error(why Reason, err error) *Error {
	e := &Error{Policy: c.policy.name, Reason: why, Err: err}
	var op *net.OpError
	switch known := banyan.Kind(err); {
	case why == ReasonRequest:
		e.kind = banyan.ErrInvalid
	case why == ReasonEnded && safe(c.req.Method):
	case known != nil: // by a Policy below
		e.kind = known
	case safe(c.req.Method), errors.As(err, &op) && op.Op == "dial":
		e.kind = banyan.ErrUnavailable
	default:
		e.kind = banyan.ErrUnknown
	}
	return e
}

// fallback replaces what failed.
func (c *call) fallback(resp *http.Response, err error) (*http.Response, error) {
	f := c.policy.opts.Fallback
	if f == nil || f.Response == nil || errors.Is(c.req.Context().Err(), context.Canceled) {
		return resp, err
	}
	if err == nil {
		if c.policy.judge(resp, nil) != failure {
			return resp, nil
		}
		err = c.statusError(resp)
		discard(resp)
	}
	resp, err = f.Response(c.req, err)
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, fmt.Errorf("resilience: call %s: %w: Fallback.Response returned neither a response nor an error", c.policy.name, banyan.ErrInvalid)
	case resp.Body == nil:
		resp.Body = http.NoBody
	}
	return resp, nil
}

// judge is what an answer says about the dependency.
func (p *Policy) judge(resp *http.Response, err error) outcome {
	if b := p.opts.Breaker; b != nil && b.Counts != nil {
		return countsAs(b.Counts(resp, err))
	}
	if err != nil {
		return failure
	}
	s := resp.StatusCode
	return countsAs(s >= 500 && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported)
}
