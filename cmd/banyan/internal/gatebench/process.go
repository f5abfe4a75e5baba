package gatebench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is one that runs.
type process struct {
	command *exec.Cmd
	said    *tail
	ended   chan struct{}
	err     error // once it has ended
}

const (
	// startTimeout is how long a process may take to listen, and to answer as it
	// should.
	startTimeout = 20 * time.Second
	// stopTimeout is how long it may take to end before it is killed.
	stopTimeout = 3 * time.Second
)

// spawn starts a process and waits until it accepts connections.
func spawn(ctx context.Context, command *exec.Cmd, listen string) (*process, error) {
	p := &process{command: command, said: &tail{}, ended: make(chan struct{})}
	command.Stdout, command.Stderr = p.said, p.said
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	if err := p.listens(ctx, listen); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) listens(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", listen)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.ended:
			return fmt.Errorf("it ended: %w: %s", p.err, p.output())
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w: %s", err, p.output())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stop ends it. It is asked first: nginx's workers would outlive a master that is
// killed.
func (p *process) stop() {
	_ = p.command.Process.Signal(os.Interrupt) // it may have ended, or not know interrupts
	select {
	case <-p.ended:
	case <-time.After(stopTimeout):
		_ = p.command.Process.Kill() // it may have ended
		<-p.ended
	}
}

// output is the end of what it said.
func (p *process) output() string { return p.said.String() }

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	text []byte // guarded by mu
}

const tailBytes = 2 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
