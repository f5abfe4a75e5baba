package compose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
)

// state of a part, or of one of its items.
type state int

const (
	missing state = iota // it failed, or what it needs did
	empty                // there is no such thing, and that is allowed
	present
)

// answer is what a service said.
type answer struct {
	state state
	body  value // of present
}

// result of a part. It is written before its done is closed, and read after.
type result struct {
	answer
	items  []answer // of for_each
	partly bool     // some items are missing
}

// run is the work for one inbound request. Nothing of it outlives the request, so
// nothing is shared between two.
type run struct {
	*plan
	handler  *Handler
	in       *http.Request
	sent     http.Header // what services may see of the client's header
	query    url.Values
	queryErr error

	ctx     context.Context // ends with the request, so it may be in a struct
	cancel  context.CancelCauseFunc
	places  chan struct{} // taken by calls that are under way
	calls   atomic.Int64
	bytes   atomic.Int64
	results []result
	done    []chan struct{}

	mu     sync.Mutex // guards what follows
	first  *failure   // of a required part
	fresh  freshness
	panics any
}

var (
	errLate   = errors.New("the deadline has passed")
	errFailed = fmt.Errorf("a required part has failed: %w", context.Canceled) // nobody is to blame
	errWhole  = errors.New("all answers together are larger than max_bytes")
	errEmpty  = errors.New("there is no such value, and that is allowed")
)

func newRun(h *Handler, in *http.Request) *run {
	r := &run{
		plan: h.plan, handler: h, in: in, sent: outgoing(in.Header),
		places: make(chan struct{}, h.parallel), results: make([]result, len(h.parts)), done: make([]chan struct{}, len(h.parts)),
	}
	r.query, r.queryErr = url.ParseQuery(in.URL.RawQuery)
	for i := range r.done {
		r.done[i] = make(chan struct{})
	}
	return r
}

// all asks for all parts and waits for them.
func (r *run) all() {
	ctx, stop := context.WithTimeoutCause(r.in.Context(), r.timeout, errLate)
	defer stop()
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	var parts sync.WaitGroup
	for _, p := range r.parts {
		parts.Go(func() { r.part(p) })
	}
	parts.Wait()
	if r.panics != nil {
		panic(r.panics) // where the server expects it
	}
}

// part waits for what a part needs, and asks for it.
func (r *run) part(p *part) {
	defer close(r.done[p.index])
	defer r.caught()
	for _, n := range p.needs {
		<-r.done[n.index] // it ends in any case
	}
	res := &r.results[p.index]
	if s := r.ready(p); s != present {
		res.state = s
		return
	}
	ctx, cancel := r.ctx, context.CancelFunc(func() {})
	if p.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(r.ctx, p.Timeout, errLate)
	}
	defer cancel()
	if p.list != nil {
		res.state = r.each(ctx, p, res)
		return
	}
	res.answer = r.one(ctx, p)
}

// ready tells what becomes of a part because of those that it needs.
func (r *run) ready(p *part) state {
	s := present
	for _, n := range p.hard {
		s = min(s, r.results[n.index].state)
	}
	return s
}

// one asks for a part.
func (r *run) one(ctx context.Context, p *part) answer {
	t, err := p.get.target("", scope{run: r, part: p}.get)
	if err == nil {
		var v value
		if v, err = r.call(ctx, p, t); err == nil {
			return answer{present, v}
		}
	}
	return answer{state: r.settle(p, err)}
}

// settle decides what an error makes of a part, or of an item.
func (r *run) settle(p *part, err error) state {
	if errors.Is(err, errEmpty) {
		return empty
	}
	f := p.failure(err)
	switch cause := context.Cause(r.ctx); {
	case cause != nil && !errors.Is(cause, errLate) && !errors.Is(cause, context.DeadlineExceeded):
		return missing // cancelled: it is not the part that failed
	default:
		r.handler.failed(r.in, p.name, f)
	}
	if p.required() {
		r.fail(f)
	}
	return missing
}

// fail ends everything because of a required part.
func (r *run) fail(f *failure) {
	r.mu.Lock()
	if r.first == nil {
		r.first = f
	}
	r.mu.Unlock()
	r.cancel(errFailed)
}

// caught keeps a panic for the goroutine that serves the request.
func (r *run) caught() {
	v := recover()
	if v == nil {
		return
	}
	r.mu.Lock()
	if r.panics == nil {
		r.panics = v
	}
	r.mu.Unlock()
	r.cancel(errFailed)
}
