package redislimit_test

import (
	"context"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/gateway/limit/redislimit"
	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// A connection that is being made when its client is closed ends by itself.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).dialConn"))
}

// server is a private Redis or Valkey of a test, which keeps nothing on disk.
type server struct {
	t    testing.TB
	args []string
	port int
	log  *gatetest.Log
	cmd  *exec.Cmd
	done chan struct{}
}

func (s *server) output() string { return s.log.String() }

// startServer starts a server that ends with the test.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, args: args}
	t.Cleanup(s.kill)
	for {
		s.port = freePort(t)
		if s.start() {
			return s
		}
		if strings.Contains(s.output(), "Bad directive") {
			t.Skipf("this server was built without something: %s", s.output())
		}
		if !strings.Contains(s.output(), "Address already in use") {
			t.Fatalf("the server does not start:\n%s", s.output())
		}
	}
}

func program(t testing.TB) string {
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	pgtest.Require(t, "redis", "neither valkey-server nor redis-server is in PATH")
	return ""
}

func freePort(t testing.TB) int {
	for range 100 {
		port := 15000 + rand.IntN(10000) // a cluster needs port + 10000 too
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// start starts the process and waits until it answers; false if it ended before.
func (s *server) start() bool {
	s.t.Helper()
	args := append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
		"--dir", s.t.TempDir(), "--daemonize", "no",
	}, s.args...)
	s.cmd = exec.Command(program(s.t), args...)
	s.log = &gatetest.Log{}
	s.cmd.Stdout = s.log
	s.cmd.SysProcAttr = follow()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	for range 6000 {
		if strings.Contains(s.output(), "Ready to accept connections") {
			return true
		}
		if s.ended(5 * time.Millisecond) {
			return false
		}
	}
	s.t.Fatal("the server does not answer")
	return false
}

func (s *server) ended(wait time.Duration) bool {
	select {
	case <-s.done:
		return true
	case <-time.After(wait):
		return false
	}
}

func (s *server) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }
func (s *server) url() string     { return "redis://" + s.address() + "/0" }

// raw is a plain client, to look behind the store's back.
func (s *server) raw() *redis.Client { return s.rawWith("") }

func (s *server) rawWith(password string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.address(), Password: password, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// do sends one command.
func (s *server) do(args ...any) any {
	s.t.Helper()
	v, err := s.raw().Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args[0], err)
	}
	return v
}

func open(t testing.TB, url string, o *redislimit.Options) *redislimit.Store {
	t.Helper()
	s, err := redislimit.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
