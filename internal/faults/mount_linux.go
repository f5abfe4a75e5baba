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
	if err := command("mkfs.ext4", "-q", "-F", m.image); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the server runs as another user
		return nil, err
	}
	return m, m.mount()
}

func (m *loopMount) mount() error { return command("mount", "-o", "loop", m.image, m.path) }

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
	if err := m.unmount(); err != nil {
		return err
	}
	return m.mount()
}

// unmount tries for a while: the kernel lets go of the files of a killed process
// a little after the process is gone.
func (m *loopMount) unmount() error {
	var err error
	for range 100 {
		if err = command("umount", m.path); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

func (m *loopMount) close() error { return errors.Join(m.unmount(), os.Remove(m.image)) }

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
	}
	return nil
}
