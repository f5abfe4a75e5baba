package banyantest

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// ReadModel is a projection with a log and a database of its own. Unlike a Case
// it lives: every step goes on where the one before ended.
type ReadModel struct {
	t      T
	types  *banyan.Types
	name   string
	store  *store.Store
	views  *view.DB
	runner *projection.Runner
	said   lastLine // by the runner
	idle   func()   // ends the run under way

	behind bool // events were given that the projection has not seen
	broken bool // a step has failed and said so; nothing more can be said
}

// Projection begins a case for a projection of events of these types. Its
// handlers can write documents only: tables of SQL need a database of theirs.
func Projection(t T, types *banyan.Types, d *projection.Definition) *ReadModel {
	t.Helper()
	m := &ReadModel{t: t, types: types, behind: true}
	db := mem.Open() // it holds nothing but memory, so that it need not be closed
	m.views = view.New(db.ViewBackend())
	st, err := db.Store(nil)
	m.store = st
	if m.must("the case cannot be run", err) {
		m.start(d)
	}
	return m
}

// Given appends events to a stream: values of declared types, or banyan.Event and
// banyan.Raw as they are stored. The projection meets all that was given, in this
// order, at once, when it is first needed.
func (m *ReadModel) Given(stream string, events ...any) *ReadModel {
	m.t.Helper()
	m.append("given", stream, events)
	return m
}

// When appends events like Given and has the projection handle them, apart from
// what was before.
func (m *ReadModel) When(stream string, events ...any) *ReadModel {
	m.t.Helper()
	m.catchUp()
	m.append("when", stream, events)
	m.catchUp()
	return m
}

// WhenRebuilt builds the read model anew from the start of the log and makes the
// new one the live one.
func (m *ReadModel) WhenRebuilt() *ReadModel {
	m.t.Helper()
	m.catchUp()
	if m.broken {
		return m
	}
	generation, err := m.runner.Rebuild(context.Background(), nil)
	if m.must("the rebuild failed", err) {
		m.run()
		m.live(generation)
	}
	return m
}

// WhenRetried applies the parked events of a key again; see projection.Runner.Retry.
func (m *ReadModel) WhenRetried(key string) *ReadModel {
	m.t.Helper()
	m.catchUp()
	if !m.broken && m.must("the retry failed", m.runner.Retry(context.Background(), key)) {
		m.run()
	}
	return m
}

// WhenDeployed goes on with other code of the same projection: with a repaired
// handler, or with a higher version, which builds the read model anew.
func (m *ReadModel) WhenDeployed(d *projection.Definition) *ReadModel {
	m.t.Helper()
	m.catchUp()
	if m.broken {
		return m
	}
	if d != nil && d.Name() != m.name {
		m.fail("deployed was the projection %s; the one under test is %s", d.Name(), m.name)
		return m
	}
	if m.start(d); !m.broken {
		m.run()
		m.live(0)
	}
	return m
}

// ThenViews calls check with the database that the projection writes, for
// whatever the wants of Then cannot say.
func (m *ReadModel) ThenViews(check func(*view.DB)) *ReadModel {
	m.t.Helper()
	if m.catchUp(); !m.broken {
		check(m.views)
	}
	return m
}

func (m *ReadModel) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Errorf(format, args...)
	m.broken = true
}

func (m *ReadModel) must(what string, err error) bool {
	m.t.Helper()
	if err != nil {
		m.fail("%s: %v", what, err)
	}
	return err == nil
}

// start makes the runner. Pauses between attempts are as good as none.
func (m *ReadModel) start(d *projection.Definition) {
	m.t.Helper()
	r, err := projection.NewRunner(untilIdle{m.store, m}, m.views, d, &projection.RunnerOptions{
		Backoff: time.Nanosecond, MaxBackoff: time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&m.said, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if m.must("the case cannot be run", err) {
		m.runner, m.name = r, d.Name()
	}
}

func (m *ReadModel) append(step, stream string, values []any) {
	m.t.Helper()
	if m.broken || len(values) == 0 {
		return
	}
	events, err := encode(m.types, values)
	if err == nil {
		_, err = m.store.Append(context.Background(), stream, store.Any, events...)
	}
	m.must(step, err)
	m.behind = true
}

func (m *ReadModel) catchUp() {
	m.t.Helper()
	if m.behind && !m.broken {
		m.run()
	}
}

// patience bounds a run. A handler that says banyan.ErrUnavailable is called
// again for ever.
const patience = 10 * time.Second

// run lets the projection work until it has nothing to do.
func (m *ReadModel) run() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := false
	m.said = ""
	m.idle = func() { done = true; cancel() }
	err := m.runner.Run(ctx)
	switch {
	case err != nil:
		m.fail("the projection stopped: %v", err)
	case !done:
		m.fail("the projection has not caught up within %v; it last said: %s", patience, m.said)
	}
	m.behind = false
}

// live demands that the generation is the live one, or, when it is 0, that none
// is left to become it.
func (m *ReadModel) live(generation int) {
	m.t.Helper()
	if m.broken {
		return
	}
	status, err := m.runner.Status(context.Background())
	if !m.must("the case cannot be run", err) {
		return
	}
	for _, g := range status.Generations {
		if g.Role == "building" || (g.Number == generation && g.Role != "active") {
			m.fail("the new read model did not become the live one: %s%s; the projection last said: %s", g.Waiting, g.Held, m.said)
			return
		}
	}
}

// untilIdle is a log that ends the run when there is nothing left in it: only then
// does a runner wait.
type untilIdle struct {
	projection.Log
	m *ReadModel
}

// Wait is part of projection.Log.
func (l untilIdle) Wait(ctx context.Context, _ banyan.Position) error {
	l.m.idle()
	<-ctx.Done()
	return ctx.Err()
}

// lastLine keeps the last line that was written.
type lastLine string

// Write is part of io.Writer.
func (l *lastLine) Write(line []byte) (int, error) {
	_, text, _ := strings.Cut(string(line), " ") // after the time
	*l = lastLine(strings.TrimSpace(text))
	return len(line), nil
}

// String returns the line.
func (l lastLine) String() string {
	if l == "" {
		return "nothing"
	}
	return string(l)
}
