package resilience

import (
	"context"
	"errors"
	"net/http"
)

type causeKey struct{}

// Cause returns why Fallback.Handler serves a request, or nil.
func Cause(ctx context.Context) error {
	err, _ := ctx.Value(causeKey{}).(error)
	return err
}

// Handler returns next behind the parts of the Policy that protect a server:
// Bulkhead, Shed, Timeout, Deadline and Fallback. What it turns away, and what
// did not begin to answer in time, is answered by Answer.
//
// next runs in the goroutine of the request. When the time is over its context
// ends and the client gets a 504 at once, whatever next does; its own answer
// then fails with http.ErrHandlerTimeout. An answer that has begun is left
// alone, except that a Deadline still ends the context. Flushing, hijacking and
// trailers work.
func (p *Policy) Handler(next http.Handler) http.Handler {
	if !p.on {
		return next
	}
	return &handler{policy: p, next: next}
}

type handler struct {
	policy *Policy
	next   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := h.policy
	r, cancel := p.incoming(r)
	defer cancel()
	enter := r.Context()
	if p.shed != nil && p.opts.Shed.Priority != nil {
		enter = WithPriority(enter, p.opts.Shed.Priority(r))
	}
	pm, rejected := p.enter(enter, server)
	if rejected != nil {
		h.refuse(w, r, rejected)
		return
	}
	defer pm.abandon()
	h.serve(w, r)
	if !errors.Is(r.Context().Err(), context.Canceled) {
		pm.settle(success) // else its duration is the client's
	}
}

func (h *handler) refuse(w http.ResponseWriter, r *http.Request, why *Error) {
	if f := h.policy.opts.Fallback; f != nil && f.Handler != nil {
		f.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), causeKey{}, error(why))))
		return
	}
	Answer(w, why)
}

// serve lets next answer in time.
func (h *handler) serve(w http.ResponseWriter, r *http.Request) {
	limit := h.policy.timeLeft(r.Context())
	if limit == 0 {
		h.next.ServeHTTP(w, r)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	a := newAnswer(h.policy, w, r, cancel)
	a.start(limit)
	defer a.stop()
	h.next.ServeHTTP(a, r.WithContext(ctx))
	a.finish(ctx)
}
