package projection_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// faulty is a back end that fails at chosen calls. After a crash every call
// fails: the process that used it is dead, and what it did not commit is gone.
type faulty struct {
	view.Backend
	mu      sync.Mutex
	rng     *rand.Rand
	left    int  // guarded by mu: calls until the crash; negative: never
	flaky   int  // guarded by mu: one call in so many fails; 0: none
	dead    bool // guarded by mu
	faults  int  // guarded by mu
	planted bool // commits the checkpoint before the rows: the bug that must be found
}

var (
	errDead  = fmt.Errorf("the process is dead: %w", banyan.ErrClosed)
	errFlaky = fmt.Errorf("a fault: %w", banyan.ErrUnavailable)
)

// point is a place where something may fail.
func (f *faulty) point() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return errDead
	}
	if f.left > 0 {
		if f.left--; f.left == 0 {
			f.dead = true
			f.faults++
			return errDead
		}
	}
	if f.flaky > 0 && f.rng.IntN(f.flaky) == 0 {
		f.faults++
		return errFlaky
	}
	return nil
}

func (f *faulty) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

func (f *faulty) dieAfter(calls int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = calls
}

func (f *faulty) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *faulty) Get(ctx context.Context, table, key string) ([]byte, error) {
	if err := f.point(); err != nil {
		return nil, err
	}
	return f.Backend.Get(ctx, table, key)
}

func (f *faulty) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	if err := f.point(); err != nil {
		return err
	}
	if f.planted && name == "sales" {
		return f.batchPlanted(ctx, name, fn)
	}
	err := f.Backend.Batch(ctx, name, func(tx view.Tx) error {
		if err := fn(faultyTx{tx, f}); err != nil {
			return err
		}
		return f.point() // the commit did not happen
	})
	if err != nil {
		return err
	}
	if err := f.point(); err != nil { // it did, and its answer was lost
		return fmt.Errorf("%w: %w", banyan.ErrUnknown, err)
	}
	return nil
}

type faultyTx struct {
	view.Tx
	f *faulty
}

func (t faultyTx) Get(ctx context.Context, table, key string) ([]byte, error) {
	if err := t.f.point(); err != nil {
		return nil, err
	}
	return t.Tx.Get(ctx, table, key)
}

func (t faultyTx) Write(ctx context.Context, table string, rows []view.Row) error {
	if err := t.f.point(); err != nil {
		return err
	}
	return t.Tx.Write(ctx, table, rows)
}

// recorder keeps what a batch wrote, to write it again in another way.
type recorder struct {
	view.Tx
	writes *[]written
}

type written struct {
	table string
	rows  []view.Row
}

func (t recorder) Write(ctx context.Context, table string, rows []view.Row) error {
	*t.writes = append(*t.writes, written{table, rows})
	return t.Tx.Write(ctx, table, rows)
}

// batchPlanted writes the checkpoint in a batch of its own before the rows.
func (f *faulty) batchPlanted(ctx context.Context, name string, fn func(view.Tx) error) error {
	var writes []written
	rollback := fmt.Errorf("rolled back by the test")
	made := false
	err := f.Backend.Batch(ctx, name, func(tx view.Tx) error {
		if _, err := tx.Get(ctx, "totals", ""); err != nil {
			made = true // the first batch, which makes the tables
			return fn(tx)
		}
		if err := fn(recorder{tx, &writes}); err != nil {
			return err
		}
		return rollback
	})
	if made || (err != nil && err != rollback) { //nolint:errorlint // the value itself comes back
		return err
	}
	for _, checkpoint := range []bool{true, false} {
		err := f.Backend.Batch(ctx, name, func(tx view.Tx) error {
			for _, w := range writes {
				if (w.table == "banyan_projections_g1") != checkpoint {
					continue
				}
				if err := tx.Write(ctx, w.table, w.rows); err != nil {
					return err
				}
			}
			return f.point()
		})
		if err != nil {
			return err
		}
	}
	return nil
}
