package projection

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/banyanhq/banyan"
)

// slice is a piece of the log for one generation.
type slice struct {
	generation  int
	after, next banyan.Position
	events      []banyan.Event
	// park, when not nil, says why the one event of the slice is to wait.
	park     error
	attempts int
}

// split cuts a slice behind n of its events.
func (s slice) split(n int) (head, rest slice) {
	if n == len(s.events) {
		return s, slice{}
	}
	head, rest = s, s
	head.next, head.events = s.events[n-1].Position, s.events[:n]
	rest.after, rest.events = head.next, s.events[n:]
	return head, rest
}

// poison is the failure of an event, as opposed to one of the database.
type poison struct {
	err error
	// at is which event of the slice it was; -1: one of them.
	at int
}

func (p *poison) Error() string { return p.err.Error() }
func (p *poison) Unwrap() error { return p.err }

func isPoison(err error) bool {
	var p *poison
	return errors.As(err, &p)
}

// advance applies a slice: as one batch, or, when an event in it fails, what is
// before it, then it alone, then the rest. When a batch fails and does not say which
// event it was, halves of it find out.
func (r *Runner) advance(ctx context.Context, token int64, s slice) error {
	for {
		err := r.persist(ctx, "apply a batch", func() error { return r.apply(ctx, token, s) })
		var p *poison
		switch {
		case !errors.As(err, &p) || ctx.Err() != nil:
			return err
		case len(s.events) == 1:
			return r.advanceOne(ctx, token, s)
		}
		var head slice
		if n := p.at; n != 0 {
			if n < 0 {
				n = len(s.events) / 2
			}
			head, s = s.split(n)
			if err := r.advance(ctx, token, head); err != nil {
				return err
			}
		}
		if p.at >= 0 {
			head, s = s.split(1)
			if err := r.advanceOne(ctx, token, head); err != nil || len(s.events) == 0 {
				return err
			}
		}
	}
}

// advanceOne applies one event, or parks it after the last attempt.
func (r *Runner) advanceOne(ctx context.Context, token int64, s slice) error {
	for {
		err := r.persist(ctx, "apply an event", func() error { return r.apply(ctx, token, s) })
		if !isPoison(err) || ctx.Err() != nil {
			return err
		}
		s.attempts++
		if s.attempts >= r.opts.Attempts || errors.Is(err, errNewer) {
			r.opts.Logger.Error("projection parks an event", "projection", r.def.name, "generation", s.generation,
				"event", s.events[0].ID, "position", s.events[0].Position, "attempts", s.attempts, "error", err)
			s.park = err
		}
		if s.park == nil {
			if err := r.pause(ctx, s.attempts-1); err != nil {
				return err
			}
		}
	}
}

// next returns the piece of the log that a generation lacks, at most limit events;
// a piece without progress when there is none now. A generation that is not live goes no further
// than the live one: only the live one runs effects, so an event that another had
// handled before it became live would have none.
func (r *Runner) next(ctx context.Context, s *state, g *generation, limit int) (slice, error) {
	piece := slice{generation: g.Number, after: g.Position, next: g.Position}
	end := banyan.Position(math.MaxInt64)
	if g.Number != s.Active {
		end = s.generation(s.Active).Position
		limit = int(min(int64(limit), int64(end-g.Position)))
	}
	if limit <= 0 {
		return piece, nil
	}
	page, err := r.log.ReadPage(ctx, g.Position, r.filter, limit)
	if err != nil {
		return piece, err
	}
	piece.next, piece.events = min(page.Next, end), page.Events
	for n := len(piece.events); n > 0 && piece.events[n-1].Position > end; n-- {
		piece.events = piece.events[:n-1]
	}
	return piece, nil
}

// apply writes the rows of a slice and the checkpoint behind it in one batch. A
// checkpoint that is not where the slice begins was moved by somebody who does
// not lead (Switch), or by this runner in a commit whose answer was lost.
func (r *Runner) apply(ctx context.Context, token int64, s slice) error {
	return r.change(ctx, token, func(c *change) error {
		g, live := c.state.generation(s.generation), c.state.generation(c.state.Active)
		if g == nil || g.Position != s.after || (g != live && s.next > live.Position) {
			return errStale
		}
		if err := c.fold(ctx, g, s); err != nil {
			return err
		}
		g.Position = s.next
		return nil
	})
}

// fold applies the events of a slice to a generation.
func (c *change) fold(ctx context.Context, g *generation, s slice) error {
	live := g.Number == c.state.Active
	c.folded = c.writer(g)
	b := &Batch{writer: c.folded, muted: !live}
	for i, e := range s.events {
		parked, err := c.parkedKeys(ctx, g)
		if err != nil {
			return err
		}
		key := c.r.def.key(e)
		if s.park != nil || parked.keys[key] {
			err = c.park(ctx, g, waiting(e, key, s, live))
		} else {
			err = c.handle(ctx, b, g, e, i)
		}
		if err != nil {
			return err
		}
	}
	return c.complete(ctx, b, g)
}

// handle applies one event to a generation.
func (c *change) handle(ctx context.Context, b *Batch, g *generation, e banyan.Event, at int) error {
	b.silenced = false
	if err := c.r.def.handle(ctx, b, e); err != nil {
		return c.blame(err, at)
	}
	if b.silenced && g.Number != c.state.Active {
		b.missed = append(b.missed, e.Position)
	}
	g.Handled++
	return nil
}

// complete writes what the handlers left in the batch and runs their effects.
func (c *change) complete(ctx context.Context, b *Batch, g *generation) error {
	if err := b.writer.Flush(ctx); err != nil {
		return c.blame(err, -1)
	}
	if err := c.markMissed(ctx, g, b.missed); err != nil {
		return err
	}
	for _, effect := range b.effects {
		if err := effect(ctx); err != nil {
			return &poison{fmt.Errorf("effect: %w", err), -1}
		}
	}
	return nil
}

// blame decides whose fault an error is: that of the event, unless it says that
// something did not answer. A document that the database refuses is the event's. at
// is its place in the slice, -1 if that is not known.
func (c *change) blame(err error, at int) error {
	if banyan.Retryable(err) {
		return err
	}
	return &poison{err, at}
}

func waiting(e banyan.Event, key string, s slice, live bool) parkedRow {
	row := parkedRow{
		Key: key, Position: e.Position, EventID: e.ID, Type: e.Type, Stream: e.Stream,
		Error: "waits for an earlier event of its key", Effects: live, Attempts: s.attempts,
	}
	if s.park != nil {
		row.Error = plain(s.park.Error(), maxError)
	}
	return row
}

// maxError is how much of an error's text is kept.
const maxError = 2000
