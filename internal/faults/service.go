package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// service is a victim that does what it is told, and is started again when it
// was killed.
type service struct {
	path string
	args []string

	mu   sync.RWMutex
	life *serving // guarded by mu; changed by restart
}

// serving is one process.
type serving struct {
	cmd   *exec.Cmd
	errs  strings.Builder // read after done
	ready chan struct{}
	done  chan struct{} // closed when it is gone and every answer is handed out

	mu      sync.Mutex
	in      io.Writer              // guarded by mu
	last    int                    // guarded by mu
	pending map[string]chan string // guarded by mu
}

func startService(ctx context.Context, path string, args ...string) (*service, error) {
	s := &service{path: path, args: args}
	life, err := s.start(ctx)
	s.life = life
	return s, err
}

func (s *service) start(ctx context.Context) (*serving, error) {
	p := &serving{cmd: exec.Command(s.path, s.args...), ready: make(chan struct{}), done: make(chan struct{}), pending: map[string]chan string{}}
	p.cmd.Stderr = &p.errs
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(out)
	select {
	case <-p.ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("the victim ended before it was ready: %s", strings.TrimSpace(p.errs.String()))
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(time.Minute):
		err = errors.New("the victim was not ready within a minute")
	}
	p.kill()
	return nil, err
}

func (p *serving) listen(out io.Reader) {
	defer close(p.done)
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			break
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "ready" {
			close(p.ready)
			continue
		}
		number, answer, _ := strings.Cut(line, " ")
		p.mu.Lock()
		if c := p.pending[number]; c != nil {
			c <- answer
			delete(p.pending, number)
		}
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // it was killed
}

func (p *serving) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

// call sends a request and waits for the answer; false: the process ended first.
func (s *service) call(ctx context.Context, request string) (answer string, alive bool) {
	s.mu.RLock()
	p := s.life
	s.mu.RUnlock()
	c := make(chan string, 1)
	p.mu.Lock()
	p.last++
	p.pending[fmt.Sprint(p.last)] = c
	_, _ = fmt.Fprintf(p.in, "%d %s\n", p.last, request) // when it is gone, done says so
	p.mu.Unlock()
	select {
	case answer = <-c:
		return answer, true
	case <-p.done:
	case <-ctx.Done():
		return "", false
	}
	select {
	case answer = <-c: // its last words
		return answer, true
	default:
		return "", false
	}
}

// restart kills the process and starts another; callers wait meanwhile.
func (s *service) restart(ctx context.Context) error {
	s.current().kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	life, err := s.start(ctx)
	if err == nil {
		s.life = life
	}
	return err
}

func (s *service) current() *serving {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.life
}

// pause stops the process for a while.
func (s *service) pause(d time.Duration) error {
	pid := s.current().cmd.Process.Pid
	if err := pause(pid); err != nil {
		return err
	}
	time.Sleep(d)
	return proceed(pid)
}

func (s *service) close() {
	if s != nil && s.life != nil {
		s.life.kill()
	}
}
