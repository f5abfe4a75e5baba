// Package pgtest starts private PostgreSQL servers for tests, and for commands
// that need one for a few minutes.
//
// A server runs the binaries already installed on the machine, keeps its data
// in a folder of its own, listens on 127.0.0.1 (and on a socket in a private
// folder) and trusts everybody who can reach it: never put real data there. It
// is durable like a production server (fsync and synchronous_commit are on)
// because the tests that use it are about what survives.
//
// Tests that only need an empty database share one server per test process:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m).Run()) }
//
//	func TestAppend(t *testing.T) {
//		dsn := pgtest.Database(t)
//		…
//	}
//
// Tests that stop, kill or configure the server take one of their own with
// [Start]; commands use [Open]. Where PostgreSQL is not installed tests skip
// with the reason, or fail if they are declared required: see [Require].
//
// A [Server] may be used from several goroutines. Its life-cycle methods exclude
// one another; each waits at most a minute and then says in its error what the
// server last logged. When the process that started a server dies, the server
// follows on Linux; elsewhere it has to be ended by hand. In that case its
// temporary folder stays behind everywhere.
package pgtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// ErrMissing says that this machine has no PostgreSQL server that can be started.
var ErrMissing = errors.New("no PostgreSQL server binaries (initdb, postgres, createdb) on PATH or in the distribution's folders")

// Start returns a running server of the test's own, which is stopped and
// removed when the test ends. If the test fails, the end of the server's log is
// in the test's output.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), o)
	if errors.Is(err, ErrMissing) {
		Require(t, "postgres", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the PostgreSQL log:\n%s", s.Log())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Database returns the DSN of a new, empty database on the server that all tests
// of this process share; the first call starts it. The package's TestMain has to
// run the tests through [Main]. Databases are not dropped one by one, as that
// costs a checkpoint each: they go with the server.
func Database(t testing.TB) string {
	t.Helper()
	dsn, err := shared.database()
	if errors.Is(err, ErrMissing) {
		Require(t, "postgres", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// Main prepares m for the use of [Database]. The result's Run runs the tests and
// then stops the shared server; pass it to os.Exit, or the Runner itself to
// goleak.VerifyTestMain.
func Main(m *testing.M) *Runner {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.owned = true
	return &Runner{tests: m}
}

// Runner runs the tests of a package; made by [Main].
type Runner struct{ tests *testing.M }

// Run runs the tests, stops the shared server and returns the exit code.
func (r *Runner) Run() int {
	code := r.tests.Run()
	if err := shared.close(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return max(code, 1)
	}
	return code
}

// shared is the one piece of package state: package testing offers no other way
// to hand something from TestMain to the tests.
var shared process

// process is the server of a test process.
type process struct {
	mu     sync.Mutex // guards the fields below
	owned  bool       // Main was called and will close
	server *Server
	err    error // why the server did not start; tried once only
	last   int   // number of the last database
}

func (p *process) database() (string, error) {
	s, name, err := p.next()
	if err != nil {
		return "", err
	}
	if err := s.CreateDatabase(name); err != nil {
		return "", err
	}
	return s.DSN(name), nil
}

// next returns the server, started if need be, and the name of a new database.
// The database is created outside the lock so that parallel tests do not queue.
func (p *process) next() (*Server, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.owned {
		return nil, "", errors.New("pgtest: no shared server: TestMain must run the tests with pgtest.Main(m).Run(), or it would not be stopped")
	}
	if p.server == nil && p.err == nil {
		// Not a test's context: the server outlives the test that starts it.
		p.server, p.err = Open(context.Background(), nil)
	}
	p.last++
	return p.server, "db_" + strconv.Itoa(p.last), p.err
}

func (p *process) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.owned = false
	if p.server == nil {
		return nil
	}
	s := p.server
	p.server = nil
	return s.Close()
}

// folders returns the places where distributions put the server, newest version
// of each first: most of them keep it off PATH.
func folders() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // Red Hat, from postgresql.org
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew, Intel
		"/usr/libexec/postgresql*",          // Alpine
		"/usr/local/pgsql/bin",              // built from source
		"/Library/PostgreSQL/*/bin",         // the macOS installer
	} {
		found, _ := filepath.Glob(pattern)
		slices.SortFunc(found, func(a, b string) int { return major(b) - major(a) })
		dirs = append(dirs, found...)
	}
	return dirs
}

// major returns the first number in a path, which is the server's version.
func major(path string) int {
	isDigit := func(r rune) bool { return r >= '0' && r <= '9' }
	from := strings.IndexFunc(path, isDigit)
	if from < 0 {
		return 0
	}
	digits := path[from:]
	if to := strings.IndexFunc(digits, func(r rune) bool { return !isDigit(r) }); to >= 0 {
		digits = digits[:to]
	}
	n, _ := strconv.Atoi(digits)
	return n
}

// binaries returns the folder that holds a complete server.
func binaries() (string, error) {
	if !supported {
		return "", ErrMissing
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), folders()...) {
		if dir != "" && complete(dir) {
			return dir, nil
		}
	}
	return "", ErrMissing
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres", "createdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}
