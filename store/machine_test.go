package store_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/machine"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// R8: a Store means what a model says also over a back end that gives positions
// when the log is read, and in another order than that of the appends.
func TestMachine(t *testing.T) {
	t.Parallel()
	sizes := machine.Sizes{Checks: 150, Steps: 50, LongChecks: 20_000, LongSteps: 100}
	open := func(t testing.TB) store.Backend {
		b := &postponing{Backend: mem.Open().Backend(), at: map[string]banyan.Position{}}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	machine.Run(t, "R8", sizes, func(t testing.TB, r *rapid.T) {
		m := storetest.NewMachine(t, storetest.Harness{Open: open}, machine.Choose(r))
		machine.Repeat(r, m.Actions())
		m.Check()
	})
}

// postponing is a back end that gives positions only when somebody asks for the head or
// the end of the log: then to all events since, stream by stream.
type postponing struct {
	store.Backend

	mu   sync.Mutex
	read banyan.Position            // guarded by mu: how far it has read the log behind it
	log  []store.Record             // guarded by mu: by position
	at   map[string]banyan.Position // guarded by mu: by event id
}

func (b *postponing) Promises() store.Promises {
	p := b.Backend.Promises()
	p.PositionOnAppend, p.Snapshots = false, false
	return p
}

// place gives positions to what has none; mu held.
func (b *postponing) place(ctx context.Context) error {
	records, next, err := b.Backend.ReadAll(ctx, b.read, store.Filter{}, 1_000_000)
	if err != nil {
		return err
	}
	b.read = next
	slices.SortStableFunc(records, func(x, y store.Record) int { return cmp.Compare(y.Stream, x.Stream) })
	for _, r := range records {
		r.Position = banyan.Position(len(b.log) + 1)
		b.log = append(b.log, r)
		b.at[r.ID] = r.Position
	}
	return nil
}

// known puts the positions that were given in the place of those behind it.
func (b *postponing) known(records []store.Record) []store.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range records {
		records[i].Position = b.at[records[i].ID]
	}
	return records
}

func (b *postponing) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	outcomes, err := b.Backend.Append(ctx, commits)
	for i := range outcomes {
		outcomes[i].Records = b.known(outcomes[i].Records)
	}
	return outcomes, err
}

func (b *postponing) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	records, err := b.Backend.ReadStream(ctx, stream, r)
	return b.known(records), err
}

func (b *postponing) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	records, err := b.Backend.Lookup(ctx, ids)
	return b.known(records), err
}

func (b *postponing) Head(ctx context.Context) (banyan.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.place(ctx)
	return banyan.Position(len(b.log)), err
}

func (b *postponing) ReadAll(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(after) >= len(b.log) {
		if err := b.place(ctx); err != nil {
			return nil, after, err
		}
	}
	var records []store.Record
	next := after
	for _, r := range b.log[min(int(after), len(b.log)):] {
		if len(records) == limit {
			break
		}
		if next = r.Position; f.Matches(r.Type, r.Stream) {
			records = append(records, r)
		}
	}
	return records, next, nil
}
