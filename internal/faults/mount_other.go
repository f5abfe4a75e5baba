//go:build !linux

package main

import "errors"

type loopMount struct{ path string }

func newLoopMount(string) (*loopMount, error) {
	return nil, errors.New("only Linux has the ext4 shutdown ioctl")
}

func (*loopMount) cut() error   { return errors.ErrUnsupported }
func (*loopMount) again() error { return errors.ErrUnsupported }
func (*loopMount) close() error { return nil }
