package projection

import (
	"context"
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
		c.state.Trouble = nil
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
	if err := c.handOver(ctx, number); err != nil {
		return err
	}
	before := c.state.Active
	c.state.Active, c.state.Trouble = number, nil
	if c.state.Building == number {
		c.state.Building = 0
	}
	g := c.state.generation(number)
	g.Hold, g.Waiting = false, ""
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
	if g.ParkedEvents > 0 {
		for row, err := range c.r.parkedAfter(ctx, c.own, number, 0) {
			if err != nil {
				return err
			}
			c.r.parked.Delete(ctx, c.own, row.id())
		}
	}
	if c.state.Building == number {
		c.state.Building, c.state.Trouble = 0, nil
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
