package aggregate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Answer is what became of a command.
type Answer[S any] struct {
	// Result has the events of the decision as they are stored; none when there
	// was nothing to do. Duplicate equals Repeated.
	store.Result
	// State is the state after those events.
	State S
	// Repeated: the command with this id was handled before, or at the same time
	// by another call. Events and State are from then; nothing was stored now.
	// It may be false for one of two concurrent calls if the outcome of an append
	// was unknown in between.
	Repeated bool
}

// Do makes a decision on a stream and stores its events; see the package's
// guarantees. Kinds of its errors beside those of the decision itself:
// banyan.ErrConflict (others were faster each time), banyan.ErrGone (the stream
// is closed), banyan.ErrUnavailable (nothing was stored; the store does not
// answer, or the stream has events that only a newer program knows),
// banyan.ErrUnknown (send a command with an id again), banyan.ErrInvalid (the
// decision's events cannot be stored).
func (a *Aggregate[S]) Do(ctx context.Context, id string, c Command, decide Decide[S]) (Answer[S], error) {
	stream, err := a.stream(id)
	if err != nil {
		return Answer[S]{}, err
	}
	h := &handling[S]{Aggregate: a, stream: stream, command: c, decide: decide, ids: derive(stream, c.ID)}
	if err = c.check(); err == nil {
		var answer Answer[S]
		if answer, err = h.run(ctx); err == nil {
			return answer, nil
		}
	}
	return Answer[S]{}, fmt.Errorf("aggregate: %s: %w", stream, err)
}

// handling is one call of Do.
type handling[S State[S]] struct {
	*Aggregate[S]
	stream  string
	command Command
	decide  Decide[S]
	ids     derived
}

func (h *handling[S]) run(ctx context.Context) (Answer[S], error) {
	l, err := h.current(ctx)
	for try := 0; err == nil; try++ {
		if len(l.mine) > 0 {
			return h.again(ctx, l.mine, nil)
		}
		answer, err := h.attempt(ctx, l)
		taken := h.command.ID != "" && errors.Is(err, errTaken)
		switch moved := errors.Is(err, errMoved); {
		case !taken && !moved:
			return answer, err
		case moved && try >= h.opts.Retries:
			return answer, fmt.Errorf("gave up after %d attempts, others changed it each time; try again later, or spread the load over more streams: %w", try+1, err)
		}
		l, err = h.reload(ctx, l, try, err)
		switch {
		case err != nil:
			return answer, err
		case taken && len(l.mine) == 0:
			return answer, fmt.Errorf("%w: an event id of command %s is taken by something else", banyan.ErrExists, h.command.ID)
		}
	}
	return Answer[S]{}, err
}

// outdated marks the errors of an append after which the stream is to be read
// again: kind says why, cause is the store's.
type outdated struct{ kind, cause error }

func (o *outdated) Error() string        { return o.cause.Error() }
func (o *outdated) Unwrap() error        { return o.cause }
func (o *outdated) Is(target error) bool { return target == o.kind }

var (
	errMoved = errors.New("the stream has moved on")
	errTaken = errors.New("another call handles the command")
)

// attempt decides on l and appends.
func (h *handling[S]) attempt(ctx context.Context, l *folded[S]) (Answer[S], error) {
	if err := h.admit(l); err != nil {
		return Answer[S]{}, err
	}
	payloads, err := h.decide(l.state)
	if err != nil || len(payloads) == 0 {
		return Answer[S]{State: l.state}, err
	}
	next := *l
	events, err := h.prepare(ctx, &next, payloads)
	if err != nil {
		return Answer[S]{}, err
	}
	result, resent, err := h.send(ctx, store.Exact(l.revision), events)
	switch {
	case errors.Is(err, banyan.ErrUnknown):
		return Answer[S]{}, err
	case errors.Is(err, banyan.ErrConflict):
		return Answer[S]{}, &outdated{errMoved, err}
	case errors.Is(err, banyan.ErrExists):
		return Answer[S]{}, &outdated{errTaken, err}
	case err != nil:
		return Answer[S]{}, err
	case result.Duplicate && h.command.ID != "":
		// The events found may be the first few of another call's longer decision.
		mine, err := h.own(ctx, result.Events[0].Revision)
		if err != nil || !resent || len(mine) != len(events) || mine[0].Revision != l.revision+1 {
			return h.again(ctx, mine, err)
		}
	}
	result.Duplicate = false // what is left was stored by this very call, sent twice
	h.keep(ctx, h.stream, &next)
	return Answer[S]{Result: result, State: next.state}, nil
}

// admit refuses states that no decision may be made on.
func (h *handling[S]) admit(l *folded[S]) error {
	if l.closed {
		return errGone(l.revision)
	}
	if e := l.unknown; e != nil && !h.opts.IgnoreUnknown {
		return fmt.Errorf("%w: event %s (%s@%d) is a %s of schema %d, which this program does not know; run a newer version of this program", banyan.ErrUnavailable, e.ID, e.Stream, e.Revision, e.Type, max(e.Schema, 1))
	}
	return nil
}

// prepare turns payloads into events and counts them into next. They are decoded
// again for that, before anything is stored: the answer's state is the one that
// the next load gives, and an event that cannot be read back is never written.
func (h *handling[S]) prepare(ctx context.Context, next *folded[S], payloads []any) ([]banyan.Event, error) {
	at := h.command.Time
	if at.IsZero() {
		at = h.opts.Clock()
	}
	meta := h.command.Meta.Or(banyan.MetadataFrom(ctx))
	if meta.Causation == "" {
		meta.Causation = h.command.ID
	}
	events := make([]banyan.Event, len(payloads))
	for i, p := range payloads {
		e, err := h.types.Encode(p)
		if err != nil {
			return nil, err
		}
		e.ID, e.Stream, e.Revision = h.ids.id(i+1), h.stream, next.revision+1
		e.Time, e.Meta = at, meta
		if err := h.apply(next, e); err != nil {
			return nil, fmt.Errorf("%w: event %d, a %T, cannot be read back: %w", banyan.ErrInvalid, i+1, p, err)
		}
		events[i] = e
	}
	return events, nil
}

// resends bounds how often an append of unknown outcome is sent again.
const resends = 3

// send appends and, while the outcome is unknown, sends the same again. After an
// unknown outcome only an answer about these very events settles it; that the
// store was not there the second time does not.
func (h *handling[S]) send(ctx context.Context, at store.Expect, events []banyan.Event) (result store.Result, resent bool, err error) {
	var unknown error
	for try := 0; ; try++ {
		result, err = h.store.Append(ctx, h.stream, at, events...)
		if errors.Is(err, banyan.ErrUnknown) {
			unknown = err
		}
		if unknown == nil || settled(err) {
			return result, try > 0, err
		}
		if try == resends || pause(ctx, try) != nil {
			return store.Result{}, true, fmt.Errorf("sent %d times: %w", try+1, unknown)
		}
	}
}

func settled(err error) bool {
	switch banyan.Kind(err) {
	case banyan.ErrConflict, banyan.ErrExists, banyan.ErrGone, banyan.ErrInvalid:
		return true
	}
	return err == nil
}

// current loads the stream and finds out whether the command was handled before.
// Reading every event shows it; a snapshot hides the older ones, and the store
// is asked. It comes after loading, so that a state that already has the
// command's events in it is never decided on.
func (h *handling[S]) current(ctx context.Context) (*folded[S], error) {
	l := h.fromSnapshot(ctx, h.stream, 0)
	if err := h.fold(ctx, h.stream, l, store.ReadOptions{}, h.ids); err != nil {
		return nil, err
	}
	if h.command.ID == "" || l.snapshot == 0 || len(l.mine) > 0 {
		return l, nil
	}
	first, err := h.store.Lookup(ctx, h.ids.id(1))
	if err == nil && len(first) > 0 && first[0].Stream == h.stream {
		l.mine, err = h.own(ctx, first[0].Revision)
	}
	return l, err
}

// own returns the command's events, of which the first has revision from. They
// were one append, so their revisions follow each other.
func (h *handling[S]) own(ctx context.Context, from banyan.Revision) ([]banyan.Event, error) {
	var events []banyan.Event
	for e, err := range h.store.Read(ctx, h.stream, store.ReadOptions{From: from}) {
		if err != nil {
			return nil, err
		}
		if !h.ids.has(e.ID) {
			break
		}
		events = append(events, e)
	}
	return events, nil
}

// reload waits and reads what is new. A snapshot that is beyond the end of its
// stream, of a store restored from a backup perhaps, is left behind.
func (h *handling[S]) reload(ctx context.Context, l *folded[S], try int, cause error) (*folded[S], error) {
	if err := pause(ctx, try); err != nil {
		return nil, fmt.Errorf("%w while waiting to decide again, nothing was stored: %w", err, cause)
	}
	var conflict *store.ConflictError
	if errors.As(cause, &conflict) && conflict.Have < l.revision {
		l = h.initial()
	}
	return l, h.fold(ctx, h.stream, l, store.ReadOptions{}, h.ids)
}

// again answers a repetition: the state is that after the command's events.
// The error, if any, is that of looking for them.
func (h *handling[S]) again(ctx context.Context, events []banyan.Event, err error) (Answer[S], error) {
	result := store.Result{Events: events, Duplicate: true}
	var l *folded[S]
	if err == nil {
		l, err = h.loadAt(ctx, h.stream, At{Revision: result.Revision()})
	}
	if err != nil {
		return Answer[S]{}, fmt.Errorf("the command was handled before, its answer cannot be read: %w", err)
	}
	return Answer[S]{Result: result, State: l.state, Repeated: true}, nil
}

const (
	firstPause = 2 * time.Millisecond
	maxPause   = 200 * time.Millisecond
)

// pause waits a random time up to a bound that doubles with each try ("full
// jitter"): callers that met once do not meet again.
func pause(ctx context.Context, try int) error {
	timer := time.NewTimer(rand.N(min(firstPause<<min(try, 10), maxPause)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
