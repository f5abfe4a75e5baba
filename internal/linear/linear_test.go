package linear_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"

	"github.com/banyanhq/banyan/internal/linear"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

func open(t testing.TB) store.Backend {
	db := mem.Open()
	t.Cleanup(func() { _ = db.Close() })
	return db.Backend()
}

func TestMemIsLinearizable(t *testing.T) {
	t.Parallel()
	for i := range 10 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			linear.Check(t, open, 80, 6)
		})
	}
}

// stale reads from a copy of the stream that is an append behind.
type stale struct {
	store.Backend
	mu   sync.Mutex
	last map[string][]store.Record // guarded by mu
}

func (b *stale) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	now, err := b.Backend.ReadStream(ctx, stream, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.last[stream]
	b.last[stream] = now
	return old, err
}

// unchecked ignores what an append expects.
type unchecked struct{ store.Backend }

func (b unchecked) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	for i := range commits {
		sections := append([]store.Section(nil), commits[i].Sections...)
		for j := range sections {
			sections[j].Expect = store.Any
		}
		commits[i].Sections = sections
	}
	return b.Backend.Append(ctx, commits)
}

// lossy acknowledges an append now and then without storing it.
type lossy struct {
	store.Backend
	mu sync.Mutex
	n  int // guarded by mu
}

func (b *lossy) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	b.mu.Lock()
	b.n++
	lose := b.n%20 == 0
	b.mu.Unlock()
	if !lose {
		return b.Backend.Append(ctx, commits)
	}
	out := make([]store.Outcome, len(commits))
	for i, c := range commits {
		for _, s := range c.Sections {
			have, err := b.ReadStream(ctx, s.Stream, store.Range{Backward: true, Limit: 1})
			if err != nil {
				return nil, err
			}
			r := s.Records[0]
			r.Revision = 1
			if len(have) > 0 {
				r.Revision = have[0].Revision + 1
			}
			out[i].Records = append(out[i].Records, r)
		}
	}
	return out, nil
}

func TestBrokenBackEndsAreNotLinearizable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(store.Backend) store.Backend{
		"reads are an append behind":     func(b store.Backend) store.Backend { return &stale{Backend: b, last: map[string][]store.Record{}} },
		"expectations are ignored":       func(b store.Backend) store.Backend { return unchecked{b} },
		"an acknowledged append is lost": func(b store.Backend) store.Backend { return &lossy{Backend: b} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			history, err := linear.Run(t.Context(), spoil(open(t)), linear.Load{Ops: 80, Clients: 4, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got := linear.Result(history); got != porcupine.Illegal {
				t.Fatalf("the search says %v of a broken back end; want %v", got, porcupine.Illegal)
			}
		})
	}
}
