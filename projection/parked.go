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
	rows, err := r.parkedRows(ctx, exactly("owner", parkedOwner(r.name, s.Active), 1000))
	if err != nil {
		return nil, fmt.Errorf("projection: parked events of %s: %w", r.def.name, err)
	}
	events := make([]ParkedEvent, len(rows))
	for i, p := range rows {
		events[i] = p.event()
	}
	return events, nil
}

func (p parkedRow) event() ParkedEvent {
	return ParkedEvent{
		Generation: p.Generation, Key: p.Key, Position: p.Position, EventID: p.EventID,
		Type: p.Type, Stream: p.Stream, Error: p.Error, Attempts: p.Attempts,
	}
}

func (t *records) parkedRows(ctx context.Context, q view.Query) ([]parkedRow, error) {
	page, err := t.parked.Scan(ctx, t.db, q)
	if err != nil {
		return nil, err
	}
	rows := make([]parkedRow, len(page.Items))
	for i, item := range page.Items {
		rows[i] = item.Value
	}
	return rows, nil
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
	found := false
	for {
		n, more, err := r.retryStep(ctx, noToken, key)
		if err != nil {
			return err
		}
		found = found || n > 0
		if !more {
			break
		}
	}
	if !found {
		return fmt.Errorf("%w: no event is parked under this key", banyan.ErrNotFound)
	}
	return nil
}

// retryStep applies one page of the parked events of a key, and returns how many
// those were and whether it has to be called again: until the key is empty,
// because the runner parks more of it until then.
func (r *Runner) retryStep(ctx context.Context, token int64, key string) (applied int, more bool, err error) {
	s, err := r.look(ctx)
	if err != nil {
		return 0, false, err
	}
	for _, number := range s.liveFirst() {
		if r.held(s, s.generation(number)) != "" {
			continue
		}
		rows, err := r.parkedRows(ctx, exactly("parked_key", parkedOwner(r.name, number)+"/"+key, r.def.opts.BatchSize))
		if err != nil {
			return 0, false, err
		}
		if len(rows) == 0 {
			continue
		}
		events, err := r.reread(ctx, rows)
		if err != nil {
			return 0, false, err
		}
		applied, err = r.unparkBatch(ctx, token, rows, events)
		return applied, true, err
	}
	return 0, false, nil
}

// liveFirst returns the numbers of the generations, that of the live one first.
func (s *state) liveFirst() []int {
	order := []int{s.Active}
	for _, g := range s.Generations {
		if g.Number != s.Active {
			order = append(order, g.Number)
		}
	}
	return order
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
func (r *Runner) unparkBatch(ctx context.Context, token int64, rows []parkedRow, events []banyan.Event) (int, error) {
	err := r.administer(ctx, token, func(c *change) error { return c.unparkRows(ctx, rows, events) })
	if err == nil {
		return len(rows), nil
	}
	if !isPoison(err) || ctx.Err() != nil {
		return 0, err
	}
	for i := range rows {
		err := r.administer(ctx, token, func(c *change) error { return c.unparkRows(ctx, rows[i:i+1], events[i:i+1]) })
		if isPoison(err) && ctx.Err() == nil {
			err = fmt.Errorf("event %s at position %d: %w", rows[i].EventID, rows[i].Position, err)
			return i, errors.Join(err, r.administer(ctx, token, func(c *change) error { return c.failAgain(ctx, rows[i], err) }))
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
		// Not the row that was read before this batch: a switch may have changed
		// who runs its effects.
		row, there, err := c.r.parked.Get(ctx, c.own, rows[i].id())
		if err != nil {
			return err
		}
		if !there {
			return errLeave // somebody else retried it at the same time
		}
		c.r.parked.Delete(ctx, c.own, row.id())
		g.ParkedEvents--
		b.muted = g.Number != c.state.Active || !row.Effects
		if err := c.handle(ctx, b, g, e, i); err != nil {
			return err
		}
	}
	if err := c.complete(ctx, b, g); err != nil {
		return err
	}
	left, err := c.r.parked.Scan(ctx, c.own, exactly("parked_key", parkedOwner(c.r.name, g.Number)+"/"+rows[0].Key, 1))
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
