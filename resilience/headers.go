package resilience

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/banyanhq/banyan"
)

// The headers that travel besides traceparent, tracestate and X-Correlation-Id.
const (
	// HeaderTimeout carries the time that the caller still waits, in whole
	// milliseconds, 1 to 9 digits. It is a duration, so clocks need not agree.
	HeaderTimeout = "X-Request-Timeout"
	// HeaderAttempt marks a request that its sender repeats if need be: the
	// number of the attempt, from 1. Whoever gets it makes its own calls once, so
	// that layers do not multiply their retries.
	HeaderAttempt = "X-Retry-Attempt"

	headerCorrelation = "X-Correlation-Id"
	headerTraceParent = "Traceparent"
	headerTraceState  = "Tracestate"
	// keyTraceState is where banyan.Metadata keeps what has no field.
	keyTraceState = "tracestate"
)

// parseTimeout reads HeaderTimeout; anything but 1 to 9 digits, and 0, is nothing.
func parseTimeout(v string) (time.Duration, bool) {
	n, ok := parseDigits(v)
	return time.Duration(n) * time.Millisecond, ok
}

func parseDigits(v string) (int, bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = n*10 + int(v[i]-'0')
	}
	return n, n > 0
}

// headers collects what is to be set on an outgoing request, and copies the
// request's own only if there is something.
type headers struct {
	from, to http.Header
}

func (h *headers) set(key, value string) {
	if h.to == nil {
		h.to = h.from.Clone()
		if h.to == nil {
			h.to = http.Header{}
		}
	}
	h.to[key] = []string{value}
}

// add sets a header that the request does not have.
func (h *headers) add(key, value string) {
	if value != "" && len(h.from[key]) == 0 && sane(value) {
		h.set(key, value)
	}
}

// metadata lets the trace and the process of ctx travel.
func (h *headers) metadata(ctx context.Context) {
	m := banyan.MetadataFrom(ctx)
	if m.TraceParent != "" && len(h.from[headerTraceParent]) == 0 {
		h.add(headerTraceParent, m.TraceParent)
		h.add(headerTraceState, m.Extra[keyTraceState]) // it belongs to this parent only
	}
	h.add(headerCorrelation, m.Correlation)
}

// timeout sets what is left of ctx, unless the request says less itself.
func (h *headers) timeout(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return
	}
	left := max(1, time.Until(deadline).Milliseconds())
	if own, ok := parseTimeout(h.from.Get(HeaderTimeout)); ok && own.Milliseconds() <= left {
		return
	}
	h.set(HeaderTimeout, strconv.FormatInt(min(left, 999_999_999), 10))
}

// sane: metadata may come from anywhere, and net/http refuses a request with a
// line break in a header.
func sane(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}

// incoming returns a request as a handler sees it: its deadline header shortens
// the context, its attempt header ends retries.
func (p *Policy) incoming(r *http.Request) (*http.Request, context.CancelFunc) {
	if _, ok := parseDigits(r.Header.Get(HeaderAttempt)); ok {
		r = r.WithContext(NoRetry(r.Context()))
	}
	left := p.opts.Deadline.of(r)
	if left == 0 {
		return r, func() {}
	}
	ctx, cancel := context.WithTimeout(r.Context(), left)
	return r.WithContext(ctx), cancel
}

// of returns what an incoming request may take; 0 is no limit.
func (d *Deadline) of(r *http.Request) time.Duration {
	if d == nil {
		return 0
	}
	asked, ok := parseTimeout(r.Header.Get(HeaderTimeout))
	asked = min(asked, d.Max)
	if !ok || (d.Overall > 0 && d.Overall < asked) {
		return d.Overall
	}
	return asked
}
