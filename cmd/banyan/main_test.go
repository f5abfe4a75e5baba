package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	if os.Getenv("BANYAN_TEST_AS_COMMAND") != "" {
		main()
	}
	goleak.VerifyTestMain(pgtest.Main(m))
}

// clock is the time of all tests of commands.
func clock() time.Time { return time.Date(2010, 12, 10, 12, 0, 0, 0, time.UTC) }

// shop makes a store with three streams and returns its file.
func shop(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.db")
	db, err := app.Open(t.Context(), "sqlite:"+file, "")
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Store(&store.Options{Now: clock, Source: "/shop/orders"})
	if err != nil {
		t.Fatal(err)
	}
	id := 0
	event := func(day int, kind, data string) banyan.Event {
		id++
		return banyan.Event{ID: fmt.Sprintf("e-%d", id), Type: kind, Time: time.Date(2010, 12, day, 9, 30, 0, 0, time.UTC), Data: []byte(data)}
	}
	binary := event(9, "label.printed", "\x1b[31m\xff")
	binary.ContentType = "application/pdf"
	text := event(9, "note.added", "red \x1b[31malert")
	text.ContentType = "text/plain"
	for _, w := range []store.Write{
		{Stream: "order-1", Events: []banyan.Event{event(1, "order.placed", `{"customer": "17850", "total": "15.30", "lines": [{"sku": "85123A"}]}`)}},
		{Stream: "order-2", Events: []banyan.Event{event(8, "order.placed", `{"customer":"13047","total":"`+strings.Repeat("9", 120)+`"}`)}},
		{Stream: "order-1", Expect: 1, Events: []banyan.Event{event(8, "order.paid", "{\n  \"paid\": true,\n  \"total\": \"15.30\"\n}")}},
		{Stream: "order-1", Expect: 2, Events: []banyan.Event{event(9, "order.corrected", `{"total":"14.30","note":null}`), binary, text}},
		{Stream: "order-2", Expect: 1, Events: []banyan.Event{event(9, banyan.Tombstone, `{}`)}},
	} {
		if _, err := st.AppendAll(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

type result struct {
	code           int
	stdout, stderr string
}

func command(t *testing.T, vars map[string]string, args ...string) result {
	t.Helper()
	return commandContext(t.Context(), vars, args...)
}

// commandAt runs a command so much later than clock.
func commandAt(t *testing.T, later time.Duration, vars map[string]string, args ...string) result {
	t.Helper()
	return runCommand(t.Context(), later, vars, args...)
}

func commandContext(ctx context.Context, vars map[string]string, args ...string) result {
	return runCommand(ctx, 0, vars, args...)
}

func runCommand(ctx context.Context, later time.Duration, vars map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, &env{
		args: args, stdout: &stdout, stderr: &stderr, now: func() time.Time { return clock().Add(later) },
		getenv: func(key string) string { return vars[key] },
	})
	return result{code, stdout.String(), stderr.String()}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", name, diff)
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	vars := map[string]string{storeVariable: "sqlite:" + shop(t)}
	for _, test := range []struct {
		golden string
		args   string
	}{
		{"read.txt", "events read order-1"},
		{"read_full.txt", "events read order-2 --full"},
		{"read_backward.txt", "events read order-1 --backward --limit 2"},
		{"read_at.txt", "events read order-1 --at 2010-12-08"},
		{"read.jsonl", "events read order-1 --json"},
		{"tail.txt", "events tail --follow=false"},
		{"tail_last.txt", "events tail --follow=false --last 2"},
		{"tail_filter.txt", "events tail --follow=false --after 0 --type order.placed --type order.paid --stream order-1"},
		{"state.txt", "events state order-1"},
		{"state_at.txt", "events state order-1 --at 2010-12-08T09:30:00Z"},
		{"state_ago.txt", "events state order-1 --at 2d"},
		{"state_revision.txt", "events state order-1 --revision 1"},
		{"state.json", "events state order-1 --json"},
		{"state_closed.txt", "events state order-2"},
		{"verify.txt", "events verify"},
		{"verify.json", "events verify --json"},
		{"help.txt", "events --help"},
	} {
		t.Run(test.golden, func(t *testing.T) {
			t.Parallel()
			got := command(t, vars, strings.Fields(test.args)...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("exit code %d, stderr %q", got.code, got.stderr)
			}
			golden(t, test.golden, got.stdout)
		})
	}
}

// What is stored must not control the terminal.
func TestOutputHasNoControlCharacters(t *testing.T) {
	t.Parallel()
	vars := map[string]string{storeVariable: "sqlite:" + shop(t)}
	got := command(t, vars, "events", "read", "order-1", "--full")
	if strings.ContainsAny(got.stdout, "\x1b\x07\x7f") || !strings.Contains(got.stdout, "red ·[31malert") {
		t.Errorf("output %q", got.stdout)
	}
}

func TestJSONIsCloudEvents(t *testing.T) {
	t.Parallel()
	vars := map[string]string{storeVariable: "sqlite:" + shop(t)}
	got := command(t, vars, "events", "tail", "--json", "--follow=false", "--after", "0")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	if len(lines) != 7 {
		t.Fatalf("%d lines, want 7:\n%s", len(lines), got.stdout)
	}
	for i, line := range lines {
		e, err := banyan.ParseCloudEvent([]byte(line))
		if err != nil || e.Position != banyan.Position(i+1) || e.ID == "" {
			t.Errorf("line %d = %+v, %v", i+1, e, err)
		}
	}
}

func TestFailuresAndUsage(t *testing.T) {
	t.Parallel()
	file := "sqlite:" + shop(t)
	missing := filepath.Join(t.TempDir(), "typo.db")
	for _, test := range []struct {
		name string
		code int
		want string // the beginning of stderr
		args []string
	}{
		{"no store", exitUsage, "banyan: no store is named: give --store sqlite:PATH or --store postgres://…, or set BANYAN_STORE\nRun \"banyan events verify --help\" for usage.\n", []string{"events", "verify"}},
		{"scheme", exitUsage, "banyan: app: invalid: unknown scheme \"mysql\" in \"mysql://u:xxxxx@h/d\"; use ", []string{"events", "verify", "--store", "mysql://u:secret@h/d"}},
		{"no such file", exitFailed, "banyan: app: open sqlite:" + missing + ": not found: ", []string{"events", "verify", "--store", "sqlite:" + missing}},
		{"unknown command", exitUsage, "banyan: unknown command \"evnts\" for \"banyan\"; did you mean events?\n", []string{"evnts"}},
		{"unknown subcommand", exitUsage, "banyan: unknown command \"tial\" for \"banyan events\"; did you mean tail?\n", []string{"events", "tial"}},
		{"unknown flag", exitUsage, "banyan: unknown flag: --form\nRun \"banyan events read --help\"", []string{"events", "read", "x", "--form", "1"}},
		{"bad number", exitUsage, "banyan: invalid argument \"x\" for \"--from\" flag", []string{"events", "read", "x", "--from", "x"}},
		{"negative", exitUsage, "banyan: --from and --limit must not be negative\n", []string{"events", "read", "x", "--from", "-1"}},
		{"negative last", exitUsage, "banyan: --last and --after must not be negative\n", []string{"events", "tail", "--last", "-1"}},
		{"no stream", exitUsage, "banyan: STREAM is missing\n", []string{"events", "read"}},
		{"two streams", exitUsage, "banyan: unexpected argument \"b\" behind STREAM\n", []string{"events", "read", "a", "b"}},
		{"bad time", exitUsage, "banyan: \"yesterday\" is not a time; write 2010-12-08T12:00:00Z, a date", []string{"events", "state", "x", "--at", "yesterday"}},
		{"time backward", exitUsage, "banyan: --at goes only with reading forwards\n", []string{"events", "read", "x", "--at", "2010-12-08", "--backward"}},
		{"time and revision", exitUsage, "banyan: give --at or --revision, not both\n", []string{"events", "state", "x", "--at", "2010-12-08", "--revision", "1"}},
		{"revision 0", exitUsage, "banyan: --revision must be at least 1\n", []string{"events", "state", "x", "--revision", "0"}},
		{"unknown stream", exitFailed, "banyan: stream order-9: not found: it has no events\n", []string{"events", "read", "order-9", "--store", file}},
		{"state too early", exitFailed, "banyan: stream order-1 has events, but none of those asked for: not found\n", []string{"events", "state", "order-1", "--at", "2010-11-30", "--store", file}},
		{"back up memory", exitFailed, "banyan: app: back up mem:: invalid: only sqlite: databases", []string{"events", "backup", "x", "--store", "mem:"}},
		{"no connection", exitFailed, "banyan: app: open postgres://u:xxxxx@127.0.0.1:1/d?connect_timeout=1: ", []string{"events", "verify", "--store", "postgres://u:secret@127.0.0.1:1/d?connect_timeout=1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := command(t, nil, test.args...)
			if got.code != test.code || !strings.HasPrefix(got.stderr, test.want) || got.stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q\nwant %d and %q", got.code, got.stdout, got.stderr, test.code, test.want)
			}
			if strings.Contains(got.stderr, "secret") {
				t.Errorf("the password is shown: %s", got.stderr)
			}
		})
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a store that was only read was made: %v", err)
	}
}

// Changed bytes are found, named, and make the command fail.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	file := shop(t)
	damage(t, file)
	vars := map[string]string{storeVariable: "sqlite:" + file}
	got := command(t, vars, "events", "verify")
	if got.code != exitFailed || !strings.Contains(got.stdout, "fault: position 3: ") || !strings.Contains(got.stdout, "checksum") || got.stderr != "banyan: corrupt: the store has 1 faults\n" {
		t.Errorf("verify = %+v", got)
	}
	got = command(t, vars, "events", "verify", "--json")
	var v verification
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != exitFailed || v.OK || len(v.Faults) != 1 || v.Events != 7 {
		t.Errorf("verify --json = %+v, %v", got, err)
	}
	if got = command(t, vars, "events", "read", "order-1"); got.code != exitFailed || !strings.Contains(got.stderr, "corrupt") {
		t.Errorf("read = %+v, want an error and not damaged data", got)
	}
}

// damage changes one byte of the data of position 3.
func damage(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.ExecContext(t.Context(), `UPDATE banyan_events SET data = CAST(replace(CAST(data AS TEXT), 'true', 'tree') AS BLOB) WHERE position = 3`)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("changed %d rows, %v", n, err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	vars := map[string]string{storeVariable: "sqlite:" + shop(t)}
	copied := filepath.Join(t.TempDir(), "copy.db")
	got := command(t, vars, "events", "backup", copied)
	if ok := regexp.MustCompile(`: [0-9]+ bytes \(`).MatchString(got.stdout); got.code != exitDone || !ok {
		t.Fatalf("backup = %+v", got)
	}
	original := command(t, vars, "events", "tail", "--follow=false", "--after", "0", "--json")
	restored := command(t, map[string]string{storeVariable: "sqlite:" + copied}, "events", "tail", "--follow=false", "--after", "0", "--json")
	if original != restored || strings.Count(restored.stdout, "\n") != 7 {
		t.Errorf("the copy has\n%s\nthe original\n%s", restored.stdout, original.stdout)
	}
	if got = command(t, vars, "events", "backup", copied); got.code != exitFailed || !strings.Contains(got.stderr, "already exists") {
		t.Errorf("second backup to the same file = %+v", got)
	}
}

// lineWriter hands out what is written to it line by line.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) { w <- string(p); return len(p), nil }

// tail goes on with what is appended while it runs, and Ctrl-C is no failure.
func TestTailFollows(t *testing.T) {
	t.Parallel()
	file := shop(t)
	ctx, cancel := context.WithCancel(t.Context())
	lines, code := make(lineWriter, 100), make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		code <- run(ctx, &env{
			args: []string{"events", "tail", "--last", "1", "--store", "sqlite:" + file}, stdout: lines, stderr: &stderr,
			now: clock, getenv: func(string) string { return "" },
		})
	}()
	if header, last := <-lines, <-lines; !strings.Contains(header, "POSITION") || !strings.Contains(last, "order-2@2") {
		t.Errorf("tail begins with %q %q", header, last)
	}
	db, err := app.Open(t.Context(), "sqlite:"+file, "")
	if err != nil {
		t.Fatal(err)
	}
	st, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Append(t.Context(), "order-3", store.NoStream, banyan.Event{Type: "order.placed", Data: []byte("{}")}); err != nil {
		t.Fatal(err)
	}
	if line := <-lines; !strings.Contains(line, "order-3@1") {
		t.Errorf("after the append: %q", line)
	}
	cancel()
	if got := <-code; got != exitDone || stderr.String() != "" {
		t.Errorf("after Ctrl-C: exit code %d, stderr %q", got, stderr.String())
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := command(t, nil, "version", "--json")
	var v version
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != exitDone || v.Go == "" || v.Version == "" {
		t.Errorf("version = %+v, %v", got, err)
	}
	if got = command(t, nil, "version"); !strings.HasPrefix(got.stdout, "banyan "+v.Version) {
		t.Errorf("version = %+v", got)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"2010-12-08T12:00:00Z", "2010-12-08T12:00:00Z"},
		{"2010-12-08T12:00:00.5+02:00", "2010-12-08T10:00:00.5Z"},
		{"2010-12-08", "2010-12-08T23:59:59.999999Z"},
		{"90m", "2010-12-10T10:30:00Z"},
		{"-90m", "2010-12-10T10:30:00Z"},
		{"36h ago", "2010-12-09T00:00:00Z"},
		{"7d", "2010-12-03T12:00:00Z"},
		{"1.5d", "2010-12-09T00:00:00Z"},
	} {
		got, err := parseTime(test.in, clock())
		if err != nil || moment(got) != test.want {
			t.Errorf("parseTime(%q) = %v, %v; want %s", test.in, got, err, test.want)
		}
	}
	for _, in := range []string{"", "yesterday", "2010-13-08", "--5m", "1e300d", "d"} {
		if got, err := parseTime(in, clock()); err == nil {
			t.Errorf("parseTime(%q) = %v, want an error", in, got)
		}
	}
}

// On a terminal progress is a bar, elsewhere a line every three seconds; never on
// stdout.
func TestProgress(t *testing.T) {
	t.Parallel()
	now := clock()
	var stderr bytes.Buffer
	e := &env{stderr: &stderr, now: func() time.Time { return now }}
	p := newProgress(e, "verify")
	for at := range int64(7) {
		p.set(at, 10)
		now = now.Add(time.Second)
	}
	p.done()
	if want := "verify: 3 of 10 (30 %)\nverify: 6 of 10 (60 %)\n"; stderr.String() != want {
		t.Errorf("lines = %q, want %q", stderr.String(), want)
	}
	stderr.Reset()
	e.terminal = true
	p = newProgress(e, "verify")
	p.set(5, 10)
	p.done()
	if !strings.Contains(stderr.String(), "verify") || !strings.Contains(stderr.String(), "\r") {
		t.Errorf("bar = %q", stderr.String())
	}
}
