//go:build unix

package main

import "syscall"

// pause stops a process in the middle of what it does; proceed lets it go on.
func pause(pid int) error   { return syscall.Kill(pid, syscall.SIGSTOP) }
func proceed(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
