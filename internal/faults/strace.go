package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tracer is an strace that makes calls of processes fail. It numbers the calls
// of each thread by itself.
type tracer struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when strace has ended
	hit  chan struct{} // closed at the first call that was made to fail

	mu       sync.Mutex
	calls    parser       // guarded by mu
	attached map[int]bool // guarded by mu
	said     []string     // guarded by mu; what is not about a call
}

// attach traces processes, with all their threads and those they will start, and
// injects a fault: "fsync,fdatasync:error=EIO:when=3" and its like (man strace).
func attach(ctx context.Context, inject string, pids ...int) (*tracer, error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, skipError("strace is not installed")
	}
	args := []string{"-f", "-y", "-e", "signal=none", "-e", "trace=fsync,fdatasync,pwrite64,pwritev,ftruncate,fallocate", "-e", "inject=" + inject}
	for _, pid := range pids {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	t := &tracer{
		cmd: exec.CommandContext(ctx, "strace", args...), done: make(chan struct{}), hit: make(chan struct{}),
		calls: parser{open: map[string]call{}, dirty: map[string]bool{}}, attached: map[int]bool{},
	}
	out, err := t.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go t.listen(out)
	return t, t.isAttached(pids)
}

func (t *tracer) listen(out io.Reader) {
	defer close(t.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.mu.Lock()
		t.note(lines.Text())
		t.mu.Unlock()
	}
	_ = t.cmd.Wait() // it ends when it is told to, or with the processes
}

func (t *tracer) note(line string) { // mu held
	var pid int
	switch _, err := fmt.Sscanf(line, "strace: Process %d attached", &pid); {
	case err == nil:
		t.attached[pid] = true
	case strings.HasPrefix(line, "strace: "):
		t.said = append(t.said, line)
	default:
		hits := t.calls.hits
		t.calls.note(line)
		if hits == 0 && t.calls.hits > 0 {
			close(t.hit)
		}
	}
}

// isAttached waits until all processes are traced.
func (t *tracer) isAttached(pids []int) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(10 * time.Second)
	for {
		t.mu.Lock()
		missing := false
		for _, pid := range pids {
			missing = missing || !t.attached[pid] && !gone(pid)
		}
		said := strings.Join(t.said, "; ")
		t.mu.Unlock()
		if !missing {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout:
			return errors.Join(errors.New("strace did not attach within 10 s: "+said), t.detach())
		case <-t.done:
			if strings.Contains(said, "not permitted") {
				return skipError("tracing is not permitted: " + said)
			}
			return errors.New("strace ended: " + said)
		}
	}
}

// gone reports whether a process has ended, though its parent may not know yet.
func gone(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(text), ") ") // after the name, which may hold anything
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// first returns the first call that was made to fail.
func (t *tracer) first() call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls.first
}

// detach ends the tracing; the processes go on without it.
func (t *tracer) detach() error {
	_ = t.cmd.Process.Signal(syscall.SIGTERM) // it may be gone with its processes
	select {
	case <-t.done:
		return nil
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("strace does not end"), t.cmd.Process.Kill())
	}
}

// call is one call of the system, as strace prints it.
type call struct {
	pid  int
	name string
	path string
	// dirty: the file was written since it was last synced.
	dirty bool
}

// parser follows the output of strace.
type parser struct {
	open  map[string]call // begun and not ended, by the prefix that names the thread
	dirty map[string]bool // files written since they were synced
	hits  int             // calls that were made to fail
	syncs int
	first call // that was made to fail
}

var (
	begun   = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?(\w+)\((?:\d+<([^>]*)>)?`)
	resumed = regexp.MustCompile(`^(?:\[pid +(\d+)\] )?<\.\.\. \w+ resumed>`)
)

func (p *parser) note(line string) {
	if m := resumed.FindStringSubmatch(line); m != nil {
		p.end(p.open[m[1]], line)
		return
	}
	m := begun.FindStringSubmatch(line)
	if m == nil {
		return
	}
	pid, _ := strconv.Atoi(m[1]) // none when there is one process only
	c := call{pid: pid, name: m[2], path: m[3], dirty: p.dirty[m[3]]}
	if strings.HasSuffix(line, "<unfinished ...>") {
		p.open[m[1]] = c
		return
	}
	p.end(c, line)
}

func (p *parser) end(c call, line string) {
	sync := strings.HasSuffix(c.name, "sync")
	if sync {
		p.syncs++
	}
	switch {
	case strings.HasSuffix(line, "(INJECTED)"):
		if p.hits++; p.hits == 1 {
			p.first = c
		}
	case sync:
		delete(p.dirty, c.path)
	case strings.HasPrefix(c.name, "pwrite"):
		p.dirty[c.path] = true
	}
}

// serverProcesses returns the processes of a PostgreSQL server, the first of
// them the one that starts the others.
func serverProcesses(data string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	first, err := strconv.Atoi(line)
	if err != nil {
		return nil, err
	}
	text, err = os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", first, first))
	pids := []int{first}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}
