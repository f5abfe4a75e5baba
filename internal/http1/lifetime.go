package http1

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A proxy needs a context for each request and one for the call that it makes for
// it, and both are watched by a connection. With the standard library's alone that
// takes 18 allocations, a third of all that a request needs; with these it takes 4.

// Lifetime is the context of a call that is made for a request: it ends with that,
// or by Cancel. It has to be begun, and to be ended. Its zero value may be part of a
// larger struct, which then is a context too.
//
// Err returns the cause. One that is neither a cancellation nor a deadline is
// context.Canceled besides.
type Lifetime struct {
	parent context.Context //nolint:containedctx // it is one
	up     *life           // that it hangs on
	hook   hook            // in up
	stop   func() bool     // of the parent's watch, where there is no up

	mu    sync.Mutex
	done  chan struct{} // guarded by mu; made for who asks
	err   error         // guarded by mu
	hooks hooks
}

var _ context.Context = (*Lifetime)(nil)

// Begin is called first. The Lifetime ends with the parent.
func (l *Lifetime) Begin(parent context.Context) {
	l.parent, l.hook.target = parent, l
	done := parent.Done()
	// That both have one channel says that nothing between them can end alone.
	if up, ok := parent.Value(lifeKey{}).(*life); ok && done == up.Done() {
		if l.up = up; !up.hooks.add(&l.hook) {
			l.Cancel(context.Cause(up))
		}
		return
	}
	if done != nil {
		l.stop = context.AfterFunc(parent, func() { l.Cancel(context.Cause(parent)) })
	}
}

// End is called when the call is over.
func (l *Lifetime) End() {
	switch {
	case l.up != nil:
		l.up.hooks.remove(&l.hook)
	case l.stop != nil:
		l.stop()
	}
	l.Cancel(context.Canceled)
}

// Cancel ends it; only the first cause counts.
func (l *Lifetime) Cancel(cause error) {
	if !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		cause = &cancelled{cause}
	}
	l.mu.Lock()
	first := l.err == nil
	if first {
		l.err = cause
		if l.done != nil {
			close(l.done)
		}
	}
	l.mu.Unlock()
	if first {
		l.hooks.end(cause)
	}
}

// cancelled is a cause that is context.Canceled besides.
type cancelled struct{ cause error }

func (e *cancelled) Error() string        { return e.cause.Error() }
func (e *cancelled) Unwrap() error        { return e.cause }
func (e *cancelled) Is(target error) bool { return target == context.Canceled } //nolint:errorlint // what errors.Is asks for

// ended is called when the request has ended.
func (l *Lifetime) ended(cause error) { l.Cancel(cause) }

func (l *Lifetime) lifetime() *Lifetime { return l }

// Deadline implements context.Context.
func (l *Lifetime) Deadline() (time.Time, bool) { return l.parent.Deadline() }

// Done implements context.Context.
func (l *Lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *Lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Value implements context.Context.
func (l *Lifetime) Value(key any) any { return l.parent.Value(key) }

// AfterFunc is what package context asks for, so that contexts of its own can be
// made of a Lifetime without a goroutine that waits.
func (l *Lifetime) AfterFunc(f func()) (stop func() bool) {
	h := &hook{target: later(f)}
	if !l.hooks.add(h) {
		go f()
		return func() bool { return false }
	}
	return func() bool { return l.hooks.remove(h) }
}

// later is called in a goroutine of its own.
type later func()

func (f later) ended(error) { go f() }

// life is the context of a request to a Server: one of the standard library, on
// which Lifetimes hang besides.
type life struct {
	context.Context //nolint:containedctx // it is one
	cancel          context.CancelCauseFunc
	hooks           hooks
}

type lifeKey struct{}

func (l *life) begin() { l.Context, l.cancel = context.WithCancelCause(context.Background()) }

func (l *life) end(cause error) {
	l.cancel(cause)
	l.hooks.end(context.Cause(l.Context))
}

// Value implements context.Context.
func (l *life) Value(key any) any {
	if _, ok := key.(lifeKey); ok {
		return l
	}
	return l.Context.Value(key)
}

// hooks are called once, when something ends.
type hooks struct {
	mu    sync.Mutex
	first *hook // guarded by mu
	over  bool  // guarded by mu
}

// hook is part of what wants to be called.
type hook struct {
	target     interface{ ended(cause error) } // not called with a lock held
	linked     bool                            // guarded by hooks.mu, as are the next two
	prev, next *hook
}

// add reports false if it is over already.
func (h *hooks) add(k *hook) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return false
	}
	k.linked, k.prev, k.next = true, nil, h.first
	if h.first != nil {
		h.first.prev = k
	}
	h.first = k
	return true
}

// remove reports whether the hook was not called, and will not be.
func (h *hooks) remove(k *hook) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unlink(k)
}

// unlink is called with mu held.
func (h *hooks) unlink(k *hook) bool {
	if !k.linked {
		return false
	}
	if k.prev != nil {
		k.prev.next = k.next
	} else {
		h.first = k.next
	}
	if k.next != nil {
		k.next.prev = k.prev
	}
	k.linked, k.prev, k.next = false, nil, nil
	return true
}

// end calls them.
func (h *hooks) end(cause error) {
	for k := h.pop(); k != nil; k = h.pop() {
		k.target.ended(cause)
	}
}

func (h *hooks) pop() *hook {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	k := h.first
	if k != nil {
		h.unlink(k)
	}
	return k
}
