package demo_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/cmd/banyan/internal/demo"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// child makes the test binary run the command with these arguments, one a line.
const child = "BANYAN_DEMO_TEST_ARGS"

func TestMain(m *testing.M) {
	if args := os.Getenv(child); args != "" {
		c := demo.New(false)
		c.SetArgs(strings.Split(args, "\n"))
		if err := c.ExecuteContext(context.Background()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// run executes the command and returns what it wrote.
func run(ctx context.Context, args ...string) (stdout, stderr *gatetest.Log, err error) {
	stdout, stderr = &gatetest.Log{}, &gatetest.Log{}
	c := demo.New(false)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetOut(stdout)
	c.SetErr(stderr)
	c.SetArgs(append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...))
	return stdout, stderr, c.ExecuteContext(ctx)
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it did not happen within a minute")
		}
	}
}
