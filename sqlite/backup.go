package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/banyanhq/banyan"
)

// Backup writes a copy of the file as it is at one moment, while others go on
// reading and writing. The copy is compact, has everything in one file, and is
// opened with Open like any other: that is how it is restored. It appears under
// its name only when it is complete and on the disk; a name that exists already
// is refused with banyan.ErrExists. Until the copy is made, the WAL keeps what
// is written meanwhile and may grow.
func (db *DB) Backup(ctx context.Context, path string) error {
	if err := db.backup(ctx, path); err != nil {
		return fmt.Errorf("sqlite: back up %s to %s: %w", db.path, path, err)
	}
	return nil
}

func (db *DB) backup(ctx context.Context, path string) error {
	if err := db.usable(); err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: choose a new name", banyan.ErrExists)
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".banyan-backup-*")
	if err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	temp := f.Name()
	defer os.Remove(temp) //nolint:errcheck // after publish it is not there any more
	if err := f.Close(); err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	if err := db.vacuumInto(ctx, temp); err != nil {
		return err
	}
	if err := publish(temp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

// vacuumInto reads in one snapshot, on a connection of its own so that the pool
// does not lose one for as long as it takes.
func (db *DB) vacuumInto(ctx context.Context, temp string) error {
	c, err := db.dial(false, db.opts.Busy)
	if err != nil {
		return classify(err)
	}
	err = c.execContext(ctx, `VACUUM INTO ?`, temp)
	if banyan.Stopped(err) {
		_ = c.close()
		return err
	}
	return classify(errors.Join(err, c.close()))
}

// publish syncs the file and gives it its name, never that of another file: a
// link fails where a rename would replace.
func publish(temp, path string) error {
	f, err := os.OpenFile(temp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	err = os.Link(temp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("%w: somebody else made it meanwhile", banyan.ErrExists)
	}
	// The file system has no links.
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: somebody else made it meanwhile", banyan.ErrExists)
	}
	return os.Rename(temp, path)
}
