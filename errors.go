package banyan

import (
	"context"
	"errors"
)

// The kinds of failure. Every error that leaves a Banyan package wraps one of
// them or is a plain unexpected error; test with errors.Is.
//
// A write has three outcomes: done (nil), refused (every kind but the last
// two), and unknown. ErrUnavailable says that nothing was written, so the same
// call may be sent again. ErrUnknown says that the write may or may not have
// happened (a connection broke during the commit, a disk reported an error):
// send it again with the same event ids, which is safe for ever, and it is
// written once.
var (
	// ErrConflict: somebody else changed it first. Load again and decide anew.
	ErrConflict = errors.New("conflict")
	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrExists: the id or name is taken by something else.
	ErrExists = errors.New("already exists")
	// ErrInvalid: the request can never succeed as it is. Change the request.
	ErrInvalid = errors.New("invalid")
	// ErrDenied: the caller may not do this.
	ErrDenied = errors.New("denied")
	// ErrGone: it existed, was deleted, and does not come back.
	ErrGone = errors.New("gone")
	// ErrCorrupt: stored bytes are not what was written.
	ErrCorrupt = errors.New("corrupt")
	// ErrClosed: the thing was closed by its owner.
	ErrClosed = errors.New("closed")
	// ErrUnavailable: a dependency did not answer; nothing was done.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnknown: the outcome is not known; nothing or everything was done.
	ErrUnknown = errors.New("outcome unknown")
)

// Retryable reports whether the same call, with the same ids, may succeed if
// sent again unchanged.
func Retryable(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrUnknown)
}

// Kind returns the kind that err wraps, or nil when it wraps none. A cancelled
// or expired context has no kind: errors.Is finds context.Canceled and
// context.DeadlineExceeded themselves.
func Kind(err error) error {
	for _, kind := range []error{
		ErrUnknown, ErrConflict, ErrNotFound, ErrExists, ErrInvalid, ErrDenied,
		ErrGone, ErrCorrupt, ErrClosed, ErrUnavailable,
	} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

// Stopped reports whether err only says that the caller's context ended.
func Stopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
