//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/sqlite"
	"github.com/banyanhq/banyan/store"
)

// TestWriteError makes every write beyond the first pages of a file fail, as a
// broken disk would, in a process of its own: the limit holds for all of it.
func TestWriteError(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), brokenDiskEnv+"="+filepath.Join(t.TempDir(), "broken.db"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// brokenDisk is the child of TestWriteError: once with an append that fails,
// once with a transaction.
func brokenDisk(path string) error {
	e1 := banyan.Event{ID: "e1", Type: "written", Data: []byte(`{}`)}
	return errors.Join(
		breakDisk(path, func(s *store.Store, _ *sqlite.DB) error {
			_, err := s.Append(context.Background(), "s", store.Any, e1)
			return err
		}),
		breakDisk(path+"2", func(_ *store.Store, db *sqlite.DB) error {
			return db.InTx(context.Background(), func(tx *sql.Tx) error {
				_, err := db.AppendTx(context.Background(), tx, store.Write{Stream: "s", Expect: store.Any, Events: []banyan.Event{e1}})
				return err
			})
		}),
	)
}

func breakDisk(path string, first func(*store.Store, *sqlite.DB) error) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, path, nil)
	if err != nil {
		return err
	}
	s, err := db.Store(nil)
	if err != nil {
		return err
	}
	write := func(id string) (store.Result, error) {
		return s.Append(ctx, "s", store.Any, banyan.Event{ID: id, Type: "written", Data: []byte(`{}`)})
	}
	if _, err := write("before"); err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ) // the write call fails with EFBIG instead
	broken := limit
	broken.Cur = 8192
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &broken); err != nil {
		return err
	}
	// first is the write that meets the failure: an append, or a transaction.
	if err := first(s, db); !errors.Is(err, banyan.ErrUnknown) {
		return fmt.Errorf("write while writes fail: %v, want outcome unknown", err)
	}
	for range 3 {
		if _, err := write("e2"); !errors.Is(err, banyan.ErrUnavailable) || errors.Is(err, banyan.ErrUnknown) {
			return fmt.Errorf("append after it: %v, want unavailable", err)
		}
	}
	for _, err := range s.Read(ctx, "s", store.ReadOptions{}) {
		if err != nil {
			return fmt.Errorf("reading meanwhile: %w", err)
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for _, id := range []string{"e1", "e2", "e1"} {
		if _, err := write(id); err != nil {
			return fmt.Errorf("append once writes work again: %w", err)
		}
	}
	report, err := s.Verify(ctx, nil)
	if err != nil || !report.OK() || report.Events != 3 {
		return fmt.Errorf("verify: %v %v; %d events, want 3", report.Faults, err, report.Events)
	}
	return errors.Join(s.Close(), db.Close())
}
