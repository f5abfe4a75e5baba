package sqlite

import (
	"errors"
	"fmt"
	"strings"

	"github.com/banyanhq/banyan"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

var errClosed = fmt.Errorf("the database is %w", banyan.ErrClosed)

// code returns the extended result code of SQLite in err, 0 when there is none.
func code(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// primary is the part of a result code that says what kind of failure it is.
func primary(err error) int { return code(err) & 0xff }

// classify gives an error of SQLite its kind. It is for reads and for writes
// that were not committed: nothing was done.
func classify(err error) error {
	if err == nil || banyan.Kind(err) != nil {
		return err
	}
	switch primary(err) {
	case 0: // not of SQLite
		return err
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fmt.Errorf("%w: the database file is damaged; restore a backup: %w", banyan.ErrCorrupt, err)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fmt.Errorf("%w: another process holds the database: %w", banyan.ErrUnavailable, err)
	case lib.SQLITE_FULL:
		return fmt.Errorf("%w: no space left for the database; free some and send it again: %w", banyan.ErrUnavailable, err)
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_CANTOPEN:
		return fmt.Errorf("%w: check the permissions of the database file and its folder: %w", banyan.ErrUnavailable, err)
	case lib.SQLITE_TOOBIG:
		return fmt.Errorf("%w: %w", banyan.ErrInvalid, err)
	}
	if missingTable(err) {
		return fmt.Errorf("%w: %w", banyan.ErrNotFound, err)
	}
	return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
}

// rolledBack reports whether a failed COMMIT surely wrote nothing. FULL comes
// before the frame that makes the transaction count, BUSY before the first.
// After any other error, an fsync that failed above all, recovery after a crash
// may find the transaction complete.
func rolledBack(err error) bool {
	p := primary(err)
	return p == lib.SQLITE_FULL || p == lib.SQLITE_BUSY
}

// ioError reports whether the file or its disk failed.
func ioError(err error) bool {
	p := primary(err)
	return p == lib.SQLITE_IOERR || p == lib.SQLITE_CORRUPT || p == lib.SQLITE_NOTADB
}

// endsTransaction reports whether SQLite may have rolled back the whole
// transaction and not only the statement.
func endsTransaction(err error) bool {
	switch primary(err) {
	case lib.SQLITE_FULL, lib.SQLITE_IOERR, lib.SQLITE_NOMEM, lib.SQLITE_BUSY, lib.SQLITE_INTERRUPT, lib.SQLITE_CORRUPT:
		return true
	}
	return false
}

func uniqueViolation(err error) bool { return code(err) == lib.SQLITE_CONSTRAINT_UNIQUE }

// missingTable is recognised by its text: SQLite has no code for it.
func missingTable(err error) bool {
	return primary(err) == lib.SQLITE_ERROR && strings.Contains(err.Error(), "no such table")
}

func missingColumn(err error) bool {
	return primary(err) == lib.SQLITE_ERROR && strings.Contains(err.Error(), "no such column")
}

func noTransaction(err error) bool {
	return primary(err) == lib.SQLITE_ERROR && strings.Contains(err.Error(), "no transaction is active")
}
