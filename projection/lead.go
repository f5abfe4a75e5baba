package projection

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/banyanhq/banyan"
)

// leader is a runner while it holds the lease. It is for one goroutine.
type leader struct {
	r     *Runner
	token int64
	// again is when switching to the generation that was built is tried once more,
	// after so many failures.
	again    time.Time
	failures int
	retrying retrying
	// stride is how many pages of the live generation one of another is long.
	stride int
}

// lead advances the generations in turn and does what people ask for, until ctx
// ends, the lease is lost, or something is wrong that trying again cannot mend.
func (l *leader) lead(ctx context.Context) error {
	r := l.r
	const doing = "start"
	err := r.persist(ctx, doing, func() error {
		err := r.change(ctx, l.token, r.begin(ctx))
		if lost := l.note(ctx, doing, err); lost != nil {
			return lost
		}
		return err
	})
	for err == nil {
		var served, moved bool
		if served, err = l.serve(ctx); err != nil {
			break
		}
		s := r.current()
		if moved, err = l.turn(ctx, s); err == nil && !served && !moved {
			err = l.idle(ctx, s)
		}
	}
	return err
}

const (
	// livePages is how many pages the live generation gets, while it is behind,
	// for one of each other: it comes first, but a log that grows as fast as it is
	// read must not stop a rebuild for ever.
	livePages = 8
	// maxStride is how long a page of another generation may be: long ones are
	// cheaper.
	maxStride = 8
	// turnTime is how long one may hold up the live generation.
	turnTime = 200 * time.Millisecond
)

// turn advances the live generation until it is no longer behind, and each other
// one by a page. It reports whether there was anything.
func (l *leader) turn(ctx context.Context, s *state) (moved bool, err error) {
	if s.Building == 0 && l.failures > 0 { // what could not become live was dropped
		l.failures = 0
		l.r.recovered(switching)
	}
	for i := range s.Generations {
		g := &s.Generations[i]
		if l.r.held(s, g) != "" {
			continue
		}
		if g.Number != s.Active {
			one, err := l.stepAside(ctx, g.Number)
			if moved = moved || one; err != nil {
				return moved, err
			}
			continue
		}
		for n, full := 0, true; full && n < livePages; n++ {
			var one bool
			one, full, err = l.step(ctx, g.Number)
			if moved = moved || one; err != nil {
				return moved, err
			}
		}
	}
	return moved, nil
}

// stepAside advances a generation that is not live, and finds out how long its
// pages may be.
func (l *leader) stepAside(ctx context.Context, number int) (moved bool, err error) {
	l.stride = max(l.stride, 1)
	start := time.Now()
	moved, full, err := l.step(ctx, number)
	switch took := time.Since(start); {
	case took > turnTime:
		l.stride = max(l.stride/2, 1)
	case full && took < turnTime/2:
		l.stride = min(l.stride*2, maxStride)
	}
	return moved, err
}

// step advances one generation by one page. It reports whether there was one, and
// whether it was full, so that there may be more.
func (l *leader) step(ctx context.Context, number int) (moved, full bool, err error) {
	r := l.r
	s := r.current()
	g := s.generation(number)
	if g == nil {
		return true, false, nil // dropped since; look at the rest again
	}
	limit := r.def.opts.BatchSize
	if number != s.Active {
		limit *= max(l.stride, 1)
	}
	var piece slice
	err = r.persist(ctx, "read the log", func() (err error) {
		piece, err = r.next(ctx, s, g, limit)
		return err
	})
	if err != nil {
		return false, false, err
	}
	moved, full = piece.next > piece.after, len(piece.events) >= limit
	if moved {
		err = r.advance(ctx, l.token, piece)
		if errors.Is(err, errStale) {
			err = l.refresh(ctx)
		}
	}
	if err == nil && number == s.Building {
		err = l.finish(ctx)
	}
	return moved, full, err
}

// idle waits for the log to grow behind the live generation, at most until
// something else is due: a sign of life, or to try a switch again. s is the state
// that was looked at: when somebody in this process changed it since, there is
// something to do.
func (l *leader) idle(ctx context.Context, s *state) error {
	r := l.r
	after := banyan.Position(math.MaxInt64) // the growth is of no concern to who may not advance it
	if live := s.generation(s.Active); r.held(s, live) == "" {
		after = live.Position
	}
	due := r.opts.Lease / 3
	if again := time.Until(l.again); again > 0 {
		due = min(due, again)
	}
	wait, cancel := context.WithTimeout(ctx, due)
	defer cancel()
	r.mu.Lock()
	r.interrupt = cancel
	changed := r.known.Rev != s.Rev
	r.mu.Unlock()
	if changed {
		return nil
	}
	err := r.log.Wait(wait, after)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case wait.Err() != nil:
		return l.refresh(ctx)
	case fatal(err):
		return err
	default:
		return r.pause(ctx, 0)
	}
}

// refresh gives a sign of life and learns what others changed in the state.
func (l *leader) refresh(ctx context.Context) error {
	return l.r.persist(ctx, "renew the lease", func() error {
		return l.r.change(ctx, l.token, func(*change) error { return nil })
	})
}

// note keeps trouble in the state, once, where other processes see it; or tries
// to, as the database may be the cause. It returns an error only when the lease is
// lost.
func (l *leader) note(ctx context.Context, doing string, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, errFenced) {
		return nil
	}
	text := plain(doing+": "+err.Error(), maxError)
	failed := l.r.change(ctx, l.token, func(c *change) error {
		since := l.r.opts.Now()
		if t := c.state.Trouble; t != nil {
			if t.Error == text {
				return errLeave
			}
			since = t.Since
		}
		c.state.Trouble = &trouble{Error: text, Since: since}
		return nil
	})
	if errors.Is(failed, errFenced) {
		return failed
	}
	return nil
}

// release lets go of the lease, so that the next runner need not wait, and leaves
// the reason when that was a failure. It is only politeness: when it fails, the
// lease runs out.
func (l *leader) release(ctx context.Context, why error) {
	r := l.r
	stopped := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.Lease/3)
	defer cancel()
	err := r.change(ctx, l.token, func(c *change) error {
		c.state.Owner, c.state.Process = "", ""
		if why != nil && !stopped {
			c.state.Trouble = &trouble{Error: plain("stopped: "+why.Error(), maxError), Since: r.opts.Now()}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFenced) {
		r.opts.Logger.Warn("projection could not release its lease", "projection", r.name, "error", err)
	}
}
