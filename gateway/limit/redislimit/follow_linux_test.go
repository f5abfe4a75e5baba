package redislimit_test

import "syscall"

// follow ends a server with the thread that started it: a test that is killed
// leaves none behind.
func follow() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
