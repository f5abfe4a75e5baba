package sqlite_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestDiskFull is R4 in short: a real file system without space.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("needs the right to mount a tmpfs of 16 MB: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	writeFile(t, ballast, string(make([]byte, 6<<20)))
	db := open(t, filepath.Join(dir, "full.db"), nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	survivesFull(t, s, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	})
}
