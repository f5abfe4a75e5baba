package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/long"
)

// goTests are the campaigns that are tests in their full size. Their planted
// bugs are tests too.
func goTests() []campaign {
	return []campaign{
		goTest("R7", "1,000,000 events over PostgreSQL reach each follower once, in one order", "25 min", "^TestOrder$", "postgres"),
		goTest("R7b", "a transaction open for 10 minutes stops nobody", "12 min", "^TestOpenTransactionStopsNobody$", "postgres"),
		goTest("R7c", "20 dumps and restores skip nothing", "10 min", "^TestRestore$", "postgres"),
		goTest("R8", "state machines against models, 20,000 × 100 steps each", "60 min", "^TestMachine", "store", "projection", "sqlite", "postgres", "mem"),
		goTest("R10", "all back ends mean the same, 5,000 × 100 commands", "20 min", "^TestDifferential$", "mem", "sqlite", "postgres"),
		goTest("R29", "300 kills of a projection's runner", "15 min", "^TestKilledRunner", "projection"),
		goTest("R30", "rebuild of 1,000,000 events beside live writers", "10 min", "^TestRebuildLong", "projection"),
		goTest("R31", "200 reloads of a gateway under 500,000 requests", "10 min", "^TestReload$", "internal/siege"),
		goTest("R32", "100 restarts of one of two gateways, 100 hand-overs of one's socket", "10 min", "^(TestDrain|TestHandOver)$", "internal/siege", "cmd/banyan"),
		goTest("R33", "10,000 idle connections to a gateway, plain and TLS; large bodies and long streams", "5 min", "^(TestIdleConnections|TestLargeAndLong)$", "internal/siege"),
		goTest("R34", "a gateway with a memory limit under attacks on its memory", "6 min", "^TestMemoryCeiling$", "internal/siege"),
		goTest("R35", "2,000 clients of a gateway that are slow in four ways", "5 min", "^TestSlowClients$", "internal/siege"),
		goTest("R36", "faults of servers behind a gateway, and of its clients", "10 min", "^(TestUpstreamFaults|TestClientFaults)$", "internal/siege"),
		goTest("R38", "the cache against a model of RFC 9111, 20,000 sequences", "10 min", "^(TestModel|TestStampede)$", "gateway/cache"),
		goTest("R39", "limits that four processes share are exact", "5 min", "^TestLimitsAreExactAcrossProcesses$", "postgres"),
		goTest("G27", "1,000,000 inputs through a gateway to three servers that say what they saw", "10 min", "^TestDifferential$", "internal/siege"),
	}
}

// module is where go test finds the packages from.
const module = "github.com/banyanhq/banyan/"

func goTest(id, what, usual, run string, packages ...string) campaign {
	return campaign{id: id, what: what, usual: usual, run: func(ctx context.Context, e *env) (outcome, error) {
		args := []string{"test", "-v", "-count=1", "-timeout=4h", "-run", run}
		for _, p := range packages {
			args = append(args, module+p)
		}
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), long.SizeVariable+"="+strconv.FormatFloat(e.scale, 'f', -1, 64), long.SeedVariable+"="+strconv.FormatUint(e.seed, 10))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return outcome{}, err
		}
		if err := cmd.Start(); err != nil {
			return outcome{}, err
		}
		r := &testOutput{guarantee: id}
		r.read(out, os.Stdout)
		return r.outcome(cmd.Wait())
	}}
}

// testOutput is what go test -v said.
type testOutput struct {
	guarantee string
	figures   []string // of the LONG lines
	failed    []string
	skipped   []string
	missing   []string // packages without such a test
	last      []string // lines, for failures
}

const keptLines = 60

// read reads the output to its end and repeats the lines with figures.
func (r *testOutput) read(out io.Reader, progress io.Writer) {
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			r.note(line, progress)
		}
		if err != nil {
			return // the end, or go test is gone: its exit code tells
		}
	}
}

func (r *testOutput) note(line string, progress io.Writer) {
	if text := strings.TrimSpace(line); strings.HasPrefix(text, "=== ") {
		return
	}
	if r.last = append(r.last, line); len(r.last) > keptLines {
		r.last = r.last[1:]
	}
	if _, figures, ok := strings.Cut(line, "LONG "+r.guarantee+": "); ok {
		r.figures = append(r.figures, figures)
		fmt.Fprintln(progress, figures)
	}
	// Subtests are indented.
	if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
		r.failed = append(r.failed, name)
	}
	if name, ok := strings.CutPrefix(line, "--- SKIP: "); ok {
		r.skipped = append(r.skipped, name)
	}
	if name, ok := strings.CutSuffix(line, "[no tests to run]"); ok && strings.HasPrefix(line, "ok ") {
		r.missing = append(r.missing, strings.Join(strings.Fields(name)[1:2], ""))
	}
}

// outcome judges: a test that did not run, or said no figures, shows nothing.
func (r *testOutput) outcome(exit error) (outcome, error) {
	o := outcome{did: strings.Join(r.figures, "; "), acked: -1}
	switch {
	case len(r.failed) > 0:
		o.faults = append(r.failed, "the end of the output:\n"+strings.Join(r.last, "\n"))
		return o, nil
	case exit != nil:
		return o, fmt.Errorf("go test: %w; the end of its output:\n%s", exit, strings.Join(r.last, "\n"))
	case len(r.skipped) > 0:
		return o, skipError("skipped: " + strings.Join(r.skipped, ", ") + "; go test -v says why")
	case len(r.missing) > 0:
		return o, fmt.Errorf("there is no such test in %s", strings.Join(r.missing, ", "))
	case len(r.figures) == 0:
		return o, errors.New("the test reported no figures: it has to call long.Report")
	}
	return o, nil
}
