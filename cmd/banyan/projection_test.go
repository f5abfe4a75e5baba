package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

type booked struct {
	Bad bool `json:"bad"`
}

var bookings = banyan.NewTypes(banyan.TypeOf[booked]("order.booked", 1))

// book is the row of a stream: its events in the order in which they came, and the
// generation that it is read from.
type book struct {
	Events     []string `json:"events"`
	Generation int      `json:"generation"`
}

func books(name string) *view.Collection[book] { return view.NewCollection[book](name + "_books") }

// ledger is a projection that fails at bad events until it is fixed.
func ledger(name string, fixed bool) *projection.Definition {
	rows := books(name)
	d := projection.Define(name, bookings, &projection.Options{Collections: []projection.Collection{rows}})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p booked, e banyan.Event) error {
		if p.Bad && !fixed {
			return errors.New("a bad \x1b[31morder")
		}
		return rows.Update(ctx, b.Writer(), e.Stream, func(row *book) error {
			row.Events, row.Generation = append(row.Events, e.ID), b.Generation()
			return nil
		})
	})
	return d
}

// service is a process that runs a projection.
type service struct {
	t     *testing.T
	db    *app.Database
	store *store.Store
	views *view.DB
	done  chan error
	end   context.CancelFunc
}

func startService(t *testing.T, dsn string, d *projection.Definition, o projection.RunnerOptions) *service {
	t.Helper()
	s := openService(t, dsn)
	r, err := projection.NewRunner(s.store, s.views, d, &o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.done, s.end = make(chan error, 1), cancel
	go func() { s.done <- r.Run(ctx) }()
	return s
}

func openService(t *testing.T, dsn string) *service {
	t.Helper()
	db, err := app.Open(t.Context(), dsn, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, db: db}
	if s.store, err = db.Store(&store.Options{Now: clock}); err != nil {
		t.Fatal(err)
	}
	if s.views, err = db.Views(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *service) stop() {
	s.t.Helper()
	if s.end != nil {
		s.end()
		if err := <-s.done; err != nil {
			s.t.Error(err)
		}
	}
	if err := errors.Join(s.views.Close(), s.store.Close(), s.db.Close()); err != nil {
		s.t.Error(err)
	}
}

func (s *service) append(stream string, ids ...string) {
	s.t.Helper()
	for _, id := range ids {
		e, err := bookings.Encode(booked{Bad: strings.HasPrefix(id, "bad")})
		if err != nil {
			s.t.Fatal(err)
		}
		e.ID = id
		if _, err := s.store.Append(s.t.Context(), stream, store.Any, e); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *service) book(stream string) book {
	s.t.Helper()
	row, _, err := books("ledger").Get(s.t.Context(), s.views, stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return row
}

// statusUntil runs the status command until its answer is as wanted.
func statusUntil(t *testing.T, dsn, name, what string, ok func(projectionStatus) bool) projectionStatus {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		got := command(t, nil, "projection", "status", name, "--json", "--store", dsn)
		var all struct{ Projections []projectionStatus }
		if got.code == exitDone {
			if err := json.Unmarshal([]byte(got.stdout), &all); err != nil || len(all.Projections) != 1 {
				t.Fatalf("status --json = %s, %v", got.stdout, err)
			}
			if ok(all.Projections[0]) {
				return all.Projections[0]
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %+v", what, got)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (p projectionStatus) role(role string) generationStatus {
	i := slices.IndexFunc(p.All, func(g generationStatus) bool { return g.Role == role })
	if i < 0 {
		return generationStatus{}
	}
	return p.All[i]
}

func TestProjectionOnSQLite(t *testing.T) {
	t.Parallel()
	projectionEndToEnd(t, "sqlite:"+filepath.Join(t.TempDir(), "ledger.db"))
}

func TestProjectionOnPostgreSQL(t *testing.T) {
	t.Parallel()
	projectionEndToEnd(t, pgtest.Database(t))
}

// projectionEndToEnd is a day of a person on call: a bad event, a fix, a rebuild,
// a switch, second thoughts.
func projectionEndToEnd(t *testing.T, dsn string) {
	options := projection.RunnerOptions{Owner: "service", Lease: time.Second, Attempts: 2}
	ask := func(want string, args ...string) {
		t.Helper()
		got := command(t, nil, append([]string{"projection", args[0], "ledger", "--store", dsn}, args[1:]...)...)
		if got.code != exitDone || got.stdout != want+"\n" || got.stderr != "" {
			t.Errorf("%v = %+v, want %q", args, got, want)
		}
	}
	refused := func(want string, args ...string) {
		t.Helper()
		got := command(t, nil, append([]string{"projection", args[0], "ledger", "--store", dsn}, args[1:]...)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%v = %+v, want exit code 1 and one message with %q", args, got, want)
		}
	}
	caughtUp := func(p projectionStatus) bool {
		return p.role("active").Number > 0 && p.role("active").Position == p.Head && p.Head > 0
	}

	s := startService(t, dsn, ledger("ledger", false), options)
	s.append("order-1", "a", "bad", "c")
	s.append("order-2", "x", "y")
	p := statusUntil(t, dsn, "ledger", "the projection has caught up", caughtUp)
	if p.Owner != "service" || p.LeaseUntil.IsZero() || p.role("active").ParkedKeys != 1 || p.role("active").ParkedEvents != 2 || p.role("active").Handled != 3 {
		t.Errorf("status with a parked key = %+v", p)
	}
	want := []parkedKey{{Key: "order-1", Generation: 1, Position: 2, EventID: "bad", Type: "order.booked", Stream: "order-1", Attempts: 2, Error: "a bad \x1b[31morder"}}
	if diff := cmp.Diff(want, p.Parked); diff != "" {
		t.Errorf("parked keys (-want +got):\n%s", diff)
	}
	refused("a bad ", "retry", "order-1")
	refused("1 of 1 keys failed again; the first: key \"order-1\"", "retry", "--all")
	refused("not found: no event is parked under this key", "retry", "order-2")
	s.stop()

	s = startService(t, dsn, ledger("ledger", true), options)
	ask("ledger: key order-1: 2 events applied, 1 keys are not parked any more", "retry", "order-1")
	s.append("order-1", "d")
	p = statusUntil(t, dsn, "ledger", "the event behind is handled", caughtUp)
	if len(p.Parked) != 0 || p.role("active").ParkedEvents != 0 {
		t.Errorf("status after the retry = %+v", p)
	}
	if diff := cmp.Diff(book{[]string{"a", "bad", "c", "d"}, 1}, s.book("order-1")); diff != "" {
		t.Errorf("rows after the retry (-want +got):\n%s", diff)
	}

	ask("ledger: generation 2 is being built beside the live one; it is held until you switch to it", "rebuild", "--hold")
	refused("already exists: generation 2 is being built", "rebuild")
	p = statusUntil(t, dsn, "ledger", "generation 2 waits", func(p projectionStatus) bool { return p.role("building").Waiting != "" })
	if got := s.book("order-1").Generation; got != 1 || p.role("building").Position != p.Head {
		t.Errorf("before the switch readers see generation %d, want 1; status %+v", got, p)
	}
	ask("ledger: generation 2 is live", "switch")
	if got := s.book("order-1"); got.Generation != 2 || len(got.Events) != 4 {
		t.Errorf("after the switch readers see %+v, want generation 2", got)
	}
	s.append("order-1", "e")
	ask("ledger: generation 1 is live", "switch", "--back")
	p = statusUntil(t, dsn, "ledger", "the event behind is handled", caughtUp)
	if diff := cmp.Diff(book{[]string{"a", "bad", "c", "d", "e"}, 1}, s.book("order-1")); diff != "" || p.role("older").Number != 2 {
		t.Errorf("after the switch back: status %+v, rows (-want +got):\n%s", p, diff)
	}
	refused("no generation is being built; there are 1 (active), 2 (older)", "switch")
	refused("generation 1: invalid: it is the live one", "drop", "1")
	ask("ledger: generation 2 is dropped", "drop", "2")
	refused("no older generation is kept; there are 1 (active)", "switch", "--back")
	ask(`{"projection":"ledger","generation":3}`, "rebuild", "--json")
	statusUntil(t, dsn, "ledger", "readers are switched", func(p projectionStatus) bool { return p.role("active").Number == 3 })
	s.stop()

	refused("no process runs this projection (nobody holds its lease): start the service", "rebuild")
	got := command(t, nil, "projection", "rebuild", "leger", "--store", dsn)
	if got.code != exitFailed || got.stderr != "banyan: projection: rebuild leger: not found: there is no projection of this name; there are ledger\n" {
		t.Errorf("an unknown name = %+v", got)
	}
}

// ledgerFile is a file with two projections that nobody runs, and what the clock
// gives them is always the same.
func ledgerFile(t *testing.T) string {
	t.Helper()
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "ledger.db")
	s := openService(t, dsn)
	s.append("order-1", "a", "bad-1", "c")
	s.append("order-2", "bad-2", "y")
	s.stop()
	for _, fixed := range []bool{false, true} {
		name := fmt.Sprintf("fixed_%v", fixed)
		s := startService(t, dsn, ledger(name, fixed), projection.RunnerOptions{Owner: "service", Attempts: 1, Now: clock})
		statusUntil(t, dsn, name, "it has handled all", func(p projectionStatus) bool { return p.role("active").Position == 5 })
		s.stop()
	}
	s = openService(t, dsn)
	s.append("order-3", "z")
	s.stop()
	return dsn
}

func TestProjectionOutput(t *testing.T) {
	t.Parallel()
	vars := map[string]string{viewsVariable: ledgerFile(t)}
	for _, test := range []struct{ golden, args string }{
		{"projection_status.txt", "projection status"},
		{"projection_status_name.txt", "projection status fixed_false"},
		{"projection_status.json", "projection status fixed_false --json"},
		{"projection_help.txt", "projection --help"},
	} {
		t.Run(test.golden, func(t *testing.T) {
			t.Parallel()
			got := commandAt(t, time.Minute, vars, strings.Fields(test.args)...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
			}
			golden(t, test.golden, got.stdout)
		})
	}
}

func TestProjectionFailuresAndUsage(t *testing.T) {
	t.Parallel()
	file, empty := ledgerFile(t), "sqlite:"+shop(t)
	for _, test := range []struct {
		name string
		code int
		want string // the beginning of stderr
		args string
	}{
		{"no database", exitUsage, "banyan: no database is named: give --store or --views with sqlite:PATH or postgres://…, or set BANYAN_STORE or BANYAN_VIEWS\n", "status"},
		{"scheme", exitUsage, "banyan: app: invalid: unknown scheme \"mysql\"", "status --store " + file + " --views mysql://u:secret@h/d"},
		{"no such file", exitFailed, "banyan: app: open sqlite:/no/such.db: not found: ", "status --store sqlite:/no/such.db"},
		{"unknown", exitFailed, "banyan: projection: status of legder: not found: there is no projection of this name; there are fixed_false, fixed_true\n", "status legder --store " + file},
		{"none", exitFailed, "banyan: projection: retry all of ledger: not found: no projection has ever run in this database\n", "retry ledger --all --store " + empty},
		{"no name", exitUsage, "banyan: NAME is missing\n", "rebuild"},
		{"two names", exitUsage, "banyan: unexpected argument \"b\" behind NAME\n", "rebuild a b"},
		{"no generation", exitUsage, "banyan: GENERATION is missing\n", "drop a"},
		{"bad generation", exitUsage, "banyan: \"one\" is not the number of a generation", "switch a one"},
		{"generation and back", exitUsage, "banyan: give a generation or --back, not both\n", "switch a 1 --back"},
		{"no key", exitUsage, "banyan: give a KEY or --all\n", "retry a"},
		{"key and all", exitUsage, "banyan: give a KEY or --all\n", "retry a b --all"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := command(t, nil, append([]string{"projection"}, strings.Fields(test.args)...)...)
			if got.code != test.code || !strings.HasPrefix(got.stderr, test.want) || got.stdout != "" || strings.Contains(got.stderr, "secret") {
				t.Errorf("exit code %d, stdout %q, stderr %q\nwant %d and %q", got.code, got.stdout, got.stderr, test.code, test.want)
			}
		})
	}
	if got := command(t, nil, "projection", "status", "--store", empty); got.code != exitDone || !strings.HasPrefix(got.stdout, "no projection has ever run") {
		t.Errorf("status without projections = %+v", got)
	}
}

// The read models of one file and the log of another, which is not the one that
// they are made from: its end says nothing about their lag.
func TestProjectionStatusBesideAnotherLog(t *testing.T) {
	t.Parallel()
	other := "sqlite:" + filepath.Join(t.TempDir(), "other.db")
	openService(t, other).stop()
	got := command(t, map[string]string{storeVariable: "sqlite:/no/such.db"}, "projection", "status", "fixed_true", "--views", ledgerFile(t), "--store", other)
	if got.code != exitDone || !strings.Contains(got.stdout, "the log ends before its position") || !strings.Contains(got.stdout, "?") {
		t.Errorf("status = %+v, want an unknown lag and the reason", got)
	}
}
