package resilience

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
)

// Reason says which part of a Policy an Error comes from.
type Reason string

// The reasons. The first three are rejections: the dependency was not called.
const (
	ReasonOpen    Reason = "breaker-open"
	ReasonFull    Reason = "bulkhead-full"
	ReasonShed    Reason = "shed"
	ReasonTimeout Reason = "timeout" // Options.Timeout
	ReasonEnded   Reason = "ended"   // the caller's context
	ReasonFailed  Reason = "failed"  // the call itself
	ReasonStatus  Reason = "status"  // a response; only as the cause of a Fallback
	ReasonRequest Reason = "request" // the request's body could not be read
	ReasonBudget  Reason = "budget"  // only in Hooks.OnReject
)

// Error is what a Policy that is on says about a call that failed. It wraps its
// cause and a kind: banyan.ErrUnavailable when nothing was done,
// banyan.ErrUnknown when an unsafe request may or may not have been done,
// banyan.ErrInvalid when the request's body could not be read. Timeouts and
// ended deadlines are context.DeadlineExceeded too.
type Error struct {
	// Policy is the name given to New.
	Policy string
	Reason Reason
	// RetryAfter is when it makes sense to try again; 0 says nothing.
	RetryAfter time.Duration
	// Status of the response, if there was one.
	Status int
	// Attempts that were made.
	Attempts int
	// Err is the cause, or nil.
	Err error

	kind error
}

// Rejected reports whether the dependency was not called at all.
func (e *Error) Rejected() bool { return e.turnedAway() && e.Attempts == 0 }

func (e *Error) turnedAway() bool {
	return e.Reason == ReasonOpen || e.Reason == ReasonFull || e.Reason == ReasonShed
}

// Timeout reports whether time ran out; net.Error has it too.
func (e *Error) Timeout() bool { return errors.Is(e, context.DeadlineExceeded) }

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	all := make([]error, 0, 3)
	if e.kind != nil {
		all = append(all, e.kind)
	}
	if e.Reason == ReasonTimeout {
		all = append(all, context.DeadlineExceeded)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "resilience: call %s", e.Policy)
	if e.kind != nil {
		fmt.Fprintf(&b, ": %v", e.kind)
	}
	b.WriteString(": " + e.text())
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) text() string {
	switch e.Reason {
	case ReasonOpen:
		return fmt.Sprintf("the breaker is open because too many calls failed; try again in %v", e.RetryAfter.Round(time.Millisecond))
	case ReasonFull:
		return "the bulkhead is full; try again later, or raise Bulkhead.Max or MaxWait"
	case ReasonShed:
		return "shed under load; try again later or with a higher priority"
	case ReasonTimeout:
		return "no answer within Options.Timeout" + e.advice()
	case ReasonEnded:
		return "the caller's context ended" + e.advice()
	case ReasonStatus:
		return fmt.Sprintf("it answered %d", e.Status)
	case ReasonRequest:
		return "the request's body could not be read; it is the sender's to mend"
	case ReasonBudget:
		return "the budget is used up, so this is not sent again; see Options.Budget"
	case ReasonFailed:
		return "it failed" + e.advice()
	}
	return string(e.Reason)
}

func (e *Error) advice() string {
	if errors.Is(e.kind, banyan.ErrUnknown) {
		return "; send it again only with the same idempotency key or event ids"
	}
	return ""
}

// Causes of the contexts of attempts.
var (
	errTimeout = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	errLost    = errors.New("another request answered first")
)
