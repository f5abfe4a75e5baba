//go:build !linux

package redislimit_test

import "syscall"

func follow() *syscall.SysProcAttr { return nil }
