package resilience

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

type noRetryKey struct{}

// NoRetry returns a context whose calls are made once: no retry, no hedge, here
// or in a service that is called under it (see HeaderAttempt). It is for a
// caller that retries itself, such as the consumer of a bus, and for a function
// given to Do that must not run twice.
func NoRetry(ctx context.Context) context.Context {
	if marked(ctx) {
		return ctx
	}
	return context.WithValue(ctx, noRetryKey{}, true)
}

func marked(ctx context.Context) bool { return ctx.Value(noRetryKey{}) != nil }

// backoff returns a random time between 0 and the bound for the attempt to come
// (2, 3, …): full jitter, which spreads the callers best.
func (r *Retry) backoff(next int) time.Duration {
	bound := r.MaxBackoff
	if shift := next - 2; shift < 32 && r.Backoff<<shift>>shift == r.Backoff {
		bound = min(bound, r.Backoff<<shift)
	}
	return rand.N(bound + 1)
}

// fits reports whether a call has the time to wait and then to be tried.
func fits(ctx context.Context, wait time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retry decides whether there is another attempt, pays for it, and waits.
func (p *Policy) retry(ctx context.Context, made int, wait time.Duration, cause error) bool {
	if made >= p.opts.Retry.MaxAttempts || !fits(ctx, wait) {
		return false
	}
	if p.breaker != nil {
		if state, _ := p.breaker.now(); state == Open {
			return false // the next attempt would be turned away
		}
	}
	if !p.spend(ctx, cause) {
		return false
	}
	if hook := p.opts.Hooks.OnRetry; hook != nil {
		hook(ctx, p.name, made+1, wait, cause)
	}
	return true
}

// repeatable reports whether a request may be sent more than once: RFC 9110
// §9.2.2 for methods, the Idempotency-Key header for the others.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
	default:
		if req.Header.Get("Idempotency-Key") == "" {
			return false
		}
	}
	return !hasBody(req) || req.GetBody != nil
}

// safe methods change nothing (RFC 9110 §9.2.1).
func safe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110 §10.2.3).
func retryAfter(h http.Header) (time.Duration, bool) {
	v := h.Get("Retry-After")
	if v == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at)), true
	}
	return 0, false
}
