package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/banyanhq/banyan"
)

// Status is how a projection is.
type Status struct {
	Name string
	// Owner is the runner that holds the lease; empty: none.
	Owner string
	// Head is the end of the log.
	Head        banyan.Position
	Generations []Generation
}

// Generation is how one generation is.
type Generation struct {
	Number  int
	Version int // of the code that made it
	// Role is "active", "building" or "older".
	Role     string
	Position banyan.Position
	// Handled is how many events were applied.
	Handled int64
	// Lag is how many positions the generation is behind the log: events of any
	// kind, and holes where the store has them.
	Lag int64
	// LagTime is how long ago the oldest event that it has not handled was
	// recorded; 0 when there is none.
	LagTime time.Duration
	// Progress is the part of the log that is handled, from 0 to 1.
	Progress     float64
	ParkedKeys   int
	ParkedEvents int
	// Held says why this runner's code does not advance it; empty: it does.
	Held string
}

// Active returns the live generation.
func (s Status) Active() Generation {
	for _, g := range s.Generations {
		if g.Role == "active" {
			return g
		}
	}
	return Generation{}
}

// Status reads how the projection is, whichever process advances it. Before its
// first run it has no generations.
func (r *Runner) Status(ctx context.Context) (Status, error) {
	status, err := r.status(ctx)
	if err != nil {
		return status, fmt.Errorf("projection: status of %s: %w", r.def.name, err)
	}
	return status, nil
}

func (r *Runner) status(ctx context.Context) (Status, error) {
	status := Status{Name: r.def.name}
	s, err := r.look(ctx)
	if err != nil {
		if s == nil && banyan.Kind(err) == banyan.ErrNotFound { //nolint:errorlint // Kind returns the value itself
			status.Head, err = r.log.Head(ctx)
		}
		return status, err
	}
	// After the state, so that no generation is ahead of it.
	if status.Head, err = r.log.Head(ctx); err != nil {
		return status, err
	}
	status.Owner = s.Owner
	for i := range s.Generations {
		g := &s.Generations[i]
		late, err := r.lagTime(ctx, g.Position)
		if err != nil {
			return status, err
		}
		one := Generation{
			Number: g.Number, Version: g.Version, Role: s.role(g.Number), Position: g.Position, Handled: g.Handled,
			Lag: int64(max(status.Head-g.Position, 0)), LagTime: late, Progress: 1,
			ParkedKeys: g.ParkedKeys, ParkedEvents: g.ParkedEvents, Held: r.held(s, g),
		}
		if one.Lag > 0 {
			one.Progress = float64(g.Position) / float64(status.Head)
		}
		status.Generations = append(status.Generations, one)
	}
	return status, nil
}

// lagTime is the age of the first event after a position that concerns the
// definition.
func (r *Runner) lagTime(ctx context.Context, after banyan.Position) (time.Duration, error) {
	for {
		page, err := r.log.ReadPage(ctx, after, r.filter, 1)
		if err != nil {
			return 0, err
		}
		if len(page.Events) > 0 {
			return max(r.opts.Now().Sub(page.Events[0].Recorded), 0), nil
		}
		if page.Next == after {
			return 0, nil
		}
		after = page.Next
	}
}
