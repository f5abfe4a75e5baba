package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

// R7b: the log goes on for everybody else while a transaction with an append and
// one with nothing but an id and a snapshot stay open, and has the events of the
// first when it ends.
func TestOpenTransactionStopsNobody(t *testing.T) {
	t.Parallel()
	hold := long.Duration(0, 10*time.Minute)
	server := pgtest.Database(t)
	db := open(t, server, nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	idle(t, server)
	leave, left := holdTransaction(t, db)
	delivered := deliveries(t, server)

	start, slowest := time.Now(), time.Duration(0)
	last := banyan.Position(0)
	for i := 0; i < 50 || time.Since(start) < hold; i++ {
		if _, err := s.Append(t.Context(), "other", store.Exact(banyan.Revision(i)), fact()); err != nil {
			t.Fatal(err)
		}
		acknowledged := time.Now()
		head, err := s.Head(t.Context())
		if err != nil || head != last+1 {
			t.Fatalf("head is %d, %v after an append; want %d", head, err, last+1)
		}
		last = head
		if e := receive(t, delivered); e.Position != head || e.Stream != "other" {
			t.Fatalf("a follower got %s at position %d; want that of the append, %d", e.Stream, e.Position, head)
		}
		slowest = max(slowest, time.Since(acknowledged))
		if hold > 0 {
			pause(t, 10*time.Millisecond)
		}
	}
	held := time.Since(start)

	leave()
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	e := receive(t, delivered)
	late := time.Since(ended)
	if e.Stream != "held" || e.Position != last+1 {
		t.Errorf("after the transaction a follower got %s at position %d; want its event at %d", e.Stream, e.Position, last+1)
	}
	// A busy machine may need long for anything; a long run has it to itself.
	bound := 30 * time.Second
	if long.Long() {
		bound = 5 * time.Second
	}
	if slowest > bound || late > bound {
		t.Errorf("events of others were delivered within %v, that of the transaction %v after its end; want at most %v", slowest, late, bound)
	}
	// Its batch is lower than those around it: the page is read out of order.
	all := follow(t, s, 100, closed())
	if len(all) != int(last)+1 || all[last].Stream != "held" {
		t.Fatalf("the log has %d events and ends with %+v; want %d events, that of the transaction at the end", len(all), all[len(all)-1], last+1)
	}
	if t.Failed() {
		return
	}
	long.Report(t, "R7b", "a transaction held for %.1f s: %d events of others meanwhile, each delivered within %v; its own event %v after its end", held.Seconds(), last, slowest, late)
}

// holdTransaction appends in a transaction that stays open until leave.
func holdTransaction(t testing.TB, db *postgres.DB) (leave func(), left <-chan error) {
	inside, end, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		result <- db.InTx(t.Context(), func(tx pgx.Tx) error {
			_, err := db.AppendTx(t.Context(), tx, store.Write{Stream: "held", Expect: store.Any, Events: []banyan.Event{fact()}})
			close(inside)
			select {
			case <-end:
			case <-t.Context().Done():
			}
			return err
		})
	}()
	<-inside
	return func() { close(end) }, result
}

// idle leaves a session idle in a transaction that has an id and a snapshot: it
// holds back every rule that waits for the oldest transaction.
func idle(t testing.TB, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select pg_current_xact_id()`); err != nil {
		t.Fatal(err)
	}
}

// deliveries follows the log as another process would.
func deliveries(t testing.TB, dsn string) <-chan banyan.Event {
	t.Helper()
	db := open(t, dsn, nil)
	s, err := db.Store(&store.Options{Poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan banyan.Event)
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		for e, err := range s.Follow(t.Context(), 0, store.Filter{}) {
			if err != nil {
				t.Error(err)
			}
			select {
			case out <- e:
			case <-t.Context().Done():
				return
			}
		}
	}()
	return out
}

func receive(t testing.TB, from <-chan banyan.Event) banyan.Event {
	t.Helper()
	select {
	case e := <-from:
		return e
	case <-time.After(2 * time.Minute):
		t.Fatal("a follower got nothing for two minutes")
		return banyan.Event{}
	}
}

// pause waits for a load that is not to be as fast as it can.
func pause(t testing.TB, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
