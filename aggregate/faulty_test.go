package aggregate_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// faulty is a back end in memory whose next appends end as planned.
type faulty struct {
	store.Backend
	store.Snapshotter

	mu      sync.Mutex
	plan    []fault // guarded by mu
	appends int     // guarded by mu

	putErr error
	damage func(*store.SnapshotRecord)
}

type fault struct {
	write bool // it is written all the same
	err   error
}

func newFaulty(plan ...fault) *faulty {
	b := mem.Open().Backend()
	return &faulty{Backend: b, Snapshotter: b.(store.Snapshotter), plan: plan}
}

func (b *faulty) open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

func (b *faulty) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	b.mu.Lock()
	b.appends++
	f := fault{write: true}
	if len(b.plan) > 0 {
		f, b.plan = b.plan[0], b.plan[1:]
	}
	b.mu.Unlock()
	var outcomes []store.Outcome
	var err error
	if f.write {
		outcomes, err = b.Backend.Append(ctx, commits)
	}
	return outcomes, errors.Join(err, f.err)
}

func (b *faulty) PutSnapshot(ctx context.Context, s store.SnapshotRecord) error {
	if b.putErr != nil {
		return b.putErr
	}
	if b.damage != nil {
		b.damage(&s)
	}
	return b.Snapshotter.PutSnapshot(ctx, s)
}

func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection reset") // no kind: the outcome is unknown
	cases := map[string]struct {
		plan    []fault
		kind    error
		appends int
		events  int
	}{
		"written, then cut off":     {[]fault{{true, broken}}, nil, 2, 1},
		"cut off before":            {[]fault{{false, broken}}, nil, 2, 1},
		"cut off twice":             {[]fault{{true, broken}, {false, broken}}, nil, 3, 1},
		"then unavailable for once": {[]fault{{true, broken}, {false, banyan.ErrUnavailable}}, nil, 3, 1},
		"unavailable at once":       {[]fault{{false, banyan.ErrUnavailable}}, banyan.ErrUnavailable, 1, 0},
		"for ever, written":         {[]fault{{true, broken}, {false, broken}, {false, broken}, {false, broken}}, banyan.ErrUnknown, 4, 1},
		"then away": {[]fault{
			{true, broken}, {false, banyan.ErrUnavailable}, {false, banyan.ErrClosed}, {false, banyan.ErrUnavailable},
		}, banyan.ErrUnknown, 4, 1},
	}
	for name, c := range cases {
		for _, id := range []string{"", "c"} {
			t.Run(name+" id "+id, func(t *testing.T) {
				t.Parallel()
				b := newFaulty(c.plan...)
				f := setupStore(t, b.open(t), nil)
				answer, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: id}, deposit(5))
				if !errors.Is(banyan.Kind(err), c.kind) {
					t.Fatalf("got %v, want kind %v", err, c.kind)
				}
				if err == nil && (answer.Repeated || answer.Duplicate || answer.State.Balance != 5 || answer.Revision() != 1) {
					t.Errorf("got %+v, want a first answer", answer)
				}
				if b.appends != c.appends || f.events("account-1") != c.events {
					t.Errorf("sent %d times, %d events stored; want %d and %d", b.appends, f.events("account-1"), c.appends, c.events)
				}
				if id == "" {
					return
				}
				again := f.do("1", aggregate.Command{ID: id}, deposit(5))
				if again.Repeated != (c.events == 1) || f.events("account-1") != 1 {
					t.Errorf("sent once more: got %+v and %d events", again, f.events("account-1"))
				}
			})
		}
	}
}

// Unknown, then somebody else's event in its place: that settles the outcome,
// and the decision is made anew.
func TestUnknownThenConflict(t *testing.T) {
	t.Parallel()
	b := newFaulty(fault{true, nil}, fault{false, errors.New("connection reset")})
	f := setupStore(t, b.open(t), nil)
	f.do("1", aggregate.Command{}, deposit(10))
	first := true
	answer := f.do("1", aggregate.Command{}, func(a account) ([]any, error) {
		if first {
			first = false
			// Straight into the back end, so that the plan does not count it.
			intrude(t, b.Backend)
		}
		return withdraw(10)(a)
	})
	if answer.State.Balance != 1000 || answer.Revision() != 3 {
		t.Errorf("got %+v, want the decision after the other event", answer)
	}
}

func intrude(t *testing.T, b store.Backend) {
	t.Helper()
	st, err := store.New(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := banyan.Event{Type: "account.deposited", Data: []byte(`{"Amount":1000}`)}
	if _, err := st.Append(context.Background(), "account-1", store.Any, e); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownOutcomeEndsWithTheContext(t *testing.T) {
	t.Parallel()
	b := newFaulty()
	f := setupStore(t, b.open(t), nil)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := f.accounts.Do(ctx, "1", aggregate.Command{ID: "c"}, func(account) ([]any, error) {
		b.plan = []fault{{true, errors.New("connection reset")}}
		cancel()
		return []any{deposited{1}}, nil
	})
	if err == nil || b.appends > 1 {
		t.Errorf("got %v after %d appends, want the context's end", err, b.appends)
	}
}
