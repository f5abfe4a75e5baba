package resilience

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// round makes an attempt, with a hedge if it is slow.
func (c *call) round() (*http.Response, error) {
	delay, ok := c.policy.hedgeDelay()
	if !c.hedge || !ok {
		return c.once(c.ctx, c.attempt, false)
	}
	h := &race{call: c, number: c.attempt, done: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(c.ctx)
	h.hedgeCtx, h.cancelHedge = context.WithCancelCause(c.ctx)
	h.cancelFirst = cancel
	timer := time.AfterFunc(delay, h.second)
	resp, err := c.once(ctx, c.attempt, false)
	if timer.Stop() {
		h.cancelHedge(nil)
		return tied(resp, cancel), err
	}
	return h.decide(resp, err)
}

// race is between an attempt, made by the caller's goroutine, and its hedge.
type race struct {
	*call
	number                   int // of the attempt
	hedgeCtx                 context.Context
	cancelFirst, cancelHedge context.CancelCauseFunc
	done                     chan struct{} // closed when the hedge has its answer

	mu       sync.Mutex // guards what follows
	over     bool       // somebody has won
	resp     *http.Response
	err      error
	answered bool // the hedge was sent
}

// second runs in a goroutine of its own when the first is slow.
func (h *race) second() {
	defer close(h.done)
	h.mu.Lock()
	over := h.over
	h.mu.Unlock()
	if over || !fits(h.ctx, 0) || !h.policy.spend(h.ctx, nil) {
		return
	}
	if hook := h.policy.opts.Hooks.OnHedge; hook != nil {
		hook(h.ctx, h.policy.name)
	}
	resp, err := h.once(h.hedgeCtx, h.number, true)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		discardNow(resp)
		return
	}
	h.resp, h.err, h.answered = resp, err, true
	if good(h.policy, resp, err) {
		h.over = true
		h.cancelFirst(errLost)
	}
}

// decide chooses when the first has its answer and the hedge was started.
func (h *race) decide(resp *http.Response, err error) (*http.Response, error) {
	h.mu.Lock()
	won := !h.over && good(h.policy, resp, err)
	h.over = h.over || won
	h.mu.Unlock()
	if won {
		h.cancelHedge(errLost)
		h.dropHedge()
		return tied(resp, h.cancelFirst), nil
	}
	<-h.done
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answered && good(h.policy, h.resp, h.err) {
		discardNow(resp)
		h.cancelFirst(errLost)
		return tied(h.resp, h.cancelHedge), nil
	}
	discardNow(h.resp)
	h.cancelHedge(errLost)
	return tied(resp, h.cancelFirst), err
}

// dropHedge closes the answer of a hedge that came before the first won: a
// failure, which waited for the first.
func (h *race) dropHedge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	discardNow(h.resp)
	h.resp = nil
}

func good(p *Policy, resp *http.Response, err error) bool {
	return err == nil && p.judge(resp, nil) != failure
}

func discardNow(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}

// tied ends the context of a racer with its body.
func tied(resp *http.Response, cancel context.CancelCauseFunc) *http.Response {
	if resp == nil || resp.Body == http.NoBody {
		cancel(nil)
		return resp
	}
	resp.Body = onClose(resp.Body, nil, cancel)
	return resp
}

// hedgeDelay returns when a second request is due, if one may be made.
func (p *Policy) hedgeDelay() (time.Duration, bool) {
	h := p.opts.Hedge
	if h == nil {
		return 0, false
	}
	if q := p.latency.value(); q > 0 {
		return max(q, h.Delay), true
	}
	return h.Delay, h.Delay > 0
}

const (
	latencies    = 128 // remembered
	latenciesMin = 32  // needed
	latenciesNew = 16  // between two computations
)

// latency keeps a quantile of the latest latencies.
type latency struct {
	quantile float64

	mu   sync.Mutex // guards what follows
	ring [latencies]time.Duration
	n    int // ever added
	now  time.Duration
}

// add and value do nothing on nil, which is a Policy without a quantile.
func (l *latency) add(d time.Duration) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%latencies] = d
	l.n++
	if l.n < latenciesMin || l.n%latenciesNew != 0 {
		return
	}
	sorted := l.ring // a copy
	known := sorted[:min(l.n, latencies)]
	slices.Sort(known)
	l.now = known[int(l.quantile*float64(len(known)))]
}

func (l *latency) value() time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}
