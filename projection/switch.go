package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/banyanhq/banyan"
)

// RebuildOptions of Rebuild. The zero value switches readers over.
type RebuildOptions struct {
	// Hold keeps the new generation beside the live one, up to date, until
	// somebody calls Switch.
	Hold bool
}

// SwitchOptions of Switch. The zero value loses nothing.
type SwitchOptions struct {
	// Force switches although effects of parked events are lost by it.
	Force bool
}

// caughtUp reports whether a generation is as far as the live one.
func (s *state) caughtUp(number int) bool {
	g, live := s.generation(number), s.generation(s.Active)
	return g != nil && live != nil && g.Position >= live.Position
}

// switching is what finish does, for logs and Status.
const switching = "switch generations"

// finish switches to the generation that was built, once it is as far as the
// live one. What goes wrong there stops neither the live generation nor the one
// that is built: it is tried again later.
func (l *leader) finish(ctx context.Context) error {
	r := l.r
	if !r.current().caughtUp(r.current().Building) || time.Now().Before(l.again) {
		return nil
	}
	switched, waits := 0, ""
	err := r.change(ctx, l.token, func(c *change) (err error) {
		switched, waits = 0, ""
		g := c.state.generation(c.state.Building)
		if g == nil || !c.state.caughtUp(g.Number) {
			return errLeave
		}
		if waits, err = c.waits(ctx, g); err != nil {
			return err
		}
		if waits != "" && waits == g.Waiting {
			return errLeave
		}
		if g.Waiting = waits; waits != "" {
			return nil
		}
		switched = g.Number
		return c.activate(ctx, g.Number)
	})
	if ctx.Err() != nil || fatal(err) {
		return err
	}
	if err != nil {
		l.again = time.Now().Add(r.backoff(l.failures))
		l.failures++
		r.ail(switching, err)
		r.opts.Logger.Warn("projection tries again", "projection", r.name, "doing", switching, "attempt", l.failures, "error", err)
		return l.note(ctx, switching, err)
	}
	r.recovered(switching)
	l.failures, l.again = 0, time.Time{}
	if waits != "" {
		l.again = time.Now().Add(r.opts.MaxBackoff)
	}
	if switched > 0 {
		r.opts.Logger.Info("projection switched", "projection", r.name, "generation", switched)
	}
	return nil
}

// waits says why readers are not to be switched to the generation that was built
// before a person has looked at it; empty: they are.
func (c *change) waits(ctx context.Context, g *generation) (string, error) {
	if g.Hold {
		return "it is held until somebody switches to it", nil
	}
	key, worse, err := c.worse(ctx, g)
	if err != nil {
		return "", err
	}
	if worse {
		return fmt.Sprintf("key %q is parked in it and not in the live generation, so that a switch would hide rows: retry the key, or switch all the same", key), nil
	}
	return c.losing(ctx, g.Number)
}

// worse returns a parked key of the generation that is built which the live one
// does not have.
func (c *change) worse(ctx context.Context, g *generation) (string, bool, error) {
	built, err := c.parkedKeys(ctx, g)
	if err != nil {
		return "", false, err
	}
	live, err := c.parkedKeys(ctx, c.state.generation(c.state.Active))
	if err != nil {
		return "", false, err
	}
	least, found := "", false
	for key := range built.keys {
		if !live.keys[key] && (!found || key < least) {
			least, found = key, true
		}
	}
	return least, found, nil
}

// Rebuild starts a new generation from the beginning of the log, beside the live
// one, and returns its number. The running runner builds it and switches readers
// over when it has caught up, unless it is told to hold it. While one is being
// built, another is refused with banyan.ErrExists; Drop abandons it.
func (r *Runner) Rebuild(ctx context.Context, o *RebuildOptions) (int, error) {
	number := 0
	err := r.administer(ctx, noToken, func(c *change) (err error) {
		number, err = c.rebuild(ctx, o != nil && o.Hold)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("projection: rebuild %s: %w", r.name, err)
	}
	return number, nil
}

func (c *change) rebuild(ctx context.Context, hold bool) (int, error) {
	if c.state.Building != 0 {
		return 0, fmt.Errorf("%w: generation %d is being built; drop it first", banyan.ErrExists, c.state.Building)
	}
	g, err := c.create(ctx)
	if err != nil {
		return 0, err
	}
	g.Hold, c.state.Building = hold, g.Number
	return g.Number, nil
}

// Switch makes a kept generation the live one: back to the older one, or to one
// that is being built and was held because keys are parked in it. It first
// applies the events that the generation lacks, so that readers never go back in
// time. Switching to the live generation does nothing.
//
// A switch by which the effects of parked events would be lost is refused with
// banyan.ErrConflict: see Batch.Effect and SwitchOptions.Force.
func (r *Runner) Switch(ctx context.Context, generation int, o *SwitchOptions) error {
	for {
		err := r.administer(ctx, noToken, func(c *change) error {
			return c.switchTo(ctx, generation, o != nil && o.Force)
		})
		if err == nil {
			return nil
		}
		if errors.Is(err, errBehind) {
			err = r.catchUp(ctx, noToken, generation)
		}
		if err != nil {
			return fmt.Errorf("projection: switch %s: %w", r.name, err)
		}
	}
}

// errBehind says that a generation has to catch up with the live one first.
var errBehind = errors.New("it is behind the live generation")

func (c *change) switchTo(ctx context.Context, number int, force bool) error {
	g := c.state.generation(number)
	switch {
	case g == nil:
		return fmt.Errorf("generation %d: %w: it is not kept", number, banyan.ErrNotFound)
	case number == c.state.Active:
		return nil
	case !c.state.caughtUp(number):
		if why := c.r.held(c.state, g); why != "" {
			return fmt.Errorf("generation %d: %w: it is behind the live one and %s", number, banyan.ErrInvalid, why)
		}
		return errBehind
	}
	if !force {
		why, err := c.losing(ctx, number)
		if err != nil {
			return err
		}
		if why != "" {
			return fmt.Errorf("generation %d: %w: %s", number, banyan.ErrConflict, why)
		}
	}
	return c.activate(ctx, number)
}

// catchUp applies one page to a generation. Without the lease's token, the check
// of the checkpoint inside the batch keeps it apart from the runner that leads.
func (r *Runner) catchUp(ctx context.Context, token int64, number int) error {
	s, err := r.look(ctx)
	if err != nil {
		return err
	}
	g := s.generation(number)
	if g == nil || s.caughtUp(number) {
		return nil // it is looked at again
	}
	piece, err := r.next(ctx, s, g, r.def.opts.BatchSize*maxStride)
	if err != nil {
		return err
	}
	if piece.next == piece.after {
		return fmt.Errorf("generation %d: %w: it is behind the live one, and the log ends at position %d", number, banyan.ErrCorrupt, piece.after)
	}
	if err := r.advance(ctx, token, piece); err != nil && !errors.Is(err, errStale) {
		return err
	}
	return nil
}

// Drop removes a generation that is not live, with its tables: the older one, or
// one that is being built, which is thereby abandoned.
func (r *Runner) Drop(ctx context.Context, generation int) error {
	err := r.administer(ctx, noToken, func(c *change) error { return c.dropKept(ctx, generation) })
	if err != nil {
		return fmt.Errorf("projection: drop a generation of %s: %w", r.name, err)
	}
	return nil
}

func (c *change) dropKept(ctx context.Context, number int) error {
	switch {
	case c.state.generation(number) == nil:
		return fmt.Errorf("generation %d: %w: it is not kept", number, banyan.ErrNotFound)
	case number == c.state.Active:
		return fmt.Errorf("generation %d: %w: it is the live one; switch to another first", number, banyan.ErrInvalid)
	}
	return c.drop(ctx, number)
}

// administer changes the state for a person, and tells the runner in this
// process, if one is running.
func (r *Runner) administer(ctx context.Context, token int64, fn func(c *change) error) error {
	err := r.change(ctx, token, func(c *change) error {
		if c.state.Active == 0 {
			return errNeverRun
		}
		return fn(c)
	})
	r.nudge()
	return err
}
