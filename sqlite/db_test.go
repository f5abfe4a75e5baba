package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openError returns the error that opening the file must give.
func openError(t *testing.T, path string) error {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, nil)
	if err == nil {
		_ = db.Close()
		t.Fatalf("opening %s gave no error", path)
	}
	return err
}

// eventually polls until ok, and fails the test after a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestOpenMakesTheFolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a folder", "with 100% odd?names#", "store.db")
	open(t, path, nil)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:"} {
		if err := openError(t, path); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("path %q: %v, want invalid", path, err)
		}
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), &sqlite.Options{Readers: -1}); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("negative option: %v, want invalid", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.in(func(tx *sql.Tx) error {
		_, err := tx.Exec(`UPDATE banyan_meta SET value = 999 WHERE key = 'schema'`)
		return err
	})
	if err := openError(t, f.path); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("error %v, want invalid", err)
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new.db")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			db := open(t, path, nil)
			s, err := db.Store(nil)
			if err == nil {
				_, err = s.Append(t.Context(), fmt.Sprint("s-", i), store.NoStream, banyan.Event{Type: "written", Data: []byte(`{}`)})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestUnsafeIsNotDurable(t *testing.T) {
	t.Parallel()
	for _, unsafe := range []bool{false, true} {
		db := open(t, filepath.Join(t.TempDir(), "x.db"), &sqlite.Options{UnsafeNoSync: unsafe})
		if got := db.Backend().Promises().Durable; got == unsafe {
			t.Errorf("UnsafeNoSync %v: store promises Durable %v", unsafe, got)
		}
		if got := db.ViewBackend().Promises().Durable; got == unsafe {
			t.Errorf("UnsafeNoSync %v: views promise Durable %v", unsafe, got)
		}
		level := -1
		err := db.InTx(t.Context(), func(tx *sql.Tx) error { return tx.QueryRow(`PRAGMA synchronous`).Scan(&level) })
		if want := map[bool]int{false: 2, true: 1}[unsafe]; err != nil || level != want {
			t.Errorf("UnsafeNoSync %v: synchronous is %d, want %d (%v)", unsafe, level, want, err)
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 2 {
		if err := f.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.db.Store(nil)
	for what, err := range map[string]error{
		"store":  err,
		"in tx":  f.db.InTx(t.Context(), func(*sql.Tx) error { return nil }),
		"append": appendError(f),
		"head":   headError(f),
		"backup": f.db.Backup(t.Context(), f.path+".copy"),
	} {
		if !errors.Is(err, banyan.ErrClosed) {
			t.Errorf("%s after Close: %v, want closed", what, err)
		}
	}
}

func appendError(f *fixture) error {
	_, err := f.store.Append(f.Context(), "s", store.Any, banyan.Event{Type: "written", Data: []byte(`{}`)})
	return err
}

func headError(f *fixture) error {
	_, err := f.store.Head(f.Context())
	return err
}

// TestWALIsCutBack is R12 in short: a reader keeps the WAL from being restarted;
// once it has gone the file shrinks by itself, without another write.
func TestWALIsCutBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "wal.db")
	const limit = 4 << 20
	db := open(t, path, &sqlite.Options{WALBytes: limit})
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	reader := bareOpen(t, path)
	tx, err := reader.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	var n int
	if _, err := tx.ExecContext(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM banyan_events`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	for i := 0; size() < 3*limit; i++ {
		if _, err := s.Append(t.Context(), "s", store.Any, large(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.ExecContext(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the WAL is cut back", func() bool { return size() <= limit })
}

func TestBackupWhileWriting(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			e := banyan.Event{ID: fmt.Sprint("e", i), Type: "written", Data: []byte(`{}`)}
			if _, err := f.store.Append(t.Context(), fmt.Sprint("s-", i%7), store.Any, e); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	dir := t.TempDir()
	for i := range 5 {
		before, err := f.store.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, fmt.Sprintf("copy-%d.db", i))
		if err := f.db.Backup(t.Context(), copied); err != nil {
			t.Fatal(err)
		}
		wantPrefix(t, f.store, copied, before)
	}
	close(stop)
	<-done
	if err := f.db.Backup(t.Context(), filepath.Join(dir, "copy-0.db")); !errors.Is(err, banyan.ErrExists) {
		t.Errorf("backup over a file: %v, want exists", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, ".banyan*"))
	if err != nil || len(names) > 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
}

// wantPrefix checks that the copy holds exactly the first events of the store,
// at least so many, and can be used.
func wantPrefix(t *testing.T, s *store.Store, copied string, least banyan.Position) {
	t.Helper()
	db := open(t, copied, nil)
	restored, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	report, err := restored.Verify(t.Context(), nil)
	if err != nil || !report.OK() {
		t.Fatalf("verify: %v %v", report.Faults, err)
	}
	if report.Last < least {
		t.Fatalf("the copy ends at %d, the store was at %d before", report.Last, least)
	}
	n := int(report.Last)
	for e, err := range s.All(t.Context(), 0, store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n--; n < 0 {
			break
		}
		same, err := restored.Lookup(t.Context(), e.ID)
		if err != nil || len(same) != 1 || same[0].Position != e.Position || same[0].Stream != e.Stream || same[0].Revision != e.Revision {
			t.Fatalf("event %s of position %d is %v in the copy (%v)", e.ID, e.Position, same, err)
		}
	}
	if _, err := restored.Append(t.Context(), "s-0", store.Any, banyan.Event{Type: "written", Data: []byte(`{}`)}); err != nil {
		t.Errorf("append to the copy: %v", err)
	}
}
