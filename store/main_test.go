package store_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open returns a store in memory.
func open(t testing.TB, o *store.Options) *store.Store {
	t.Helper()
	return over(t, mem.Open().Backend(), o)
}

// over returns a store over a back end.
func over(t testing.TB, b store.Backend, o *store.Options) *store.Store {
	t.Helper()
	st, err := store.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func event(id string) banyan.Event {
	return banyan.Event{ID: id, Type: "happened", Data: []byte(`{"n":1}`)}
}

// fill appends n events to a stream.
func fill(t testing.TB, st *store.Store, stream string, n int) []banyan.Event {
	t.Helper()
	events := make([]banyan.Event, n)
	for i := range events {
		events[i] = event("")
	}
	result, err := st.Append(t.Context(), stream, store.Any, events...)
	if err != nil {
		t.Fatal(err)
	}
	return result.Events
}

// gate is a back end whose appends wait until the test lets them go on.
type gate struct {
	store.Backend
	calls  chan call
	closed chan struct{} // closed by Close
}

// call is an Append that waits.
type call struct {
	ctx     context.Context
	commits []store.Commit
	answer  chan<- answer
}

// answer says how an Append goes on: nil fields mean as usual.
type answer struct {
	err      error
	outcomes []store.Outcome
}

func newGate() *gate {
	return &gate{Backend: mem.Open().Backend(), calls: make(chan call), closed: make(chan struct{})}
}

func (g *gate) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	reply := make(chan answer)
	g.calls <- call{ctx, commits, reply}
	a := <-reply
	if a.err != nil || a.outcomes != nil {
		return a.outcomes, a.err
	}
	return g.Backend.Append(context.WithoutCancel(ctx), commits)
}

func (g *gate) Close() error {
	close(g.closed)
	return g.Backend.Close()
}
