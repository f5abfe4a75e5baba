package pgtest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/internal/pgtest"
)

func TestRequire(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", "skip: needs postgres: not installed"},
		{"nats", "skip: needs postgres: not installed"},
		{"postgresql", "skip: needs postgres: not installed"},
		{"postgres", "fatal: postgres is missing, and BANYAN_REQUIRE asks for it: not installed"},
		{"nats, postgres", "fatal: postgres is missing, and BANYAN_REQUIRE asks for it: not installed"},
	} {
		t.Setenv("BANYAN_REQUIRE", c.env)
		got := make(chan string)
		go func() {
			r := &recorder{TB: t}
			defer func() { got <- strings.Join(r.said, "; ") }()
			pgtest.Require(r, "postgres", "not installed")
			r.said = append(r.said, "went on")
		}()
		if got := <-got; got != c.want {
			t.Errorf("BANYAN_REQUIRE=%q:\n got %s\nwant %s", c.env, got, c.want)
		}
	}
}

// recorder notes how a test ended.
type recorder struct {
	testing.TB
	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) { r.end("skip: "+format, args...) }

func (r *recorder) Fatalf(format string, args ...any) { r.end("fatal: "+format, args...) }

func (r *recorder) end(format string, args ...any) {
	r.said = append(r.said, fmt.Sprintf(format, args...))
	runtime.Goexit()
}
