package pgtest

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// shutdown is a way to end a server in order.
type shutdown int

const (
	fast   shutdown = iota // roll back, write a checkpoint
	atOnce                 // no checkpoint
)

// run is one life of the server's processes.
type run struct {
	process *os.Process
	done    chan struct{} // closed when the first process and all its children are gone
}

// begin starts cmd and gives its standard error to log. Every process of the
// server inherits that end of the pipe, so that its end of file, for which Wait
// waits, means that the last of them is gone. That holds without any knowledge of
// which they are.
func begin(cmd *exec.Cmd, log io.Writer) (*run, error) {
	cmd.Stderr = log
	started := make(chan error, 1)
	r := &run{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		// On Linux the server follows the death of the thread that started it, not
		// of the process: this one lives exactly as long as the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		follow(cmd)
		err := cmd.Start()
		r.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended shows in the log
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return r, nil
}

func (r *run) pid() int { return r.process.Pid }

// wait reports whether all processes were gone within the time.
func (r *run) wait(limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.done:
		return true
	case <-timer.C:
		return false
	}
}

// tail keeps the last bytes written to it.
type tail struct {
	mu   sync.Mutex // guards kept
	kept []byte
}

const tailSize = 64 << 10

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - tailSize; over > 0 {
		l.kept = append(l.kept[:0], l.kept[over:]...)
	}
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.kept)
}

func (l *tail) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = nil
}
