//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
)

// supported is false: ending the server in order needs signals.
const supported = false

func (*run) signal(shutdown) error { return errors.ErrUnsupported }

func (r *run) kill() error { return r.process.Kill() }

func demote(*exec.Cmd) {}

func follow(*exec.Cmd) {}

func disown(...string) error { return nil }
