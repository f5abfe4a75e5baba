package siege_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// folder is where the command is built.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "siege"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(folder)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// build builds the command for the first test that needs it.
var build = sync.OnceValues(func() (string, error) {
	file := filepath.Join(folder, "banyan")
	out, err := exec.Command("go", "build", "-o", file, "github.com/banyanhq/banyan/cmd/banyan").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return file, nil
})

func command(t testing.TB) string {
	t.Helper()
	file, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// process is a gateway of its own.
type process struct {
	cmd  *exec.Cmd
	addr string
	done chan struct{} // closed when it has ended
	err  error         // how; after done

	mu    sync.Mutex
	lines []string // guarded by mu; of its log
	more  chan struct{}
}

// start runs a gateway and waits until it serves.
func start(t testing.TB, file string, flags ...string) *process {
	t.Helper()
	return startWith(t, nil, file, flags...)
}

// startWith is start with more in its environment.
func startWith(t testing.TB, env []string, file string, flags ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(command(t), append([]string{"run", "-c", file}, flags...)...), done: make(chan struct{}), more: make(chan struct{}, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.read(out)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // mostly it has ended
		<-p.done
	})
	line, ok := p.await(0, 10*time.Second, `"msg":"serving"`)
	if !ok {
		t.Fatalf("the gateway does not begin: %s", p.log())
	}
	var said struct{ Address string }
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		t.Fatal(err)
	}
	p.addr = said.Address
	return p
}

func (p *process) read(out io.Reader) {
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		p.mu.Lock()
		p.lines = append(p.lines, in.Text())
		p.mu.Unlock()
		select {
		case p.more <- struct{}{}:
		default:
		}
	}
}

// said returns how many lines there are.
func (p *process) said() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[max(0, len(p.lines)-30):], "\n")
}

// await waits for a line from the nth on that holds one of the texts.
func (p *process) await(n int, limit time.Duration, texts ...string) (string, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		p.mu.Lock()
		for ; n < len(p.lines); n++ {
			for _, text := range texts {
				if strings.Contains(p.lines[n], text) {
					p.mu.Unlock()
					return p.lines[n], true
				}
			}
		}
		p.mu.Unlock()
		select {
		case <-p.more:
		case <-p.done:
			return "", false
		case <-timer.C:
			return "", false
		}
	}
}

// stop drains the gateway and returns how it ended.
func (p *process) stop(t testing.TB) error {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(time.Minute):
		t.Fatalf("the gateway did not end within a minute of SIGTERM: %s", p.log())
		return nil
	}
}

// memory of the process: what it has, and the most that it had, in bytes.
func (p *process) memory(t testing.TB) (resident, peak int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("SKIPPED, memory of a process is read from /proc: %v", err)
	}
	return kilobytes(string(text), "VmRSS:") << 10, kilobytes(string(text), "VmHWM:") << 10
}

func kilobytes(text, key string) int64 {
	_, rest, _ := strings.Cut(text, key)
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// write makes a file with a text and returns its name.
func write(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "banyan.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// freePort returns an address that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	var c net.ListenConfig
	l, err := c.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
