package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// ParkedEvent is an event that was set aside.
type ParkedEvent struct {
	Generation int
	// Key is what later events of which wait too; see Options.Key.
	Key      string
	Position banyan.Position
	EventID  string
	Type     string
	Stream   string
	// Error says why: the failure, or that an earlier event of the key waits.
	Error string
	// Attempts is how often it was tried; 0 when it only waits.
	Attempts int
}

// Parked returns the parked events of the live generation in the order of the
// log, at most 1,000; Status has the number of all, and of other generations.
func (r *Runner) Parked(ctx context.Context) ([]ParkedEvent, error) {
	s, err := r.look(ctx)
	if err != nil {
		return nil, fmt.Errorf("projection: parked events of %s: %w", r.def.name, err)
	}
	rows, err := r.parkedRows(ctx, exactly("owner", parkedOwner(r.def.name, s.Active), 1000))
	if err != nil {
		return nil, fmt.Errorf("projection: parked events of %s: %w", r.def.name, err)
	}
	events := make([]ParkedEvent, len(rows))
	for i, p := range rows {
		events[i] = ParkedEvent{
			Generation: p.Generation, Key: p.Key, Position: p.Position, EventID: p.EventID,
			Type: p.Type, Stream: p.Stream, Error: p.Error, Attempts: p.Attempts,
		}
	}
	return events, nil
}

func (r *Runner) parkedRows(ctx context.Context, q view.Query) ([]parkedRow, error) {
	page, err := r.parked.Scan(ctx, r.db, q)
	if err != nil {
		return nil, err
	}
	rows := make([]parkedRow, len(page.Items))
	for i, item := range page.Items {
		rows[i] = item.Value
	}
	return rows, nil
}

// look reads the state as it is now.
func (r *Runner) look(ctx context.Context) (*state, error) {
	s, found, err := r.states.Get(ctx, r.db, r.def.name)
	if errors.Is(err, banyan.ErrNotFound) || (err == nil && (!found || s.Active == 0)) {
		return nil, fmt.Errorf("%w: the projection has never run", banyan.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// Retry applies the parked events of a key in order, in every generation that
// this code may write, the live one first; then the key is no longer parked. It
// stops at the first event that fails again: those before it are kept, it and
// those behind it stay parked, and its error is returned. Effects run for events
// for which none have run yet, in the live generation only.
func (r *Runner) Retry(ctx context.Context, key string) error {
	if err := r.retry(ctx, key); err != nil {
		return fmt.Errorf("projection: retry %s of %s: %w", key, r.def.name, err)
	}
	return nil
}

func (r *Runner) retry(ctx context.Context, key string) error {
	s, err := r.look(ctx)
	if err != nil {
		return err
	}
	order := []int{s.Active}
	for _, g := range s.Generations {
		if g.Number != s.Active {
			order = append(order, g.Number)
		}
	}
	found := false
	for _, number := range order {
		g := s.generation(number)
		if r.held(s, g) != "" {
			continue
		}
		n, err := r.retryGeneration(ctx, number, key)
		if err != nil {
			return err
		}
		found = found || n > 0
	}
	if !found {
		return fmt.Errorf("%w: no event is parked under this key", banyan.ErrNotFound)
	}
	return nil
}

// retryGeneration returns how many events it applied. It goes on until the key
// is empty, because the runner parks more of it until then.
func (r *Runner) retryGeneration(ctx context.Context, number int, key string) (applied int, err error) {
	for {
		rows, err := r.parkedRows(ctx, exactly("parked_key", parkedOwner(r.def.name, number)+"/"+key, r.def.opts.BatchSize))
		if err != nil || len(rows) == 0 {
			return applied, err
		}
		events, err := r.reread(ctx, rows)
		if err != nil {
			return applied, err
		}
		done, err := r.unparkBatch(ctx, rows, events)
		applied += done
		if err != nil {
			return applied, err
		}
	}
}

// reread returns the events of parked rows, in the rows' order.
func (r *Runner) reread(ctx context.Context, rows []parkedRow) ([]banyan.Event, error) {
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.EventID
	}
	found, err := r.log.Lookup(ctx, ids...)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]banyan.Event, len(found))
	for _, e := range found {
		byID[e.ID] = e
	}
	events := make([]banyan.Event, len(rows))
	for i, row := range rows {
		e, ok := byID[row.EventID]
		if !ok {
			return nil, fmt.Errorf("event %s at position %d: %w: it was parked and is not in the log", row.EventID, row.Position, banyan.ErrCorrupt)
		}
		events[i] = e
	}
	return events, nil
}

// unparkBatch applies rows in one batch. When an event fails, they are applied
// one by one up to that one, whose failure is recorded.
func (r *Runner) unparkBatch(ctx context.Context, rows []parkedRow, events []banyan.Event) (int, error) {
	err := r.administer(ctx, func(c *change) error { return c.unparkRows(ctx, rows, events) })
	if err == nil {
		return len(rows), nil
	}
	if !isPoison(err) || ctx.Err() != nil {
		return 0, err
	}
	for i := range rows {
		err := r.administer(ctx, func(c *change) error { return c.unparkRows(ctx, rows[i:i+1], events[i:i+1]) })
		if isPoison(err) && ctx.Err() == nil {
			err = fmt.Errorf("event %s at position %d: %w", rows[i].EventID, rows[i].Position, err)
			return i, errors.Join(err, r.administer(ctx, func(c *change) error { return c.failAgain(ctx, rows[i], err) }))
		}
		if err != nil {
			return i, err
		}
	}
	return len(rows), nil
}

// unparkRows applies events and deletes their rows, and unparks the key when
// nothing waits under it any more.
func (c *change) unparkRows(ctx context.Context, rows []parkedRow, events []banyan.Event) error {
	g := c.state.generation(rows[0].Generation)
	if g == nil {
		return errLeave // dropped since, with its rows
	}
	b := &Batch{writer: view.NewWriter(c.tx, g.Number)}
	for i, e := range events {
		_, there, err := c.r.parked.Get(ctx, c.own, rows[i].id())
		if err != nil {
			return err
		}
		if !there {
			return errLeave // somebody else retried it at the same time
		}
		b.muted = g.Number != c.state.Active || !rows[i].Effects
		if err := c.r.def.handle(ctx, b, e); err != nil {
			return c.blame(err)
		}
		c.r.parked.Delete(ctx, c.own, rows[i].id())
		g.Handled++
		g.ParkedEvents--
	}
	if err := c.complete(ctx, b); err != nil {
		return err
	}
	left, err := c.r.parked.Scan(ctx, c.own, exactly("parked_key", parkedOwner(c.r.def.name, g.Number)+"/"+rows[0].Key, 1))
	if err != nil || len(left.Items) > 0 {
		return err
	}
	return c.unpark(ctx, g, rows[0].Key)
}

// failAgain records one more failure of a parked event.
func (c *change) failAgain(ctx context.Context, row parkedRow, why error) error {
	if _, there, err := c.r.parked.Get(ctx, c.own, row.id()); err != nil || !there {
		return err
	}
	row.Error, row.Attempts = plain(why.Error(), maxError), row.Attempts+1
	return c.r.parked.Put(ctx, c.own, row.id(), row)
}
