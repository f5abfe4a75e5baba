package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
)

// retrying is how far the leader is with a request to retry. It is not kept: an
// owner that takes over begins again, with what is still parked.
type retrying struct {
	id  string
	did Retried
	// Of all keys: the one under way, and the lowest that may be the next.
	key, from string
	underway  bool
}

// turnTo notes the key that is retried next; nil: there is none.
func (p *retrying) turnTo(next *parkedRow) {
	if p.underway && (next == nil || next.Key != p.key) {
		p.did.Keys++
	}
	if p.underway = next != nil; p.underway {
		p.key, p.from = next.Key, next.Key
	}
}

// failed notes that the key under way is parked still.
func (p *retrying) failed(err error) {
	if p.did.Failed++; p.did.Failed == 1 {
		p.did.Error = plain(fmt.Sprintf("key %q: %v", p.key, err), maxError)
	}
	p.underway, p.from = false, behind(p.key)
}

// serve does one step of the oldest request, and reports whether there was one.
// Between the steps the generations go on.
func (l *leader) serve(ctx context.Context) (bool, error) {
	s := l.r.current()
	if len(s.Requests) == 0 {
		return false, nil
	}
	q := s.Requests[0]
	if l.retrying.id != q.ID {
		l.retrying = retrying{id: q.ID}
		l.r.opts.Logger.Info("projection is asked", "projection", l.r.name, "request", q.Op, "generation", q.Generation, "key", q.Key, "all", q.All)
	}
	err := l.attempt(ctx, func() error { return l.do(ctx, q) })
	switch {
	case err == nil, errors.Is(err, errStale):
		return true, nil
	case ctx.Err() != nil, errors.Is(err, errFenced):
		return true, err
	}
	l.r.opts.Logger.Warn("projection could not do what it was asked", "projection", l.r.name, "request", q.Op, "error", err)
	return true, l.r.persist(ctx, "answer a request", func() error {
		return l.settle(ctx, q, func(_ *change, a *answer) error { a.fail(err); return nil })
	})
}

// attempt calls fn again while that may help, but not for ever: a person waits
// for the answer, and the log goes on.
func (l *leader) attempt(ctx context.Context, fn func() error) error {
	for n := 0; ; n++ {
		err := fn()
		if err == nil || fatal(err) || n+1 >= l.r.opts.Attempts {
			return err
		}
		if err := l.r.pause(ctx, n); err != nil {
			return err
		}
	}
}

func (l *leader) do(ctx context.Context, q request) error {
	switch q.Op {
	case opRebuild:
		return l.settle(ctx, q, func(c *change, a *answer) (err error) {
			a.Generation, err = c.rebuild(ctx, q.Hold)
			return err
		})
	case opSwitch:
		return l.doSwitch(ctx, q)
	case opDrop:
		return l.settle(ctx, q, func(c *change, _ *answer) error { return c.dropKept(ctx, q.Generation) })
	case opRetry:
		if q.All {
			return l.doRetryAll(ctx, q)
		}
		return l.doRetry(ctx, q)
	default:
		return fmt.Errorf("%w: this code does not know the request %q", banyan.ErrInvalid, q.Op)
	}
}

// settle does a request and takes it out of the state in one batch. A request
// that is not there any more was withdrawn, or done in a commit whose answer was
// lost.
func (l *leader) settle(ctx context.Context, q request, fn func(c *change, a *answer) error) error {
	return l.r.change(ctx, l.token, func(c *change) error {
		if !c.state.pending(q.ID) {
			return errLeave
		}
		a := answer{ID: q.ID}
		if err := fn(c, &a); err != nil {
			return err
		}
		c.state.settle(a)
		return nil
	})
}

// doSwitch catches up over a few pages and no more: the live generation stands
// still meanwhile.
func (l *leader) doSwitch(ctx context.Context, q request) error {
	r := l.r
	for {
		err := l.settle(ctx, q, func(c *change, _ *answer) error { return c.switchTo(ctx, q.Generation, q.Force) })
		if !errors.Is(err, errBehind) {
			return err
		}
		s := r.current()
		if g := s.generation(q.Generation); g != nil {
			if lack := s.generation(s.Active).Position - g.Position; int64(lack) > int64(r.def.opts.BatchSize*maxStride) {
				return fmt.Errorf("generation %d: %w: it is %d positions behind the live one; ask again when it has caught up", g.Number, banyan.ErrConflict, lack)
			}
		}
		if err := r.catchUp(ctx, l.token, q.Generation); err != nil {
			return err
		}
	}
}

// doRetry applies one page of a key.
func (l *leader) doRetry(ctx context.Context, q request) error {
	n, more, err := l.r.retryStep(ctx, l.token, q.Key)
	l.retrying.did.Events += n
	if err != nil || more {
		return err
	}
	if err := l.unreached(ctx, q.Key); err != nil {
		return err
	}
	l.retrying.did.Keys = 1
	return l.settleRetry(ctx, q)
}

// doRetryAll applies one page of the lowest key that is parked. A key that fails
// again does not keep the others from their turn.
func (l *leader) doRetryAll(ctx context.Context, q request) error {
	p := &l.retrying
	next, err := l.nextKey(ctx, p.from)
	if err != nil {
		return err
	}
	if p.turnTo(next); next == nil {
		return l.settleRetry(ctx, q)
	}
	n, _, err := l.r.retryStep(ctx, l.token, next.Key)
	p.did.Events += n
	if err == nil || !fatal(err) || errors.Is(err, errFenced) || ctx.Err() != nil {
		return err
	}
	p.failed(err)
	return nil
}

func (l *leader) settleRetry(ctx context.Context, q request) error {
	return l.settle(ctx, q, func(_ *change, a *answer) error { a.Retried = l.retrying.did; return nil })
}

// nextKey returns the first event of the lowest parked key, not below from, of
// the generations that this code may write.
func (l *leader) nextKey(ctx context.Context, from string) (*parkedRow, error) {
	s := l.r.current()
	var least *parkedRow
	for i := range s.Generations {
		if l.r.held(s, &s.Generations[i]) != "" {
			continue
		}
		row, err := l.r.nextKey(ctx, s.Generations[i].Number, from)
		if err != nil {
			return nil, err
		}
		if row != nil && (least == nil || row.Key < least.Key) {
			least = row
		}
	}
	return least, nil
}

// unreached returns an error when a key is still parked, in a generation that
// this code may not write.
func (l *leader) unreached(ctx context.Context, key string) error {
	s := l.r.current()
	for i := range s.Generations {
		g := &s.Generations[i]
		why := l.r.held(s, g)
		if why == "" {
			continue
		}
		rows, err := l.r.parkedRows(ctx, exactly("parked_key", parkedOwner(l.r.name, g.Number)+"/"+key, 1))
		if err != nil {
			return err
		}
		if len(rows) > 0 && l.retrying.did.Events == 0 {
			return fmt.Errorf("%w: the key is parked in generation %d, which the owner does not write: %s", banyan.ErrInvalid, g.Number, why)
		}
	}
	return nil
}
