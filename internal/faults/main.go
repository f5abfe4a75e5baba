// Command faults kills writers in the middle of their work and checks with the
// bare driver, and no code of Banyan, that nothing which was acknowledged is
// lost, doubled, out of order or altered (docs/guarantees.md, R1 and R2).
//
//	go run ./internal/faults -backend sqlite -kills 500
//	go run ./internal/faults -backend postgres -kills 500        # also kills the server
//	go run ./internal/faults -backend sqlite -cuts 1000          # power cuts; root, Linux
//	go run ./internal/faults -backend sqlite -kills 20 -control  # a planted bug: must end with losses
//
// It prints the seed, the faults, the acknowledged and the open appends, and
// what is wrong. Exit code 1 when anything is (with -control: when nothing is).
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"
)

type options struct {
	backend string
	kills   int
	cuts    int
	seed    uint64
	least   time.Duration
	most    time.Duration
	control bool
}

func main() {
	var o options
	flag.StringVar(&o.backend, "backend", "sqlite", "sqlite or postgres")
	flag.IntVar(&o.kills, "kills", 0, "how many times to kill -9")
	flag.IntVar(&o.cuts, "cuts", 0, "how many times to cut the power of a loop mount (root, Linux)")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "seed of the times between faults")
	flag.DurationVar(&o.least, "least", 50*time.Millisecond, "shortest time between faults")
	flag.DurationVar(&o.most, "most", 3*time.Second, "longest time between faults")
	flag.BoolVar(&o.control, "control", false, "plant a bug that the run must catch")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if (o.kills == 0) == (o.cuts == 0) || o.least <= 0 || o.most <= o.least {
		return errors.New("say either -kills N or -cuts N, and -least below -most")
	}
	dir, err := os.MkdirTemp("", "banyan-faults")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	victim := filepath.Join(dir, "victim")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", victim, "github.com/banyanhq/banyan/internal/faults/victim").CombinedOutput(); err != nil {
		return fmt.Errorf("build the victim: %w\n%s", err, out)
	}
	t, err := openTarget(o, dir)
	if err != nil {
		return err
	}
	defer t.close()
	c := &campaign{options: o, victim: victim, target: t, random: rand.New(rand.NewPCG(o.seed, 1)), open: map[string]string{}, acked: map[string]ack{}}
	fmt.Printf("%s, seed %d, %d kills, %d power cuts, control %v\n", o.backend, o.seed, o.kills, o.cuts, o.control)
	faults, err := c.run(ctx)
	if err != nil {
		return err
	}
	c.report(faults)
	switch {
	case o.control && len(faults) == 0:
		return errors.New("the planted bug was not caught: the run proves nothing")
	case !o.control && len(faults) > 0:
		return fmt.Errorf("%d faults found", len(faults))
	}
	return nil
}

type ack struct {
	stream   string
	revision int64
}

// campaign is one run: what was promised so far, and what is open.
type campaign struct {
	options
	victim string
	target target
	random *rand.Rand
	acked  map[string]ack    // by event id
	open   map[string]string // event id to stream: tried, not acknowledged
	dark   atomic.Bool       // the power is being cut: see listen
	tries  int
	starts []time.Duration // from start to ready
}

func (c *campaign) run(ctx context.Context) ([]string, error) {
	rounds := c.kills + c.cuts
	for i := range rounds {
		if err := c.round(ctx); err != nil {
			return nil, fmt.Errorf("round %d: %w", i+1, err)
		}
		// The whole history is checked every tenth round and at the end; it
		// takes longer than the round itself when there is much of it.
		if i%10 != 9 && i != rounds-1 {
			continue
		}
		faults, err := c.check(ctx)
		if err != nil || len(faults) > 0 {
			return faults, err
		}
		fmt.Printf("%d of %d faults, %d acknowledged, %d open\n", i+1, rounds, len(c.acked), len(c.open))
	}
	return nil, nil
}

// round starts the victim, lets it write for a random time, and strikes.
func (c *campaign) round(ctx context.Context) error {
	args := []string{"-store", c.target.url()}
	if c.control && c.kills > 0 {
		args = append(args, "-ack-before-commit")
	}
	if c.control && c.cuts > 0 {
		args = append(args, "-no-sync")
	}
	cmd := exec.CommandContext(ctx, c.victim, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := c.handOver(in); err != nil {
		return err
	}
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- c.listen(out, ready) }()
	select {
	case <-ready:
		c.starts = append(c.starts, time.Since(started))
	case err := <-ended:
		return fmt.Errorf("the victim ended before it was ready: %w", errors.Join(err, cmd.Wait()))
	}
	time.Sleep(c.least + rand.N(c.most-c.least))
	c.dark.Store(c.cuts > 0)
	if err := c.target.strike(func() error { return cmd.Process.Kill() }); err != nil {
		return err
	}
	err = <-ended
	c.dark.Store(false)
	_ = cmd.Wait() // it was killed
	return errors.Join(err, c.target.recover())
}

// handOver gives the victim the open appends, to be sent again.
func (c *campaign) handOver(in io.WriteCloser) error {
	var b strings.Builder
	for id, stream := range c.open {
		fmt.Fprintf(&b, "%s %s\n", id, stream)
	}
	_, err := io.WriteString(in, b.String()+"\n")
	return errors.Join(err, in.Close())
}

// listen notes what the victim says. An acknowledgement that arrives after the
// power began to go does not count: with real power nobody would have heard it.
// It matters, because the machine here goes on: without this rule 2 of 320 cuts
// showed a last transaction that was acknowledged and lost, and with it none of
// 1,000. The likely reason, not proven, is an fsync that is under way when the
// file system shuts down and returns success although its journal commit was
// dropped.
func (c *campaign) listen(out io.Reader, ready chan struct{}) error {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil // the victim is gone; half a line is no acknowledgement
		}
		f := strings.Fields(line)
		switch {
		case len(f) == 1 && f[0] == "ready":
			close(ready)
		case len(f) == 3 && f[0] == "try":
			c.tries++
			c.open[f[1]] = f[2]
		case len(f) == 4 && f[0] == "ack" && c.dark.Load():
		case len(f) == 4 && f[0] == "ack":
			var revision int64
			if _, err := fmt.Sscan(f[3], &revision); err != nil {
				return fmt.Errorf("line %q: %w", line, err)
			}
			delete(c.open, f[1])
			c.acked[f[1]] = ack{stream: f[2], revision: revision}
		default:
			return fmt.Errorf("the victim said %q", line)
		}
	}
}

// stored is a row as the bare driver reads it, in the order of the log.
type stored struct {
	id, stream string
	revision   int64
	data       []byte
}

// check reads everything with the bare driver and compares.
func (c *campaign) check(ctx context.Context) ([]string, error) {
	faults, err := c.target.integrity(ctx)
	if err != nil {
		return nil, err
	}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	seen := make(map[string]bool, len(c.acked))
	heads := map[string]int64{}
	err = c.target.rows(ctx, func(r stored) {
		if seen[r.id] {
			fault("event %s is stored twice", r.id)
		}
		seen[r.id] = true
		if r.revision != heads[r.stream]+1 {
			fault("event %s: stream %s has revision %d after %d", r.id, r.stream, r.revision, heads[r.stream])
		}
		heads[r.stream] = r.revision
		if want := `{"id":"` + r.id + `","pad":"` + strings.Repeat("x", 100) + `"}`; string(r.data) != want {
			fault("event %s: its data is altered", r.id)
		}
		a, acked := c.acked[r.id]
		switch _, open := c.open[r.id]; {
		case acked && (a.stream != r.stream || a.revision != r.revision):
			fault("event %s was acknowledged as %s@%d and is %s@%d", r.id, a.stream, a.revision, r.stream, r.revision)
		case !acked && !open:
			fault("event %s is stored and nobody tried to", r.id)
		}
	})
	for id, a := range c.acked {
		if !seen[id] {
			fault("event %s was acknowledged as %s@%d and is lost", id, a.stream, a.revision)
		}
	}
	return faults, err
}

func (c *campaign) report(faults []string) {
	sort.Slice(c.starts, func(i, j int) bool { return c.starts[i] < c.starts[j] })
	p99 := c.starts[len(c.starts)*99/100]
	fmt.Printf("%s: seed %d, %d kills, %d power cuts, %d appends tried, %d acknowledged, %d open at the end, start to ready p99 %v, %d faults\n",
		c.backend, c.seed, c.kills, c.cuts, c.tries, len(c.acked), len(c.open), p99.Round(time.Millisecond), len(faults))
	for i, f := range faults {
		if i == 20 {
			fmt.Printf("  and %d more\n", len(faults)-i)
			break
		}
		fmt.Println(" ", f)
	}
}
