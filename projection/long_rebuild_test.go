package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// R30: a projection with a long log is rebuilt beside the live one while writers
// go on, and readers are switched over: nothing differs, and they have fresh
// answers all the time.
func TestRebuildLong(t *testing.T) {
	t.Parallel()
	again := map[string]func(t *testing.T) (rebuilt, error){
		"sqlite": func(t *testing.T) (rebuilt, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "events.db"), nil)
		},
		"postgres": func(t *testing.T) (rebuilt, error) { return postgres.Open(t.Context(), pgtest.Database(t), nil) },
	}
	for _, name := range []string{"sqlite", "postgres"} {
		t.Run(name, func(t *testing.T) {
			if !long.Long() {
				t.Parallel() // a long run measures, and is alone for it
			}
			db, err := again[name](t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			rebuildRun(t, db, long.Size(3_000, 1_000_000))
		})
	}
}

// rebuilt is a database whose tables the test looks at.
type rebuilt interface {
	database
	ViewBackend() view.Backend
}

func rebuildRun(t *testing.T, db rebuilt, events int) {
	started, seed := time.Now(), long.Seed(t)
	log, errLog := db.Store(nil)
	views, errViews := db.Views()
	if err := errors.Join(errLog, errViews); err != nil {
		t.Fatal(err)
	}
	p := &pulse{TB: t, log: log, views: views, tables: db.ViewBackend(), ledger: newLedger()}
	fillLog(t, log, events, seed)
	filled := time.Now()
	f := &fixture{TB: t, store: log, views: views}
	r := f.runner(p.ledger.define(projection.Options{}), &projection.RunnerOptions{Attempts: 2, Backoff: time.Millisecond})
	stop := f.start(r)
	within(t, time.Hour, "the projection has caught up", func() bool { s := f.status(r); return s.Active().Number == 1 && s.Active().Lag == 0 })
	caughtUp := time.Now()

	p.start(seed)
	p.phase("before the rebuild")
	pause(long.Duration(200*time.Millisecond, 2*time.Second))
	p.phase("during the rebuild")
	number, err := r.Rebuild(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rebuilding := time.Now()
	within(t, time.Hour, "the new generation is nearly built", func() bool { s := f.status(r); return s.Active().Number == number || s.Generations[1].Progress > 0.99 })
	p.phase("around the switch")
	within(t, time.Hour, "the new generation is live", func() bool { return f.status(r).Active().Number == number })
	switched := time.Now()
	pause(long.Duration(200*time.Millisecond, 3*time.Second))
	p.phase("after the switch")
	pause(long.Duration(100*time.Millisecond, 2*time.Second))
	p.stop()

	within(t, time.Hour, "both generations have caught up", func() bool {
		s := f.status(r)
		return len(s.Generations) == 2 && s.Generations[0].Lag == 0 && s.Generations[1].Lag == 0
	})
	stop()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := p.compare(head)
	gap := p.worst["around the switch"]
	if long.Long() && gap > time.Second {
		t.Errorf("around the switch a reader was without a fresh answer for %v, want at most 1 s", gap)
	}
	long.Report(t, "R30", "%s: %d events, of them %d written meanwhile; filled in %.0f s, first built in %.0f s, rebuilt beside it in %.0f s; %d rows, %s; longest time without a fresh answer: %v before, %v during the rebuild, %v around the switch, %v after (%d reads); %.0f s",
		t.Name(), head, int(head)-events, filled.Sub(started).Seconds(), caughtUp.Sub(filled).Seconds(), switched.Sub(rebuilding).Seconds(), rows, verdict(t),
		p.worst["before the rebuild"], p.worst["during the rebuild"], gap, p.worst["after the switch"], p.reads, time.Since(started).Seconds())
}

func verdict(t testing.TB) string {
	if t.Failed() {
		return "FAILED"
	}
	return "0 differences"
}

func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); pause(2 * time.Millisecond) {
		if time.Now().After(deadline) || t.Failed() {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// fillLog appends so many events, twenty to an order.
func fillLog(t testing.TB, s *store.Store, events int, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 30))
	for n := 0; n < events; n += 100 {
		writes := make([]store.Write, 10)
		for i := range writes {
			writes[i] = store.Write{Stream: fmt.Sprintf("order-%07d", n/200*10+i), Expect: store.Any, Events: make([]banyan.Event, 10)}
			for j := range writes[i].Events {
				var err error
				if writes[i].Events[j], err = randomPayload(rng, 10_000); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := s.AppendAll(t.Context(), writes...); err != nil {
			t.Fatal(err)
		}
	}
}

// beat is the country of the events by which a reader sees how fresh a view is.
const beat = "PULSE"

// pulse writes and reads while a projection is rebuilt. It measures for how long
// a reader of the live view lacks an event that was acknowledged.
type pulse struct {
	testing.TB
	log    *store.Store
	views  *view.DB
	tables view.Backend
	ledger *ledger
	end    func()
	all    sync.WaitGroup
	reads  int

	mu    sync.Mutex
	acked []time.Time              // guarded by mu; of each beat
	now   string                   // guarded by mu; the phase
	worst map[string]time.Duration // guarded by mu; by phase
}

func (p *pulse) start(seed uint64) {
	p.worst = map[string]time.Duration{}
	ctx, cancel := context.WithCancel(p.Context())
	p.end = cancel
	p.Cleanup(p.stop)
	p.all.Go(func() { p.write(ctx) })
	p.all.Go(func() { p.read(ctx) })
	for w := range 2 {
		p.all.Go(func() {
			if err := load(ctx, p.log, rand.New(rand.NewPCG(seed, uint64(w))), 10_000); ctx.Err() == nil {
				p.Errorf("a writer: %v", err)
			}
		})
	}
}

func (p *pulse) stop() {
	p.end()
	p.all.Wait()
}

func (p *pulse) phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = name
}

// write appends a beat every few milliseconds.
func (p *pulse) write(ctx context.Context) {
	for {
		e, err := types.Encode(placed{Country: beat})
		if err == nil {
			_, err = p.log.Append(context.WithoutCancel(ctx), "order-pulse", store.Any, e)
		}
		if err != nil {
			p.Errorf("a beat: %v", err)
			return
		}
		p.mu.Lock()
		p.acked = append(p.acked, time.Now())
		p.mu.Unlock()
		if rest(ctx, 10*time.Millisecond) != nil {
			return
		}
	}
}

// read looks at the live view all the time: never an error, never an older state
// than before.
func (p *pulse) read(ctx context.Context) {
	for seen := 0; ; p.reads++ {
		row, _, err := p.ledger.countries.Get(ctx, p.views, beat)
		if ctx.Err() != nil {
			return
		}
		if err != nil || row.Events < seen {
			p.Errorf("a reader saw %d beats after %d, and error %v", row.Events, seen, err)
			return
		}
		p.note(seen) // until this answer came
		seen = row.Events
		if rest(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}

// note measures how long the first event that was not seen has been acknowledged.
func (p *pulse) note(seen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := time.Duration(0)
	if seen < len(p.acked) {
		late = time.Since(p.acked[seen])
	}
	p.worst[p.now] = max(p.worst[p.now], late)
}

// compare compares both generations with the fold of the whole log.
func (p *pulse) compare(until banyan.Position) (rows int) {
	want := p.ledger.fold(p.TB, p.log, until)
	for _, suffix := range []string{"", "_g1", "_g2"} {
		got := p.ledger.documents(p.TB, p.tables, suffix)
		wrong := want.differences(got, p.views.Promises().Backend == "postgres")
		if len(wrong) > 0 {
			p.Errorf("tables %q: %d of %d rows are not the fold, the first are:\n%s", suffix, len(wrong), len(got), strings.Join(wrong[:min(3, len(wrong))], "\n"))
		}
		rows = len(got)
	}
	return rows
}
