package postgres_test

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

// R7c: a dump restored into a new cluster, where transaction ids start again,
// goes on where readers were; and that dumped again, and so on.
func TestRestore(t *testing.T) {
	t.Parallel()
	rounds, started := long.Size(1, 20), time.Now()
	h := &history{TB: t, committed: map[string]bool{}, doubtful: map[string]bool{}}
	h.reader.size = func() int { return 13 }
	h.use(pgtest.Start(t, nil))
	fell, got := 0, 0
	for range rounds {
		h.append("some", 40)
		h.read()
		h.append("some", 25) // in the dump without positions
		// The control: a reader whose place is a transaction id, as is usual.
		h.spend(2000)
		before := h.transaction()
		h.restore()
		if after := h.transaction(); after < before {
			fell++
		}
		h.append("some", 20)
		got += h.newer(before)
		h.read()
		wantNoFaults(t, "a subscriber that went on", audit(h.reader.out, h.committed, h.doubtful))
		wantSame(t, "one that begins anew against one that went on", follow(t, h.store, 1000, closed()), h.reader.out)
		if t.Failed() {
			return
		}
	}
	if fell == 0 {
		t.Error("transaction ids never started again; this test could not find a cursor that is lost by it")
	}
	if got > 0 {
		t.Errorf("a reader with a transaction id for a cursor got %d of the new events, want none: this test could not find a lost cursor", got)
	}
	if t.Failed() {
		return
	}
	long.Report(t, "R7c", "%d dumps under load restored into new clusters, transaction ids fell back in %d; %d events: 0 missed, 0 doubled, 0 out of order; the control, a transaction id for a cursor: got %d of %d new events; %.0f s",
		rounds, fell, len(h.reader.out), got, 20*rounds, time.Since(started).Seconds())
}

// history is a log that moves from one cluster to the next, and its subscriber.
type history struct {
	testing.TB
	reader reader
	server *pgtest.Server
	store  *store.Store
	close  func()

	committed, doubtful map[string]bool
}

func (h *history) use(server *pgtest.Server) {
	h.Helper()
	db := open(h.TB, server.DSN("postgres"), nil)
	s, err := db.Store(nil)
	if err != nil {
		h.Fatal(err)
	}
	h.server, h.store = server, s
	h.close = func() {
		if err := db.Close(); err != nil {
			h.Error(err)
		}
	}
}

func (h *history) append(stream string, n int) {
	h.Helper()
	for i := range n {
		r, err := h.store.Append(h.Context(), fmt.Sprintf("%s-%d", stream, i%7), store.Any, fact())
		if err != nil {
			h.Fatal(err)
		}
		h.committed[r.Events[0].ID] = true
	}
}

// read lets the subscriber go on to the end.
func (h *history) read() {
	h.Helper()
	if !h.reader.read(h.Context(), h.store, closed()) {
		h.Fatalf("the log could not be read to its end: %v", h.reader.err)
	}
}

// restore dumps the database, while somebody writes, and goes on in a new
// cluster with what is in the dump.
func (h *history) restore() {
	h.Helper()
	stop := h.write()
	script, err := exec.CommandContext(h.Context(), filepath.Join(h.server.BinDir(), "pg_dump"), "--no-owner", h.server.DSN("postgres")).Output()
	stop()
	if err != nil {
		h.Fatal(err)
	}
	fresh := pgtest.Start(h.TB, nil)
	load := exec.CommandContext(h.Context(), filepath.Join(fresh.BinDir(), "psql"), "--quiet", "--set=ON_ERROR_STOP=1", fresh.DSN("postgres"))
	load.Stdin = strings.NewReader(string(script))
	if out, err := load.CombinedOutput(); err != nil {
		h.Fatalf("%v: %s", err, out)
	}
	h.close()
	if err := h.server.Close(); err != nil {
		h.Error(err)
	}
	h.use(fresh)
}

// write appends until it is stopped. What it appends may be in a dump that is
// made meanwhile or not.
func (h *history) write() (stop func()) {
	end := make(chan struct{})
	written := map[string]bool{}
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			e := fact()
			e.ID = banyan.NewID()
			written[e.ID] = true
			if _, err := h.store.Append(h.Context(), "meanwhile", store.Any, e); err != nil {
				h.Error(err)
				return
			}
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() {
		close(end)
		writing.Wait()
		maps.Copy(h.doubtful, written)
	}
}

// spend uses up transaction ids, as years of work would.
func (h *history) spend(n int) {
	h.Helper()
	h.ask(func(conn *pgx.Conn) error {
		batch := &pgx.Batch{}
		for range n {
			batch.Queue(`begin`)
			batch.Queue(`select pg_current_xact_id()`)
			batch.Queue(`rollback`)
		}
		return conn.SendBatch(h.Context(), batch).Close()
	})
}

// transaction returns the id of a transaction that begins now.
func (h *history) transaction() (id int64) {
	h.Helper()
	h.ask(func(conn *pgx.Conn) error {
		return conn.QueryRow(h.Context(), `select pg_current_xact_id()::text::bigint`).Scan(&id)
	})
	return id
}

// newer counts the events that were written by later transactions.
func (h *history) newer(transaction int64) (n int) {
	h.Helper()
	h.ask(func(conn *pgx.Conn) error {
		return conn.QueryRow(h.Context(), `select count(*) from banyan.events where xmin::text::bigint > $1`, transaction).Scan(&n)
	})
	return n
}

func (h *history) ask(fn func(conn *pgx.Conn) error) {
	h.Helper()
	conn, err := pgx.Connect(h.Context(), h.server.DSN("postgres"))
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = conn.Close(h.Context()) }()
	if err := fn(conn); err != nil {
		h.Fatal(err)
	}
}
