package sqlite

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/banyanhq/banyan"
)

// syncFolder puts the names of the files in a folder on disk. SQLite does so
// when it makes the file and its WAL, but takes no notice of an error: appends
// would be acknowledged in a file that may have no name after a power cut.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" { // a folder cannot be synced there, nor need be
		return nil
	}
	folder, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	defer folder.Close() //nolint:errcheck // it was only read
	if err := folder.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w: the folder cannot be written to disk: %w", banyan.ErrUnavailable, err)
	}
	return nil
}
