package projection_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// killedEnv has the child's settings when the test binary runs as one: a seed,
// "right" or "planted", and where the data is.
const killedEnv = "BANYAN_PROJECTION_KILLED"

// R29: a process that runs a projection while the log grows is killed at any
// moment. After each kill the rows are the fold of the log up to the checkpoint,
// to the byte.
func TestKilledRunner(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		killRuns(t, &killed{TB: t, where: t.TempDir()}, long.Size(5, 300))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		killRuns(t, &killed{TB: t, where: pgtest.Database(t)}, long.Size(3, 300))
	})
}

func killRuns(t *testing.T, k *killed, kills int) {
	seed, started := long.Seed(t), time.Now()
	rng := rand.New(rand.NewPCG(seed, 29))
	for i := range kills {
		k.kill(rng, "right")
		if wrong := k.check(); len(wrong) > 0 {
			t.Fatalf("after kill %d, checkpoint %d: %d rows are not the fold, the first are:\n%s", i+1, k.checkpoint, len(wrong), strings.Join(wrong[:min(3, len(wrong))], "\n"))
		}
	}
	if k.checkpoint == 0 || k.moved < kills/3 {
		t.Errorf("the checkpoint is %d and moved before %d of %d kills: the test does not do its work", k.checkpoint, k.moved, kills)
	}
	if t.Failed() {
		return
	}
	long.Report(t, "R29", "%s: %d kills, the checkpoint moved before %d of them, up to %d of %d events, %d rows and %d parked orders: 0 differences; %.0f s",
		t.Name(), kills, k.moved, k.checkpoint, k.head, k.rows, k.parked, time.Since(started).Seconds())
}

// The control: a back end that keeps the checkpoint before the rows is found.
func TestKilledRunnerFindsPlanted(t *testing.T) {
	t.Parallel()
	k := &killed{TB: t, where: t.TempDir()}
	rng := rand.New(rand.NewPCG(long.Seed(t), 29))
	for range 30 {
		k.kill(rng, "planted")
		if len(k.check()) > 0 {
			return
		}
	}
	t.Error("a checkpoint that is written before the rows went unnoticed over 30 kills")
}

// killed is the data of a process that is killed again and again.
type killed struct {
	testing.TB
	where string // a folder, or the URL of a PostgreSQL database

	checkpoint, head banyan.Position // after the last kill
	moved            int             // kills after which the checkpoint was another one
	rows, parked     int
}

// kill runs the child and kills it a random time after it has begun.
func (k *killed) kill(rng *rand.Rand, mode string) {
	k.Helper()
	cmd := exec.CommandContext(k.Context(), os.Args[0], "-test.run=^TestChildOfKilledRunner$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s %s", killedEnv, rng.Uint64(), mode, k.where))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// The child ends with its standard input, should this process die.
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		k.Fatal(err)
	}
	defer in.Close()
	// Half of them soon after the beginning, which is when it takes over.
	from := []string{"begun", "moved"}[rng.IntN(2)]
	after := time.Duration(rng.Int64N(int64(600 * time.Millisecond)))
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said = append(said, lines.Text())
		if lines.Text() == from {
			timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	_ = cmd.Wait() // it was killed
	if text := strings.Join(said, " "); (text != "begun" && text != "begun moved") || stderr.Len() > 0 {
		k.Fatalf("the child failed: %q %s", said, stderr.String())
	}
}

// check returns what is wrong with what the child has left.
func (k *killed) check() []string {
	k.Helper()
	if isURL(k.where) {
		k.awaitSilence()
	}
	d := openLedger(k.TB, k.where, false)
	defer d.close()
	r, err := projection.NewRunner(d.log, view.New(d.views), newLedger().define(projection.Options{}), nil)
	if err != nil {
		k.Fatal(err)
	}
	status, err := r.Status(k.Context())
	if err != nil {
		k.Fatal(err)
	}
	if status.Active().Number == 0 {
		return nil // it was killed before the first batch
	}
	live := status.Active()
	if live.Position != k.checkpoint {
		k.moved++
	}
	wrong := d.wrong(live, status.Head)
	if live.Position < k.checkpoint || live.Position > status.Head {
		wrong = append(wrong, fmt.Sprintf("the checkpoint is %d, after %d before the kill; the log ends at %d", live.Position, k.checkpoint, status.Head))
	}
	k.checkpoint, k.head, k.rows, k.parked = live.Position, status.Head, d.rows, live.ParkedKeys
	return wrong
}

// awaitSilence waits until the server has noticed that the child is gone: until
// then a commit may still be under way.
func (k *killed) awaitSilence() {
	k.Helper()
	conn, err := pgx.Connect(k.Context(), k.where)
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	f := &fixture{TB: k.TB}
	f.eventually("the server has let go of the child's connections", func() bool {
		others := 0
		err := conn.QueryRow(k.Context(), `select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`).Scan(&others)
		if err != nil {
			k.Fatal(err)
		}
		return others == 0
	})
}

func isURL(where string) bool { return strings.HasPrefix(where, "postgres://") }

// ledgerData is an open log with an open view database.
type ledgerData struct {
	testing.TB
	log   *store.Store
	views view.Backend
	close func()
	exact bool // documents are kept byte for byte
	rows  int  // that the last comparison saw
}

// openLedger opens a folder, with a file for the log and another for the views,
// or a PostgreSQL database.
func openLedger(t testing.TB, where string, planted bool) *ledgerData {
	t.Helper()
	d := &ledgerData{TB: t, exact: !isURL(where)}
	fatal := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if isURL(where) {
		db, err := postgres.Open(t.Context(), where, nil)
		fatal(err)
		d.views, d.close = db.ViewBackend(), func() { fatal(db.Close()) }
		d.log, err = db.Store(nil)
		fatal(err)
	} else {
		events, err := sqlite.Open(t.Context(), filepath.Join(where, "events.db"), nil)
		fatal(err)
		views, err := sqlite.Open(t.Context(), filepath.Join(where, "views.db"), nil)
		fatal(err)
		d.views, d.close = views.ViewBackend(), func() { fatal(errors.Join(views.Close(), events.Close())) }
		d.log, err = events.Store(nil)
		fatal(err)
	}
	if planted {
		d.views = checkpointFirst{d.views}
	}
	return d
}

// wrong compares the rows of a live generation with the fold of the log.
func (d *ledgerData) wrong(live projection.Generation, head banyan.Position) []string {
	d.Helper()
	l := newLedger()
	want := l.fold(d.TB, d.log, min(live.Position, head))
	got := l.documents(d.TB, d.views, "")
	d.rows = len(got)
	wrong := want.differences(got, !d.exact)
	if live.ParkedKeys != len(want.parked) {
		wrong = append(wrong, fmt.Sprintf("%d keys are parked, want %d", live.ParkedKeys, len(want.parked)))
	}
	return wrong
}

// TestChildOfKilledRunner is the process that is killed.
func TestChildOfKilledRunner(t *testing.T) {
	settings := strings.SplitN(os.Getenv(killedEnv), " ", 3)
	if len(settings) != 3 {
		t.Skip("runs only as a child of TestKilledRunner")
	}
	seed, err := strconv.ParseUint(settings[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	d := openLedger(t, settings[2], settings[1] == "planted")
	// Small batches and a short lease: more commits, and less waiting after a kill.
	r, err := projection.NewRunner(d.log, view.New(d.views), newLedger().define(projection.Options{BatchSize: 16}),
		&projection.RunnerOptions{Lease: 100 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("begun")
	failed := make(chan error, 3)
	all.Go(func() { failed <- r.Run(ctx) })
	for w := range 2 {
		all.Go(func() { failed <- load(ctx, d.log, rand.New(rand.NewPCG(seed, uint64(w))), 100) })
	}
	all.Go(func() { sayMoved(ctx, r) })
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	select {
	case err := <-failed:
		fmt.Println("it ended by itself:", err)
	case <-gone:
	}
}

// sayMoved tells the parent when the checkpoint has moved.
func sayMoved(ctx context.Context, r *projection.Runner) {
	first := banyan.Position(-1)
	for {
		status, err := r.Status(ctx)
		at := status.Active().Position
		switch {
		case err != nil:
		case first < 0:
			first = at
		case at != first:
			fmt.Println("moved")
			return
		}
		if rest(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}

// load appends for ever: mostly to a few orders, each for a while only, so that
// the rows do not grow without end and not all orders are parked.
func load(ctx context.Context, s *store.Store, rng *rand.Rand, oneBadIn int) error {
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	for n := int(head); ; {
		var events []banyan.Event
		for range 1 + rng.IntN(5) {
			e, err := randomPayload(rng, oneBadIn)
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		n += len(events)
		// Whole or not at all: one that is given up could still happen later.
		if _, err := s.Append(context.WithoutCancel(ctx), fmt.Sprintf("order-%06d", n/20+rng.IntN(10)), store.Any, events...); err != nil {
			return err
		}
		if err := rest(ctx, time.Duration(rng.Int64N(int64(4*time.Millisecond)))); err != nil {
			return err
		}
	}
}

func randomPayload(rng *rand.Rand, oneBadIn int) (banyan.Event, error) {
	switch n := rng.IntN(oneBadIn); {
	case n == 0:
		return types.Encode(cancelled{Reason: "bad"})
	case n%5 == 0:
		return types.Encode(cancelled{Reason: "good"})
	default:
		return types.Encode(placed{Country: fmt.Sprintf("C%d", rng.IntN(7)), Amount: rng.Int64N(1000)})
	}
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkpointFirst is the planted bug: what the engine notes is committed before
// the rows.
type checkpointFirst struct{ view.Backend }

func (b checkpointFirst) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	if name != "ledger" {
		return b.Backend.Batch(ctx, name, fn)
	}
	notes := &noted{}
	undo := errors.New("undone by the test")
	err := b.Backend.Batch(ctx, name, func(tx view.Tx) error {
		notes.Tx = tx
		if err := fn(notes); err != nil || notes.tables {
			return err
		}
		return undo
	})
	if err != undo { //nolint:errorlint // the value itself comes back
		return err
	}
	for _, own := range []bool{true, false} {
		err := b.Backend.Batch(ctx, name, func(tx view.Tx) error {
			for _, w := range notes.writes {
				if strings.HasPrefix(w.table, "banyan_") == own {
					if err := tx.Write(ctx, w.table, w.rows); err != nil {
						return err
					}
				}
			}
			return rest(ctx, time.Millisecond)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// noted keeps what a batch writes.
type noted struct {
	view.Tx
	tables bool // it makes or removes some
	writes []written
}

func (n *noted) Write(ctx context.Context, table string, rows []view.Row) error {
	n.writes = append(n.writes, written{table, rows})
	return n.Tx.Write(ctx, table, rows)
}

func (n *noted) Create(ctx context.Context, t view.Table) error {
	n.tables = true
	return n.Tx.Create(ctx, t)
}

func (n *noted) Alias(ctx context.Context, alias, table string) error {
	n.tables = true
	return n.Tx.Alias(ctx, alias, table)
}

func (n *noted) Drop(ctx context.Context, table string) error {
	n.tables = true
	return n.Tx.Drop(ctx, table)
}
