package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

// sleepy delays rows. In the first table that an append writes to, the batch has
// its number by then and the transaction no id yet: the gap that a rule on
// transaction ids alone does not see.
const sleepy = `create function sleepy() returns trigger language plpgsql as
	'begin perform pg_sleep(case when random() < 0.1 then random() * 0.02 else 0 end); return new; end'`

// R7: writers of all kinds, rollbacks and delays everywhere, and subscribers that
// are stopped again and again and go on where they were: each must see every
// committed event once, all in the same order.
func TestOrder(t *testing.T) {
	t.Parallel()
	seed, started := long.Seed(t), time.Now()
	db := open(t, pgtest.Database(t), &postgres.Options{MaxConns: 32})
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWriters(t, db, s, seed)
	var writing, reading sync.WaitGroup
	for n := range 32 {
		writing.Go(func() { w.run(n) })
	}
	done := make(chan struct{})
	subscribers := make([]*subscriber, 3)
	for i := range subscribers {
		subscribers[i] = newSubscriber(t, w.dsn, seed, i)
		reading.Go(func() { subscribers[i].run(done) })
	}
	var naive []seen
	reading.Go(func() { naive = followBatches(t, w.dsn, done) })
	writing.Wait()
	close(done)
	reading.Wait()
	lives := 0
	for i, sub := range subscribers {
		wantNoFaults(t, fmt.Sprintf("subscriber %d", i), audit(sub.out, w.committed, nil))
		wantSame(t, fmt.Sprintf("subscriber %d against subscriber 0", i), sub.out, subscribers[0].out)
		lives += sub.lives
	}
	// The control: the usual design, a cursor on a sequence, has to fail here, or
	// the test would prove nothing.
	missed := audit(naive, w.committed, nil)
	if len(missed) == 0 {
		t.Error("a reader with a cursor on batches missed nothing; this test could not find a lost event")
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() || report.Events != int64(len(w.committed)) {
		t.Errorf("verify: %+v, %v; want %d events", report, err, len(w.committed))
	}
	if t.Failed() {
		return
	}
	long.Report(t, "R7", "%d events in %d commits of 32 writers, %d rollbacks, sleeps of up to %.1f s in a transaction; 3 subscribers, stopped %d times: 0 missed, 0 doubled, 0 out of order, all three the same to the byte; the control, a cursor on a sequence: %d faults; %.0f s",
		len(w.committed), w.commits, w.rollbacks, w.nap.Seconds(), lives-3, len(missed), time.Since(started).Seconds())
}

// writers append from many goroutines and remember what was committed.
type writers struct {
	testing.TB
	db      *postgres.DB
	s       *store.Store
	dsn     string
	seed    uint64
	events  int           // to commit
	streams int           // that writers fight for
	nap     time.Duration // the longest sleep in a transaction

	mu        sync.Mutex
	committed map[string]bool // guarded by mu
	commits   int             // guarded by mu
	rollbacks int             // guarded by mu
}

func newWriters(t testing.TB, db *postgres.DB, s *store.Store, seed uint64) *writers {
	w := &writers{
		TB: t, db: db, s: s, seed: seed, committed: map[string]bool{},
		events: long.Size(1_000, 1_000_000), streams: long.Size(12, 200), nap: 200 * time.Millisecond,
	}
	if long.Long() {
		w.nap = 3 * time.Second
	}
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		w.dsn = tx.Conn().Config().ConnString()
		if _, err := tx.Exec(t.Context(), sleepy); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `create trigger sleepy before insert on banyan.queue for each row execute function sleepy();
			create trigger sleepy before insert on banyan.events for each row execute function sleepy()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

var errRollback = errors.New("the user changed their mind")

// run appends until there is enough: every fourth writer without a transaction of
// its own, every fourth in one that it sleeps in, the others in quick ones.
func (w *writers) run(n int) {
	rng := rand.New(rand.NewPCG(w.seed, uint64(n)))
	for i := 0; i < 5 || !w.enough(); i++ {
		write := store.Write{Stream: fmt.Sprintf("thing-%d", rng.IntN(w.streams)), Expect: store.Any}
		size := 1 + rng.IntN(3)
		if rng.IntN(4) == 0 {
			size = 1 + rng.IntN(30)
		}
		for range size {
			write.Events = append(write.Events, banyan.Event{ID: banyan.NewID(), Type: "happened", Data: []byte("1")})
		}
		var err error
		switch n % 4 {
		case 0:
			write.Stream = fmt.Sprintf("free-%d", n)
			_, err = w.s.AppendAll(w.Context(), write)
		case 1:
			// Seldom in a stream that others want: they would all wait for it.
			if rng.IntN(10) > 0 {
				write.Stream = fmt.Sprintf("slow-%d", n)
			}
			err = w.inTx(write, rng.IntN(5) == 0, time.Duration(rng.Float64()*float64(w.nap)))
		default:
			err = w.inTx(write, rng.IntN(5) == 0, 0)
		}
		if !w.done(write, err) {
			return
		}
	}
}

func (w *writers) inTx(write store.Write, rollback bool, nap time.Duration) error {
	return w.db.InTx(w.Context(), func(tx pgx.Tx) error {
		if _, err := w.db.AppendTx(w.Context(), tx, write); err != nil {
			return err
		}
		if nap > 0 {
			if _, err := tx.Exec(w.Context(), `select pg_sleep($1)`, nap.Seconds()); err != nil {
				return err
			}
		}
		if rollback {
			return errRollback
		}
		return nil
	})
}

func (w *writers) enough() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.committed) >= w.events
}

// done notes how an append ended and reports whether to go on.
func (w *writers) done(write store.Write, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, errRollback) {
		w.rollbacks++
		return true
	}
	if err != nil {
		w.Error(err)
		return false
	}
	w.commits++
	for _, e := range write.Events {
		w.committed[e.ID] = true
	}
	return true
}

// subscriber reads the log in several lives. Each has connections of its own, as
// another process would, ends at a random moment, and the next one goes on from
// the cursor.
type subscriber struct {
	testing.TB
	reader
	dsn   string
	rng   *rand.Rand
	lives int
}

func newSubscriber(t testing.TB, dsn string, seed uint64, i int) *subscriber {
	s := &subscriber{TB: t, dsn: dsn, rng: rand.New(rand.NewPCG(seed, uint64(1000+i)))}
	// From 1 to 1000, as many small pages as large ones.
	s.size = func() int { return int(math.Exp(s.rng.Float64() * math.Log(1000.5))) }
	return s
}

func (s *subscriber) run(done <-chan struct{}) {
	for !s.live(done) {
		if s.err != nil {
			s.Errorf("subscriber in its life %d: %v", s.lives, s.err)
			return
		}
	}
}

// live reports whether the subscriber has reached the end.
func (s *subscriber) live(done <-chan struct{}) bool {
	s.lives++
	db, err := postgres.Open(s.Context(), s.dsn, &postgres.Options{MaxConns: 2})
	if err != nil {
		s.err = err
		return false
	}
	defer db.Close()
	log, err := db.Store(&store.Options{Poll: 5 * time.Millisecond})
	if err != nil {
		s.err = err
		return false
	}
	longest := 200 * time.Millisecond
	if long.Long() {
		longest = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Millisecond+time.Duration(s.rng.Int64N(int64(longest))))
	defer cancel()
	finished := s.read(ctx, log, done)
	// Whatever it says, it was us: also what has the same deadline, such as a dial,
	// and notices it a moment before the context does.
	if end, _ := ctx.Deadline(); ctx.Err() != nil || !time.Now().Before(end) {
		s.err = nil
	}
	return finished
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
