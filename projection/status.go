package projection

import (
	"context"
	"fmt"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Status is how a projection is.
type Status struct {
	Name string
	// Owner is the runner that holds the lease; empty: none. Until is when its
	// lease ends unless it gives another sign of life, by its own clock.
	Owner string
	Until time.Time
	// Error is what keeps it from going on or from switching, since when; empty:
	// nothing. It is tried again with growing pauses, or has ended the runner.
	Error      string
	ErrorSince time.Time
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
	// Held says why the code does not advance it; empty: it does.
	Held string
	// Waiting says why readers were not switched to it although it has caught up.
	Waiting string
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
	s, err := r.peek(ctx)
	if err != nil {
		return Status{Name: r.name}, err
	}
	status := s.status(r.name)
	for i := range status.Generations {
		status.Generations[i].Held = r.held(s, &s.Generations[i]) // this code may be another than the owner's
	}
	r.mu.Lock()
	for _, t := range r.troubles {
		if status.Error == "" || t.Since.Before(status.ErrorSince) {
			status.Error, status.ErrorSince = t.Error, t.Since
		}
	}
	r.mu.Unlock()
	return status, status.measure(ctx, r.log, r.filter, r.opts.Now())
}

// status is what the state says.
func (s *state) status(name string) Status {
	status := Status{Name: name}
	if s == nil {
		return status
	}
	if status.Owner = s.Owner; s.Owner != "" {
		status.Until = s.Seen.Add(s.Lease)
	}
	if s.Trouble != nil {
		status.Error, status.ErrorSince = s.Trouble.Error, s.Trouble.Since
	}
	for _, g := range s.Generations {
		status.Generations = append(status.Generations, Generation{
			Number: g.Number, Version: g.Version, Role: s.role(g.Number), Position: g.Position, Handled: g.Handled,
			Progress: 1, ParkedKeys: g.ParkedKeys, ParkedEvents: g.ParkedEvents, Held: g.Held, Waiting: g.Waiting,
		})
	}
	return status
}

// measure puts the status beside the log, which is looked at after the state so
// that no generation is ahead of it.
func (s *Status) measure(ctx context.Context, log Log, f store.Filter, now time.Time) (err error) {
	if s.Head, err = log.Head(ctx); err != nil {
		return err
	}
	for i := range s.Generations {
		g := &s.Generations[i]
		if g.Lag = int64(max(s.Head-g.Position, 0)); g.Lag == 0 {
			continue
		}
		g.Progress = float64(g.Position) / float64(s.Head)
		if g.LagTime, err = lagTime(ctx, log, f, g.Position, now); err != nil {
			return err
		}
	}
	return nil
}

// lagTime is the age of the first event after a position that the filter selects.
func lagTime(ctx context.Context, log Log, f store.Filter, after banyan.Position, now time.Time) (time.Duration, error) {
	for {
		page, err := log.ReadPage(ctx, after, f, 1)
		if err != nil {
			return 0, err
		}
		if len(page.Events) > 0 {
			return max(now.Sub(page.Events[0].Recorded), 0), nil
		}
		if page.Next == after {
			return 0, nil
		}
		after = page.Next
	}
}
