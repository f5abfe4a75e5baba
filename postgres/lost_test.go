package postgres_test

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

// relay stands between a client and a server and can cut or swallow connections.
type relay struct {
	listener net.Listener
	deaf     atomic.Bool // new connections are accepted and never answered
	panics   atomic.Bool // the next answer of the server becomes a panic

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	ended sync.WaitGroup
}

// newRelay returns a relay to the server of dsn and the string to connect by it.
func newRelay(t testing.TB, dsn string) (*relay, string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	behind := net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	r := &relay{}
	if r.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	r.ended.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.serve(conn, behind)
		}
	})
	t.Cleanup(func() {
		_ = r.listener.Close()
		r.cut()
		r.ended.Wait()
	})
	return r, strings.Replace(dsn, behind, r.listener.Addr().String(), 1)
}

func (r *relay) serve(conn net.Conn, behind string) {
	r.keep(conn)
	if r.deaf.Load() {
		return
	}
	server, err := net.Dial("tcp", behind)
	if err != nil {
		_ = conn.Close()
		return
	}
	r.keep(server)
	r.ended.Go(func() {
		_, _ = io.Copy(server, conn)
		_ = server.Close()
	})
	r.ended.Go(func() {
		_, _ = io.Copy(answers{r, conn}, server)
		_ = conn.Close()
	})
}

// answers passes on what the server says.
type answers struct {
	r  *relay
	to net.Conn
}

func (a answers) Write(b []byte) (int, error) {
	if !a.r.panics.CompareAndSwap(true, false) {
		return a.to.Write(b)
	}
	panicked := pgproto3.ErrorResponse{Severity: "PANIC", SeverityUnlocalized: "PANIC", Code: "58030", Message: "could not fdatasync file"}
	text, err := panicked.Encode(nil)
	if err == nil {
		_, err = a.to.Write(text)
	}
	return 0, errors.Join(err, io.ErrClosedPipe)
}

func (r *relay) keep(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
}

// cut ends every connection.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

// TestDeafServer: a connection that cannot be made in time wrote nothing, and
// the answer says so, although the caller's context goes on.
func TestDeafServer(t *testing.T) {
	t.Parallel()
	r, dsn := newRelay(t, pgtest.Database(t))
	b := open(t, dsn+"&connect_timeout=1", nil).Backend()
	s, err := store.New(b, nil) // only to prepare; b is its database's
	if err != nil {
		t.Fatal(err)
	}
	commit, err := s.Prepare(t.Context(), []store.Write{to("a", store.Any, named("1"))})
	if err != nil {
		t.Fatal(err)
	}
	r.deaf.Store(true)
	r.cut()
	for range 3 { // the idle connections first
		if _, err = b.Append(t.Context(), []store.Commit{commit}); err == nil {
			t.Fatal("the server cannot be reached, and the append worked")
		}
	}
	if !errors.Is(err, banyan.ErrUnavailable) {
		t.Errorf("no connection in time: %v; want kind %q", err, banyan.ErrUnavailable)
	}
}

// TestLostConnections: neither a read nor the begin of a transaction fails
// because all idle connections died.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	const readers = 4
	r, dsn := newRelay(t, pgtest.Database(t))
	db := open(t, dsn, &postgres.Options{MaxConns: readers})
	b, nothing := db.Backend(), func(pgx.Tx) error { return nil }
	for round := range 3 {
		var at sync.WaitGroup // so that each reader has a connection of its own
		at.Add(readers)
		errs := make(chan error, readers)
		for range readers {
			go func() {
				at.Done()
				at.Wait()
				for range 20 {
					_, err := b.Head(t.Context())
					if err := errors.Join(err, db.InTx(t.Context(), nothing)); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range readers {
			if err := <-errs; err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		r.cut()
	}
}

// TestPanicIsUnknown: a server that panics while it commits may have kept the
// commit; sending it again finds out.
func TestPanicIsUnknown(t *testing.T) {
	t.Parallel()
	r, dsn := newRelay(t, pgtest.Database(t))
	s, err := open(t, dsn, nil).Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), "a", store.NoStream, named("1")); err != nil {
		t.Fatal(err)
	}
	r.panics.Store(true)
	_, err = s.Append(t.Context(), "a", store.Exact(1), named("2"))
	if !errors.Is(err, banyan.ErrUnknown) || errors.Is(err, banyan.ErrUnavailable) {
		t.Fatalf("the commit was done and the answer was a panic: %v; want kind %q", err, banyan.ErrUnknown)
	}
	again, err := s.Append(t.Context(), "a", store.Exact(1), named("2"))
	if err != nil || !again.Duplicate || again.Events[0].Revision != 2 {
		t.Errorf("sent again: %+v, %v; want what the first one stored", again, err)
	}
}
