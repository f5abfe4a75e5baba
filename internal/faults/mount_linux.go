package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"
)

// loopMount is an ext4 file system in a file. cut is a power loss as the file
// system sees it: the shutdown ioctl without a log flush (EXT4_IOC_SHUTDOWN with
// EXT4_GOING_FLAGS_NOLOGFLUSH, Linux fs/ext4/ioctl.c) drops everything that was
// not synced, and the next mount replays the journal.
type loopMount struct {
	image string
	path  string
}

const (
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2
)

func newLoopMount(dir string) (*loopMount, error) {
	if os.Geteuid() != 0 {
		return nil, skipError("power cuts need root")
	}
	m := &loopMount{image: filepath.Join(dir, "disk.img"), path: filepath.Join(dir, "disk")}
	if err := os.Mkdir(m.path, 0o755); err != nil { //nolint:gosec // the server runs as another user
		return nil, err
	}
	if err := os.WriteFile(m.image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(m.image, 2<<30); err != nil {
		return nil, err
	}
	if err := tool("mkfs.ext4", "-q", "-F", m.image); err != nil {
		return nil, err
	}
	if err := m.mount(); err != nil {
		return nil, skipError(err.Error())
	}
	return m, nil
}

func (m *loopMount) mount() error { return tool("mount", "-o", "loop", m.image, m.path) }

func (m *loopMount) cut() error {
	f, err := os.Open(m.path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), ext4Shutdown, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return fmt.Errorf("shut the file system down: %w", errno)
	}
	return nil
}

// again unmounts what was cut and mounts it as after a restart.
func (m *loopMount) again() error {
	if err := unmount(m.path); err != nil {
		return err
	}
	return m.mount()
}

// unmount tries for a while: the kernel lets go of the files of a killed process
// a little after the process is gone.
func unmount(path string) error {
	var err error
	for range 100 {
		if err = tool("umount", path); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (m *loopMount) close() error { return errors.Join(unmount(m.path), os.Remove(m.image)) }

// tmpfs is a small file system in memory.
type tmpfs struct{ path string }

func newTmpfs(path string, size int) (*tmpfs, error) {
	if os.Geteuid() != 0 {
		return nil, skipError("a file system of a given size needs root")
	}
	if err := os.Mkdir(path, 0o755); err != nil { //nolint:gosec // the server runs as another user
		return nil, err
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return nil, skipError(fmt.Sprintf("mount a tmpfs: %v", err))
	}
	return &tmpfs{path: path}, nil
}

func (m *tmpfs) close() error { return unmount(m.path) }

func tool(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}

// freeSpace returns how many bytes can still be written.
func freeSpace(path string) (int, error) {
	var s syscall.Statfs_t
	err := syscall.Statfs(path, &s)
	return int(s.Bavail) * int(s.Bsize), err
}

// giveTo gives a folder to the owner of another.
func giveTo(path, like string) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
