//go:build !linux

package main

import "errors"

type loopMount struct{ path string }

func newLoopMount(string) (*loopMount, error) {
	return nil, skipError("only Linux has the ext4 shutdown ioctl")
}

func (*loopMount) cut() error   { return errors.ErrUnsupported }
func (*loopMount) again() error { return errors.ErrUnsupported }
func (*loopMount) close() error { return nil }

type tmpfs struct{ path string }

func newTmpfs(string, int) (*tmpfs, error) {
	return nil, skipError("only Linux has a tmpfs of a given size")
}

func (*tmpfs) close() error { return nil }

func freeSpace(string) (int, error) { return 0, errors.ErrUnsupported }
func giveTo(string, string) error   { return errors.ErrUnsupported }
