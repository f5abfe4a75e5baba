package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// begin brings the generations in line with the code, at the start of a lease:
// the very first generation, or a new one beside the live one when the version
// of the code was raised.
func (r *Runner) begin(ctx context.Context) func(c *change) error {
	return func(c *change) error {
		if len(c.state.Generations) == 0 {
			g, err := c.create(ctx)
			if err != nil {
				return err
			}
			return c.activate(ctx, g.Number)
		}
		newest := 0
		for _, g := range c.state.Generations {
			newest = max(newest, g.Version)
		}
		if r.def.opts.Version > newest {
			if err := c.abandon(ctx); err != nil {
				return err
			}
			g, err := c.create(ctx)
			if err != nil {
				return err
			}
			c.state.Building = g.Number
			r.opts.Logger.Info("projection builds a new generation", "projection", r.def.name, "generation", g.Number, "version", g.Version)
			return nil
		}
		for i := range c.state.Generations {
			if why := r.held(c.state, &c.state.Generations[i]); why != "" {
				r.opts.Logger.Warn("projection does not advance a generation", "projection", r.def.name, "generation", c.state.Generations[i].Number, "reason", why)
			}
		}
		g := c.state.generation(c.state.Active)
		if g.Version == r.def.opts.Version && !r.fits(g) {
			return fmt.Errorf("%w: the collections differ from those of generation %d, which has the same version %d: raise Options.Version", banyan.ErrInvalid, g.Number, g.Version)
		}
		return nil
	}
}

// create makes the tables of a new generation and adds it to the state.
func (c *change) create(ctx context.Context) (*generation, error) {
	if c.state.Last >= maxGeneration {
		return nil, fmt.Errorf("%w: there were %d generations", banyan.ErrInvalid, c.state.Last)
	}
	c.state.Last++
	g := generation{Number: c.state.Last, Version: c.r.def.opts.Version, Collections: c.r.def.shapes(c.state.Last)}
	for _, s := range g.Collections {
		if err := c.tx.Create(ctx, s.Table); err != nil {
			return nil, err
		}
	}
	if err := c.call(ctx, c.r.def.opts.Setup, g.Number); err != nil {
		return nil, fmt.Errorf("set up generation %d: %w", g.Number, err)
	}
	c.state.Generations = append(c.state.Generations, g)
	return c.state.generation(g.Number), nil
}

// activate makes a generation the live one. The one before stays as the older
// one; what was older before that goes.
func (c *change) activate(ctx context.Context, number int) error {
	for _, s := range c.state.generation(number).Collections {
		if err := c.tx.Alias(ctx, s.Name, s.Table.Name); err != nil {
			return err
		}
	}
	if err := c.call(ctx, c.r.def.opts.Activate, number); err != nil {
		return fmt.Errorf("activate generation %d: %w", number, err)
	}
	before := c.state.Active
	c.state.Active = number
	if c.state.Building == number {
		c.state.Building = 0
	}
	for _, g := range slices.Clone(c.state.Generations) {
		if g.Number != number && g.Number != before && g.Number != c.state.Building {
			if err := c.drop(ctx, g.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

// abandon drops the generation that is being built, if there is one.
func (c *change) abandon(ctx context.Context) error {
	if c.state.Building == 0 {
		return nil
	}
	return c.drop(ctx, c.state.Building)
}

// drop removes a generation with its tables and the record of its parked events.
func (c *change) drop(ctx context.Context, number int) error {
	g := c.state.generation(number)
	if err := c.call(ctx, c.r.def.opts.Teardown, number); err != nil {
		return fmt.Errorf("tear down generation %d: %w", number, err)
	}
	for _, s := range g.Collections {
		if err := c.tx.Drop(ctx, s.Table.Name); err != nil {
			return err
		}
	}
	for g.ParkedEvents > 0 {
		page, err := c.r.parked.Scan(ctx, c.own, exactly("owner", parkedOwner(c.r.def.name, number), 1000))
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			c.r.parked.Delete(ctx, c.own, item.Key)
		}
		if page.Next == nil {
			break
		}
	}
	if c.state.Building == number {
		c.state.Building = 0
	}
	c.state.Generations = slices.DeleteFunc(c.state.Generations, func(g generation) bool { return g.Number == number })
	return nil
}

// call runs one of the user's functions for a generation.
func (c *change) call(ctx context.Context, fn func(context.Context, *Batch) error, number int) error {
	if fn == nil {
		return nil
	}
	b := &Batch{writer: view.NewWriter(c.tx, number), muted: true}
	if err := fn(ctx, b); err != nil {
		return err
	}
	return b.writer.Flush(ctx)
}

// shapes returns the collections as they are in a generation; check has made
// sure that this works.
func (d *Definition) shapes(number int) []shape {
	shapes := make([]shape, len(d.opts.Collections))
	for i, c := range d.opts.Collections {
		t, _ := c.Table(number)
		shapes[i] = shape{Name: c.Name(), Table: t}
	}
	return shapes
}

// fits reports whether this code can write the tables of a generation.
func (r *Runner) fits(g *generation) bool {
	return slices.EqualFunc(r.def.shapes(g.Number), g.Collections, func(a, b shape) bool {
		return a.Name == b.Name && slices.Equal(a.Table.Indexes, b.Table.Indexes)
	})
}

// held says why this code must not advance a generation; empty when it may. A
// generation under construction is the fold of its own version only. A live or
// older one may be carried on by other versions as long as they write the same
// tables; tables of the user's own cannot be compared, so there they may not.
func (r *Runner) held(s *state, g *generation) string {
	switch {
	case g.Version == r.def.opts.Version && r.fits(g):
		return ""
	case g.Number == s.Building:
		return fmt.Sprintf("is built by version %d of the code, this is version %d", g.Version, r.def.opts.Version)
	case !r.fits(g):
		return fmt.Sprintf("its tables are those of version %d of the code, this is version %d with others", g.Version, r.def.opts.Version)
	case r.def.opts.Setup != nil:
		return fmt.Sprintf("has tables of its own, made by version %d of the code, this is version %d", g.Version, r.def.opts.Version)
	default:
		return ""
	}
}

// finish switches to the generation that was built, once it is as far as the
// live one. It waits for a person when that would hide rows: when a key is parked
// there that is not parked in the live one.
func (r *Runner) finish(ctx context.Context, token int64) error {
	s := r.current()
	if !s.caughtUp(s.Building) {
		return nil
	}
	switched := 0
	err := r.persist(ctx, "switch generations", func() error {
		return r.change(ctx, token, func(c *change) error {
			switched = 0
			if !c.state.caughtUp(c.state.Building) {
				return errLeave
			}
			worse, err := c.worse(ctx)
			if err != nil {
				return err
			}
			if worse {
				return errLeave
			}
			switched = c.state.Building
			return c.activate(ctx, c.state.Building)
		})
	})
	if err == nil && switched > 0 {
		r.opts.Logger.Info("projection switched", "projection", r.def.name, "generation", switched)
	}
	return err
}

// caughtUp reports whether a generation is as far as the live one.
func (s *state) caughtUp(number int) bool {
	g, live := s.generation(number), s.generation(s.Active)
	return g != nil && live != nil && g.Position >= live.Position
}

// worse reports whether the generation that is built has a parked key which the
// live one has not.
func (c *change) worse(ctx context.Context) (bool, error) {
	built, err := c.parkedKeys(ctx, c.state.generation(c.state.Building))
	if err != nil {
		return false, err
	}
	live, err := c.parkedKeys(ctx, c.state.generation(c.state.Active))
	if err != nil {
		return false, err
	}
	for key := range built.keys {
		if !live.keys[key] {
			return true, nil
		}
	}
	return false, nil
}

// Rebuild starts a new generation from the beginning of the log, beside the live
// one, and returns its number. The running runner builds it and switches readers
// over when it has caught up. While one is being built, another is refused with
// banyan.ErrExists; Drop abandons it.
func (r *Runner) Rebuild(ctx context.Context) (int, error) {
	number := 0
	err := r.administer(ctx, func(c *change) error {
		if c.state.Building != 0 {
			return fmt.Errorf("%w: generation %d is being built", banyan.ErrExists, c.state.Building)
		}
		g, err := c.create(ctx)
		if err != nil {
			return err
		}
		number, c.state.Building = g.Number, g.Number
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("projection: rebuild %s: %w", r.def.name, err)
	}
	return number, nil
}

// Switch makes a kept generation the live one: back to the older one, or to one
// that is being built and was held because keys are parked in it. It first
// applies the events that the generation lacks, so that readers never go back in
// time. Switching to the live generation does nothing.
func (r *Runner) Switch(ctx context.Context, generation int) error {
	for {
		var lacks *slice
		err := r.administer(ctx, func(c *change) error {
			lacks = nil
			g := c.state.generation(generation)
			switch {
			case g == nil:
				return fmt.Errorf("generation %d: %w: it is not kept", generation, banyan.ErrNotFound)
			case generation == c.state.Active:
				return errLeave
			case c.state.caughtUp(generation):
				return c.activate(ctx, generation)
			}
			if why := r.held(c.state, g); why != "" {
				return fmt.Errorf("generation %d: %w: it is behind the live one and %s", generation, banyan.ErrInvalid, why)
			}
			lacks = &slice{generation: generation, after: g.Position}
			return errLeave
		})
		if err == nil && lacks != nil {
			err = r.catchUp(ctx, *lacks)
		}
		if err != nil {
			return fmt.Errorf("projection: switch %s: %w", r.def.name, err)
		}
		if lacks == nil {
			return nil
		}
	}
}

// catchUp applies one page to a generation without the lease: the check of the
// checkpoint inside the batch keeps it apart from the runner that leads.
func (r *Runner) catchUp(ctx context.Context, s slice) error {
	page, err := r.log.ReadPage(ctx, s.after, r.filter, r.def.opts.BatchSize*8)
	if err != nil {
		return err
	}
	s.next, s.events = page.Next, page.Events
	if s.next == s.after {
		return fmt.Errorf("generation %d: %w: it is behind the live one, and the log ends at position %d", s.generation, banyan.ErrCorrupt, s.after)
	}
	if err := r.advance(ctx, noToken, s); err != nil && !errors.Is(err, errStale) {
		return err
	}
	return nil
}

// Drop removes a generation that is not live, with its tables: the older one, or
// one that is being built, which is thereby abandoned.
func (r *Runner) Drop(ctx context.Context, generation int) error {
	err := r.administer(ctx, func(c *change) error {
		switch {
		case c.state.generation(generation) == nil:
			return fmt.Errorf("generation %d: %w: it is not kept", generation, banyan.ErrNotFound)
		case generation == c.state.Active:
			return fmt.Errorf("generation %d: %w: it is the live one; switch to another first", generation, banyan.ErrInvalid)
		}
		return c.drop(ctx, generation)
	})
	if err != nil {
		return fmt.Errorf("projection: drop a generation of %s: %w", r.def.name, err)
	}
	return nil
}

// administer changes the state for a person, and tells the runner in this
// process, if one is running.
func (r *Runner) administer(ctx context.Context, fn func(c *change) error) error {
	err := r.change(ctx, noToken, func(c *change) error {
		if c.state.Active == 0 {
			return fmt.Errorf("%w: the projection has never run", banyan.ErrNotFound)
		}
		return fn(c)
	})
	r.nudge()
	return err
}
