package pgtest_test

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/internal/pgtest"
)

// orphanEnv makes this test binary start a server and wait to be killed.
const orphanEnv = "BANYAN_PGTEST_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphan()
	}
	goleak.VerifyTestMain(pgtest.Main(m))
}

func TestDataSurvivesEveryEnd(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	if err := s.CreateDatabase("shop"); err != nil {
		t.Fatal(err)
	}
	dsn := s.DSN("shop")
	query(t, s, dsn, "create table line (id int)")
	ends := []struct {
		name string
		end  func() error
	}{
		{"kill", func() error { return firstError(s.Kill(), s.Start()) }},
		{"stop", func() error { return firstError(s.Stop(), s.Start()) }},
		{"restart", func() error { return s.Restart(false) }},
		{"restart at once", func() error { return s.Restart(true) }},
	}
	for i, e := range ends {
		query(t, s, dsn, "insert into line values (1)")
		if err := e.end(); err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		if got, want := query(t, s, dsn, "select count(*) from line"), string(rune('1'+i)); got != want {
			t.Fatalf("rows after %s: got %s, want %s", e.name, got, want)
		}
	}
	if log := s.Log(); !strings.Contains(log, "database system was not properly shut down") {
		t.Errorf("the log knows of no crash:\n%s", log)
	}
}

func TestKillLeavesNoProcess(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, nil)
	// A busy client: it would run on for a while after the death of the first process.
	busy := exec.Command(filepath.Join(s.BinDir(), "psql"), "-X", "-d", s.DSN("postgres"), "-c", "select count(*) from generate_series(1, 1000000000)")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the query runs", func() bool {
		return query(t, s, s.DSN("postgres"), "select count(*) from pg_stat_activity where query like '%generate_series(1, 1000000000)' and state = 'active' and pid <> pg_backend_pid()") == "1"
	})
	begun := time.Now()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := busy.Wait(); err == nil {
		t.Error("the query outlived the server")
	}
	if took := time.Since(begun); runtime.GOOS == "linux" && took > 5*time.Second {
		t.Errorf("kill took %s", took)
	}
	if reachable(t, s.DSN("postgres")) {
		t.Error("the server still listens")
	}
	if err := s.Kill(); err != nil {
		t.Errorf("killing a dead server: %v", err)
	}
}

func TestDatabasesAreNewAndEmpty(t *testing.T) {
	t.Parallel()
	a, b := pgtest.Database(t), pgtest.Database(t)
	if a == b {
		t.Fatalf("the same database twice: %s", a)
	}
	s := pgtest.Start(t, nil) // for its programs
	query(t, s, a, "create table line (id int)")
	if got := query(t, s, b, "select count(*) from pg_tables where schemaname = 'public'"); got != "0" {
		t.Errorf("tables in a new database: got %s, want 0", got)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := pgtest.Start(t, &pgtest.Options{Settings: map[string]string{"work_mem": "5MB", "max_connections": "30"}})
	got := query(t, s, s.DSN("postgres"), "select string_agg(name || '=' || current_setting(name), ' ' order by name) from pg_settings where name in ('fsync', 'max_connections', 'synchronous_commit', 'work_mem')")
	if want := "fsync=on max_connections=30 synchronous_commit=on work_mem=5MB"; got != want {
		t.Errorf("settings:\n got %s\nwant %s", got, want)
	}
}

func TestOpenSaysWhyTheServerDoesNotStart(t *testing.T) {
	t.Parallel()
	pgtest.Start(t, nil) // skips where there is no server
	s, err := pgtest.Open(t.Context(), &pgtest.Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil {
		_ = s.Close()
		t.Fatal("started with a setting that does not exist")
	}
	if !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error does not name the setting: %v", err)
	}
}

func TestDirIsKeptAndReopened(t *testing.T) {
	t.Parallel()
	pgtest.Start(t, nil) // skips where there is no server
	dir := t.TempDir()
	for round := range 2 {
		s, err := pgtest.Open(t.Context(), &pgtest.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		query(t, s, s.DSN("postgres"), "create table if not exists line (id int); insert into line values (1)")
		if got, want := query(t, s, s.DSN("postgres"), "select count(*) from line"), string(rune('1'+round)); got != want {
			t.Errorf("rows in round %d: got %s, want %s", round, got, want)
		}
		if err := firstError(s.Kill(), s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(); err == nil {
			t.Error("a closed server started")
		}
	}
}

func TestCloseRemovesTheData(t *testing.T) {
	t.Parallel()
	pgtest.Start(t, nil) // skips where there is no server
	s, err := pgtest.Open(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.DataDir()); !os.IsNotExist(err) {
		t.Errorf("data after Close: %v, want that it does not exist", err)
	}
}

func TestServerFollowsItsProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process together with the one that started it")
	}
	t.Parallel()
	pgtest.Start(t, nil) // skips where there is no server
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	dsn, data, _ := strings.Cut(strings.TrimSpace(line), " ")
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(data)) })
	if !reachable(t, dsn) {
		t.Fatalf("no server at %s", dsn)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	eventually(t, "the orphan ends", func() bool {
		_, err := os.Stat(filepath.Join(data, "postmaster.pid"))
		return os.IsNotExist(err) && !reachable(t, dsn)
	})
}

// orphan starts a server, prints its DSN and data folder, and waits for ever.
func orphan() {
	s, err := pgtest.Open(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(s.DSN("postgres") + " " + s.DataDir() + "\n")
	<-make(chan struct{})
}

// query returns what psql prints for a query: rows of unaligned values.
func query(t *testing.T, s *pgtest.Server, dsn, sql string) string {
	t.Helper()
	psql := filepath.Join(s.BinDir(), "psql")
	if _, err := os.Stat(psql); err != nil {
		pgtest.Require(t, "postgres", "no psql beside the server")
	}
	out, err := exec.CommandContext(t.Context(), psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", dsn, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func reachable(t *testing.T, dsn string) bool {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
