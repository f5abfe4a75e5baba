package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

// seen is one event as a reader of the log got it.
type seen struct {
	ID       string
	Stream   string
	Revision banyan.Revision
}

// audit compares what a reader saw with what was committed and returns the
// differences.
func audit(got []seen, committed map[string]bool) []string {
	var faults []string
	count := map[string]int{}
	heads := map[string]banyan.Revision{}
	for _, s := range got {
		if count[s.ID]++; count[s.ID] > 1 {
			faults = append(faults, "twice: "+s.ID)
		}
		if !committed[s.ID] {
			faults = append(faults, "never committed: "+s.ID)
		}
		if s.Revision != heads[s.Stream]+1 {
			faults = append(faults, fmt.Sprintf("out of order: %s@%d after %d", s.Stream, s.Revision, heads[s.Stream]))
		}
		heads[s.Stream] = s.Revision
	}
	for id := range committed {
		if count[id] == 0 {
			faults = append(faults, "missed: "+id)
		}
	}
	return faults
}

// sleepy delays rows before they have a transaction id: the gap that a rule on
// transaction ids alone does not see.
const sleepy = `create function sleepy() returns trigger language plpgsql as
	'begin perform pg_sleep(case when random() < 0.1 then random() * 0.02 else 0 end); return new; end'`

// TestOrder is the short form of the completeness test: writers of all kinds,
// rollbacks and delays everywhere, and readers with pages of all sizes, which
// must see every committed event once, in one order.
func TestOrder(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Database(t), &postgres.Options{MaxConns: 20})
	s, err := db.Store(&store.Options{Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	w := newWriters(t, db, s)
	var writing, reading sync.WaitGroup
	for n := range 32 {
		writing.Go(func() { w.run(n) })
	}
	done := make(chan struct{})
	sizes := []int{1, 7, 1000}
	logs := make([][]seen, len(sizes))
	for i, size := range sizes {
		reading.Go(func() { logs[i] = follow(t, s, size, done) })
	}
	var naive []seen
	reading.Go(func() { naive = followBatches(t, w.dsn, done) })
	writing.Wait()
	close(done)
	reading.Wait()
	for i := range logs {
		if faults := audit(logs[i], w.committed); len(faults) > 0 {
			t.Errorf("a reader with pages of %d: %d faults, the first are %v", sizes[i], len(faults), faults[:min(5, len(faults))])
		}
		if diff := cmp.Diff(logs[0], logs[i]); diff != "" {
			t.Errorf("readers disagree about the order:\n%s", diff)
		}
	}
	// The control: the usual design, a cursor on a sequence, has to fail here, or
	// the test would prove nothing.
	if faults := audit(naive, w.committed); len(faults) == 0 {
		t.Error("a reader with a cursor on batches missed nothing; this test could not find a lost event")
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() || report.Events != int64(len(w.committed)) {
		t.Errorf("verify: %+v, %v; want %d events", report, err, len(w.committed))
	}
}

// writers append from many goroutines and remember what was committed.
type writers struct {
	testing.TB
	db  *postgres.DB
	s   *store.Store
	dsn string

	mu        sync.Mutex
	committed map[string]bool // guarded by mu
}

func newWriters(t testing.TB, db *postgres.DB, s *store.Store) *writers {
	w := &writers{TB: t, db: db, s: s, committed: map[string]bool{}}
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		w.dsn = tx.Conn().Config().ConnString()
		if _, err := tx.Exec(t.Context(), sleepy); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `create trigger sleepy before insert on banyan.events for each row execute function sleepy()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var errRollback = errors.New("the user changed their mind")

func (w *writers) run(n int) {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	for range 20 {
		write := store.Write{Stream: fmt.Sprintf("thing-%d", rng.IntN(12)), Expect: store.Any}
		for range 1 + rng.IntN(3) {
			write.Events = append(write.Events, banyan.Event{ID: banyan.NewID(), Type: "happened", Data: []byte("1")})
		}
		if n%2 == 0 {
			write.Stream = fmt.Sprintf("free-%d", n)
			if _, err := w.s.AppendAll(w.Context(), write); err != nil {
				w.Error(err)
				return
			}
			w.done(write)
			continue
		}
		rollback, pause := rng.IntN(5) == 0, rng.Float64()*0.2
		err := w.db.InTx(w.Context(), func(tx pgx.Tx) error {
			if _, err := w.db.AppendTx(w.Context(), tx, write); err != nil {
				return err
			}
			if _, err := tx.Exec(w.Context(), `select pg_sleep($1)`, pause); err != nil {
				return err
			}
			if rollback {
				return errRollback
			}
			return nil
		})
		switch {
		case err == nil:
			w.done(write)
		case !errors.Is(err, errRollback):
			w.Error(err)
			return
		}
	}
}

func (w *writers) done(write store.Write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range write.Events {
		w.committed[e.ID] = true
	}
}

// follow reads pages until done is closed and the end is reached.
func follow(t testing.TB, s *store.Store, size int, done <-chan struct{}) []seen {
	var out []seen
	for after, last := banyan.Position(0), false; ; {
		page, err := s.ReadPage(t.Context(), after, store.Filter{}, size)
		if err != nil {
			t.Error(err)
			return out
		}
		for _, e := range page.Events {
			out = append(out, seen{ID: e.ID, Stream: e.Stream, Revision: e.Revision})
		}
		switch {
		case page.Next > after:
			after = page.Next
		case last:
			return out
		default:
			select {
			case <-done:
				last = true
			default:
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				_ = s.Wait(ctx, after)
				cancel()
			}
		}
	}
}

// followBatches is the planted bug: it takes the highest number it has seen for
// the place up to which everything is there.
func followBatches(t testing.TB, dsn string, done <-chan struct{}) []seen {
	conn := connect(t, dsn)
	var out []seen
	for after, last := int64(0), false; ; {
		rows, err := conn.Query(t.Context(), `select batch, id, stream, revision from banyan.events where batch > $1 order by batch, idx`, after)
		if err != nil {
			t.Error(err)
			return out
		}
		got := len(out)
		for rows.Next() {
			var s seen
			if err := rows.Scan(&after, &s.ID, &s.Stream, &s.Revision); err != nil {
				t.Error(err)
			}
			out = append(out, s)
		}
		if len(out) > got {
			continue
		}
		if last {
			return out
		}
		select {
		case <-done:
			last = true
		case <-time.After(time.Millisecond):
		}
	}
}

// TestOpenTransactionStopsNobody: the log goes on for everybody else while a
// transaction with an append stays open, and has its events when it ends.
func TestOpenTransactionStopsNobody(t *testing.T) {
	t.Parallel()
	db := open(t, pgtest.Database(t), nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	inside, leave, left := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		left <- db.InTx(t.Context(), func(tx pgx.Tx) error {
			_, err := db.AppendTx(t.Context(), tx, store.Write{Stream: "held", Expect: store.Any, Events: []banyan.Event{fact()}})
			close(inside)
			<-leave
			return err
		})
	}()
	<-inside
	var last banyan.Position
	for i := range 50 {
		if _, err := s.Append(t.Context(), "other", store.Exact(banyan.Revision(i)), fact()); err != nil {
			t.Fatal(err)
		}
		head, err := s.Head(t.Context())
		if err != nil || head != last+1 {
			t.Fatalf("head is %d, %v after an append; want %d", head, err, last+1)
		}
		last = head
	}
	close(leave)
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	page, err := s.ReadPage(t.Context(), last, store.Filter{}, 10)
	if err != nil || len(page.Events) != 1 || page.Events[0].Stream != "held" || page.Events[0].Position != last+1 {
		t.Fatalf("after the transaction the log has %+v, %v beyond %d; want its event", page, err, last)
	}
	// Its batch is lower than those around it: the page is read out of order.
	all := follow(t, s, 100, closed())
	if len(all) != 51 || all[50].Stream != "held" {
		t.Fatalf("the log is %+v; want 51 events, that of the transaction at the end", all)
	}
}

func closed() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

// TestRestore: a dump restored into a new cluster, where transaction ids start
// again, goes on where readers were.
func TestRestore(t *testing.T) {
	t.Parallel()
	old, fresh := pgtest.Start(t, nil), pgtest.Start(t, nil)
	db := open(t, old.DSN("postgres"), nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	committed := map[string]bool{}
	appendSome := func(s *store.Store, n int) {
		for range n {
			r, err := s.Append(t.Context(), fmt.Sprintf("s-%d", len(committed)%7), store.Any, fact())
			if err != nil {
				t.Fatal(err)
			}
			committed[r.Events[0].ID] = true
		}
	}
	appendSome(s, 40)
	before := follow(t, s, 13, closed())
	appendSome(s, 25) // in the dump without positions
	dump := exec.CommandContext(t.Context(), filepath.Join(old.BinDir(), "pg_dump"), "--no-owner", old.DSN("postgres"))
	script, err := dump.Output()
	if err != nil {
		t.Fatal(err)
	}
	load := exec.CommandContext(t.Context(), filepath.Join(old.BinDir(), "psql"), "--quiet", "--set=ON_ERROR_STOP=1", fresh.DSN("postgres"))
	load.Stdin = strings.NewReader(string(script))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	db = open(t, fresh.DSN("postgres"), nil)
	if s, err = db.Store(nil); err != nil {
		t.Fatal(err)
	}
	appendSome(s, 20)
	after := follow(t, s, 1000, closed())
	if faults := audit(after, committed); len(faults) > 0 {
		t.Errorf("after the restore: %v", faults)
	}
	if diff := cmp.Diff(before, after[:min(len(before), len(after))]); diff != "" {
		t.Errorf("what was read before the dump is at other positions now:\n%s", diff)
	}
}

// TestKill kills the server under load: what was acknowledged is there, once,
// and an append of unknown outcome is mended by sending it again.
func TestKill(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	db := open(t, server.DSN("postgres"), nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	committed := map[string]bool{}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for n := range 8 {
		writing.Go(func() {
			stream := fmt.Sprintf("s-%d", n)
			for revision := banyan.Revision(0); ; revision++ {
				select {
				case <-stop:
					return
				default:
				}
				e := fact()
				e.ID = banyan.NewID()
				if !insist(t, s, stream, store.Exact(revision), e) {
					return
				}
				mu.Lock()
				committed[e.ID] = true
				mu.Unlock()
			}
		})
	}
	for round := range 3 {
		want := 200 * (round + 1)
		wait(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(committed) >= want || t.Failed() })
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
		if err := server.Start(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writing.Wait()
	got := follow(t, s, 100, closed())
	if faults := audit(got, committed); len(faults) > 0 {
		t.Errorf("%d faults, the first are %v", len(faults), faults[:min(5, len(faults))])
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// insist sends an append until its outcome is known and reports whether it was
// stored.
func insist(t testing.TB, s *store.Store, stream string, expect store.Expect, e banyan.Event) bool {
	stored := false
	wait(t, func() bool {
		_, err := s.Append(t.Context(), stream, expect, e)
		stored = err == nil
		if err != nil && !banyan.Retryable(err) {
			t.Errorf("append: %v", err)
			return true
		}
		return stored
	})
	return stored
}

// wait polls until done, for at most a minute.
func wait(t testing.TB, done func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for tick := time.NewTicker(2 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Error("it did not happen within a minute")
			return
		}
	}
}
