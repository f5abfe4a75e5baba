package banyantest

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// T is the part of *testing.T that this package needs.
type T interface {
	Helper()
	Errorf(format string, args ...any)
}

// Stream is the id of the stream that cases run on.
const Stream = "test"

// Case is the history that a decision meets.
type Case[S aggregate.State[S]] struct {
	t        T
	category string
	types    *banyan.Types
	given    []any
}

// Aggregate begins a case for a state with these event types.
func Aggregate[S aggregate.State[S]](t T, category string, types *banyan.Types) *Case[S] {
	return &Case[S]{t: t, category: category, types: types}
}

// Given returns a case with more events in its history: values of declared
// types, or banyan.Event and banyan.Raw as they are stored. The case that it was
// made from stays as it is, and can be the start of others.
func (c *Case[S]) Given(events ...any) *Case[S] {
	next := *c
	next.given = append(append([]any{}, c.given...), events...)
	return &next
}

// When makes the decision.
func (c *Case[S]) When(decide aggregate.Decide[S]) *Outcome[S] {
	c.t.Helper()
	o := &Outcome[S]{t: c.t, types: c.types}
	if err := c.run(o, decide); err != nil {
		c.t.Errorf("the case cannot be run: %v", err)
		o.broken = true
	}
	return o
}

func (c *Case[S]) run(o *Outcome[S], decide aggregate.Decide[S]) (err error) {
	ctx := context.Background()
	db := mem.Open()
	defer func() { err = errors.Join(err, db.Close()) }()
	st, err := db.Store(nil)
	if err != nil {
		return err
	}
	a, err := aggregate.New[S](st, c.category, c.types, nil)
	if err != nil {
		return err
	}
	events, err := encode(c.types, c.given)
	if err != nil {
		return fmt.Errorf("given: %w", err)
	}
	if len(events) > 0 {
		if _, err := st.Append(ctx, c.category+"-"+Stream, store.NoStream, events...); err != nil {
			return fmt.Errorf("given: %w", err)
		}
	}
	o.answer, o.err = a.Do(ctx, Stream, aggregate.Command{}, decide)
	if o.err != nil { // the state is then the one that the decision met
		if before, err := a.Load(ctx, Stream); err == nil {
			o.answer.State = before.State
		}
	}
	return nil
}

// encode turns values into events.
func encode(types *banyan.Types, values []any) ([]banyan.Event, error) {
	events := make([]banyan.Event, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case banyan.Event:
			events[i] = v
		case banyan.Raw:
			events[i] = banyan.Event{Type: v.Type, Schema: v.Schema, Data: v.Data}
		default:
			e, err := types.Encode(v)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			events[i] = e
		}
	}
	return events, nil
}

// Outcome is what a decision led to. Its methods may be chained.
type Outcome[S any] struct {
	t      T
	types  *banyan.Types
	answer aggregate.Answer[S]
	err    error
	broken bool // When has reported it; nothing can be said
}

// Then demands exactly these events, in this order; none at all is a decision
// that there is nothing to do. Events are equal when type, schema version and
// JSON are.
func (o *Outcome[S]) Then(events ...any) *Outcome[S] {
	o.t.Helper()
	if o.broken {
		return o
	}
	if o.err != nil {
		o.t.Errorf("the decision was refused: %v", o.err)
		return o
	}
	want, err := encode(o.types, events)
	if err != nil {
		o.t.Errorf("then: %v", err)
		return o
	}
	if diff := diffEvents(want, o.answer.Events); diff != "" {
		o.t.Errorf("other events happened (- wanted, + happened):\n%s", diff)
	}
	return o
}

// ThenError demands that the decision was refused with an error that target is
// found in by errors.Is.
func (o *Outcome[S]) ThenError(target error) *Outcome[S] {
	o.t.Helper()
	switch {
	case o.broken:
	case o.err == nil:
		o.t.Errorf("wanted the refusal %q, but the decision was made (+ happened):\n%s", target, diffEvents(nil, o.answer.Events))
	case !errors.Is(o.err, target):
		o.t.Errorf("wanted the refusal %q, got %q", target, o.err)
	}
	return o
}

// ThenState calls check with the state after the decision, or, when it was
// refused, with the one that it met.
func (o *Outcome[S]) ThenState(check func(S)) *Outcome[S] {
	o.t.Helper()
	if !o.broken {
		check(o.answer.State)
	}
	return o
}
