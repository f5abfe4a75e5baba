package projection

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan"
)

// Effects run in the live generation, when it handles the event, once. No
// generation is ever ahead of the live one and only one that is as far as it
// becomes live, so each event is passed by a live generation exactly once. What is
// left are events that the live generation has parked: their effects are owed, and
// the functions here see to it that a switch does not lose them.

// markMissed notes events whose effects were left out by a generation that is not
// live, where others have parked them and owe their effects: the live one, or one
// that may be live again.
func (c *change) markMissed(ctx context.Context, by *generation, at []banyan.Position) error {
	for i := range c.state.Generations {
		g := &c.state.Generations[i]
		if len(at) == 0 || g.ParkedEvents == 0 || g.Number == by.Number {
			continue
		}
		if err := c.markMissedIn(ctx, g, at); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) markMissedIn(ctx context.Context, g *generation, at []banyan.Position) error {
	for row, err := range c.r.parkedAfter(ctx, c.own, g.Number, at[0]-1) {
		if err != nil {
			return err
		}
		for len(at) > 0 && at[0] < row.Position {
			at = at[1:]
		}
		if len(at) == 0 {
			return nil
		}
		if at[0] != row.Position || !row.Effects || row.Missed {
			continue
		}
		row.Missed = true
		if err := c.r.parked.Put(ctx, c.own, row.id(), row); err != nil {
			return err
		}
	}
	return nil
}

// owed goes through the parked events of the live generation whose effects have
// not run, each with its row in another generation; that is nil where the other
// has handled the event.
func (c *change) owed(ctx context.Context, to int, fn func(row parkedRow, other *parkedRow) error) error {
	live := c.state.generation(c.state.Active)
	if live == nil || live.ParkedEvents == 0 {
		return nil
	}
	for row, err := range c.r.parkedAfter(ctx, c.own, live.Number, 0) {
		if err != nil {
			return err
		}
		if !row.Effects {
			continue
		}
		there, found, err := c.r.parked.Get(ctx, c.own, parkedID(c.r.name, to, row.Position))
		if err != nil {
			return err
		}
		other := &there
		if !found {
			other = nil
		}
		if err := fn(row, other); err != nil {
			return err
		}
	}
	return nil
}

// losing says which effects would be lost by a switch to a generation; empty:
// none.
func (c *change) losing(ctx context.Context, to int) (string, error) {
	why := ""
	err := c.owed(ctx, to, func(row parkedRow, other *parkedRow) error {
		if other == nil && row.Missed {
			why = fmt.Sprintf("event %s at position %d is parked in the live generation, and generation %d has handled it without its effects, which nobody would run any more: retry its key %q first, or force the switch and do without them",
				row.EventID, row.Position, to, row.Key)
			return errLeave
		}
		return nil
	})
	if err == errLeave { //nolint:errorlint // the value itself comes back
		err = nil
	}
	return why, err
}

// handOver makes a generation owe the effects of the events that are parked there
// too. What the live one alone has parked it still owes, should it become live
// again.
func (c *change) handOver(ctx context.Context, to int) error {
	return c.owed(ctx, to, func(row parkedRow, other *parkedRow) error {
		if other == nil {
			return nil
		}
		other.Effects, other.Missed = true, row.Missed // a third one may have left them out
		row.Effects, row.Missed = false, false
		if err := c.r.parked.Put(ctx, c.own, row.id(), row); err != nil {
			return err
		}
		return c.r.parked.Put(ctx, c.own, other.id(), *other)
	})
}
