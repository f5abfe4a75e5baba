package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// victim is a writer process.
type victim struct {
	cmd     *exec.Cmd
	ledger  *ledger
	in      io.WriteCloser
	errs    bytes.Buffer // what it wrote to standard error; read after done
	started time.Time
	ready   chan struct{}
	done    chan struct{} // closed when it is gone and all it said is noted
	err     error         // of what it said; read after done
}

// startVictim starts a writer. It opens the store once it gets the handover.
func startVictim(ctx context.Context, path string, l *ledger, args ...string) (*victim, error) {
	l.begin()
	v := &victim{cmd: exec.CommandContext(ctx, path, args...), ledger: l, ready: make(chan struct{}), done: make(chan struct{})}
	v.cmd.Stderr = &v.errs
	var err error
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.started = time.Now()
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(v.done)
		v.err = v.listen(out)
		_ = v.cmd.Wait() // how it ended does not matter: it is killed
	}()
	return v, nil
}

func (v *victim) listen(out io.Reader) error {
	var wrong error
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			return wrong // the victim is gone; half a line is no acknowledgement
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "ready" {
			close(v.ready)
		} else if err := v.ledger.note(line); err != nil {
			wrong = errors.Join(wrong, err)
		}
	}
}

// say writes to its standard input. A victim that is gone says so by done.
func (v *victim) say(text string) { _, _ = io.WriteString(v.in, text) }

// isReady waits until it writes.
func (v *victim) isReady(ctx context.Context) (time.Duration, error) {
	select {
	case <-v.ready:
		return time.Since(v.started), nil
	case <-v.done:
		return 0, fmt.Errorf("the victim ended before it was ready: %w: %s", errors.Join(v.err, errors.New("exit")), v.complaint())
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), v.kill())
	case <-time.After(time.Minute):
		return 0, errors.Join(errors.New("the victim was not ready within a minute"), v.kill())
	}
}

// complaint is what it wrote to standard error before it ended.
func (v *victim) complaint() string {
	<-v.done
	return strings.TrimSpace(v.errs.String())
}

func (v *victim) ended() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// kill ends it and returns when all it said is noted. The error is about what it
// said.
func (v *victim) kill() error {
	_ = v.cmd.Process.Kill() // it may be gone
	<-v.done
	return v.err
}
