package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

func large(id string) banyan.Event {
	return banyan.Event{ID: id, Type: "written", Data: []byte(`"` + strings.Repeat("x", 64<<10) + `"`)}
}

// fill appends large events to a stream until one is refused, and returns how
// many were acknowledged.
func fill(t *testing.T, s *store.Store, stream string) (n int, err error) {
	t.Helper()
	for n = 0; n < 2000; n++ {
		if _, err := s.Append(t.Context(), stream, store.Any, large(fmt.Sprint(stream, n))); err != nil {
			return n, err
		}
	}
	t.Fatal("the disk does not get full")
	return 0, nil
}

// survivesFull fills the store, checks that the refusal is typed, that nothing
// acknowledged is lost and that reads go on, makes space, and goes on.
func survivesFull(t *testing.T, s *store.Store, makeSpace func()) {
	t.Helper()
	n, err := fill(t, s, "full")
	if !errors.Is(err, banyan.ErrUnavailable) || errors.Is(err, banyan.ErrUnknown) {
		t.Fatalf("append without space: %v, want unavailable", err)
	}
	if n == 0 {
		t.Fatal("nothing was acknowledged: the test tests nothing")
	}
	if got := len(read(t, s, "full")); got != n {
		t.Fatalf("%d events can be read, %d were acknowledged", got, n)
	}
	makeSpace()
	if _, err := s.Append(t.Context(), "full", store.Exact(banyan.Revision(n)), large("after")); err != nil {
		t.Fatalf("append with space again: %v", err)
	}
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() {
		t.Fatalf("verify: %v %v", report.Faults, err)
	}
}

func read(t *testing.T, s *store.Store, stream string) (events []banyan.Event) {
	t.Helper()
	for e, err := range s.Read(t.Context(), stream, store.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// TestDatabaseFull forbids SQLite to grow the file.
func TestDatabaseFull(t *testing.T) {
	t.Parallel()
	f := setup(t)
	limit := func(pages int) {
		f.in(func(tx *sql.Tx) error {
			var got int
			return tx.QueryRow(fmt.Sprintf("PRAGMA max_page_count(%d)", pages)).Scan(&got)
		})
	}
	limit(500)
	survivesFull(t, f.store, func() { limit(1 << 30) })
}

// TestBatchThatFillsTheDisk goes on after the error, as user code may: what
// comes after must not be kept alone.
func TestInTxThatFillsTheDisk(t *testing.T) {
	t.Parallel()
	f := setup(t)
	err := f.db.InTx(t.Context(), func(tx *sql.Tx) error {
		var pages int
		if err := tx.QueryRow("PRAGMA max_page_count(20)").Scan(&pages); err != nil {
			return err
		}
		_, err := f.db.AppendTx(t.Context(), tx, store.Write{Stream: "s", Events: []banyan.Event{
			{Type: "written", Data: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)},
		}})
		return err
	})
	if !errors.Is(err, banyan.ErrUnavailable) {
		t.Fatalf("error %v, want unavailable", err)
	}
	f.in(func(tx *sql.Tx) error {
		var pages int
		return tx.QueryRow("PRAGMA max_page_count(1000000)").Scan(&pages)
	})
	f.in(func(tx *sql.Tx) error { return order(tx, "o1") })
	f.want([]string{"o1"}, nil)
}

func TestLockedByAnotherProcess(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tx, err := bareOpen(t, f.path).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { failed <- f.db.InTx(ctx, func(tx *sql.Tx) error { return order(tx, "o1") }) }()
	cancel()
	if err := <-failed; !errors.Is(err, banyan.ErrUnavailable) {
		t.Errorf("error %v, want unavailable", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	f.in(func(tx *sql.Tx) error { return order(tx, "o2") })
	f.want([]string{"o2"}, nil)
}

func TestDamagedEventIsFound(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.in(func(tx *sql.Tx) error {
		_, err := f.db.AppendTx(t.Context(), tx, placed("e1", store.NoStream))
		return err
	})
	f.in(func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE banyan_events SET data = CAST('{"a":1}' AS BLOB)`)
		return err
	})
	for _, err := range f.store.Read(t.Context(), "order-1", store.ReadOptions{}) {
		if !errors.Is(err, banyan.ErrCorrupt) {
			t.Errorf("error %v, want corrupt", err)
		}
	}
	if report, err := f.store.Verify(t.Context(), nil); err != nil || report.OK() {
		t.Errorf("verify found nothing: %v %v", report, err)
	}
}

func TestFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "text.db")
	writeFile(t, path, strings.Repeat("this is not a database\n", 1000))
	if err := openError(t, path); !errors.Is(err, banyan.ErrCorrupt) {
		t.Errorf("error %v, want corrupt", err)
	}
}
