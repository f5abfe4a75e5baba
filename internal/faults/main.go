// Command faults runs what takes too long for go test: it breaks processes,
// disks and servers many times and checks that the guarantees hold
// (docs/guarantees.md).
//
//	go run ./internal/faults -list                     # what there is
//	go run ./internal/faults R1-sqlite R3-sqlite       # some of it
//	go run ./internal/faults -o results.md all         # all of it, for hours
//	go run ./internal/faults -scale 2 all              # a fiftieth of each, to try
//	go run ./internal/faults -control R1-sqlite        # a planted bug: must be caught
//
// Campaigns run one after another. Each prints its seed, and at the end a row
// of a table. Exit code 1 when a campaign found a fault (with -control: when one
// missed its planted bug), 2 when with -require one could not run here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := command(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
	}
	os.Exit(code) //nolint:gocritic // stop restores a signal handler only
}

type options struct {
	seed    uint64
	scale   float64
	control bool
	require bool
	file    string
}

// command is main without the process.
func command(ctx context.Context, args []string) (code int, err error) {
	var o options
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	list := flags.Bool("list", false, "print the campaigns")
	flags.Uint64Var(&o.seed, "seed", 0, "seed of every campaign; 0: a new one for each")
	flags.Float64Var(&o.scale, "scale", 100, "size in `percent`")
	flags.BoolVar(&o.control, "control", false, "plant a bug that the campaign must catch")
	flags.BoolVar(&o.require, "require", false, "exit with 2 when a campaign cannot run here")
	flags.StringVar(&o.file, "o", "", "append the rows to this `file` too")
	if err := flags.Parse(args); err != nil {
		return 2, nil //nolint:nilerr // flags has said it
	}
	if *list {
		printList(os.Stdout, campaigns())
		return 0, nil
	}
	chosen, err := choose(campaigns(), flags.Args())
	if err != nil || o.scale <= 0 {
		return 2, errors.Join(err, positive(o.scale))
	}
	return run(ctx, chosen, o)
}

func positive(scale float64) error {
	if scale <= 0 {
		return fmt.Errorf("-scale %v: want more than 0 percent", scale)
	}
	return nil
}

// choose returns the campaigns with these names, in the order of the list.
func choose(all []campaign, names []string) (chosen []campaign, err error) {
	if len(names) == 0 {
		return nil, errors.New("say which campaigns to run, or all; -list prints them")
	}
	for _, name := range names {
		if name != "all" && !slices.ContainsFunc(all, func(c campaign) bool { return c.id == name }) {
			return nil, fmt.Errorf("there is no campaign %q; -list prints them", name)
		}
	}
	for _, c := range all {
		if slices.Contains(names, c.id) || slices.Contains(names, "all") {
			chosen = append(chosen, c)
		}
	}
	return chosen, nil
}

// run runs campaigns and reports them.
func run(ctx context.Context, chosen []campaign, o options) (code int, err error) {
	dir, err := os.MkdirTemp("", "banyan-faults")
	if err != nil {
		return 2, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	victim, err := build(ctx, dir)
	if err != nil {
		return 2, err
	}
	var rows []row
	for _, c := range chosen {
		if o.control && len(c.bugs) == 0 {
			fmt.Printf("\n%s: its planted bugs are tests, which go test runs\n", c.id)
		}
		for _, bug := range c.plans(o.control) {
			r := one(ctx, c, o, bug, victim, dir)
			if err := r.save(o.file); err != nil {
				return 1, err
			}
			rows = append(rows, r)
			if ctx.Err() != nil {
				return 1, ctx.Err()
			}
		}
	}
	fmt.Println()
	fmt.Print(header)
	for _, r := range rows {
		fmt.Println(r)
	}
	return exitCode(rows, o.require), nil
}

func exitCode(rows []row, require bool) int {
	code := 0
	for _, r := range rows {
		switch {
		case r.bad():
			return 1
		case r.skipped != "" && require:
			code = 2
		}
	}
	return code
}

func build(ctx context.Context, dir string) (string, error) {
	victim := filepath.Join(dir, "victim")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", victim, "github.com/banyanhq/banyan/internal/faults/victim").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the victim: %w\n%s", err, out)
	}
	return victim, nil
}

// one runs one campaign with a folder and a seed of its own.
func one(ctx context.Context, c campaign, o options, bug, victim, dir string) row {
	e := &env{seed: o.seed, scale: o.scale, bug: bug, victim: victim, dir: filepath.Join(dir, c.id+bug)}
	if e.seed == 0 {
		e.seed = rand.Uint64N(1e12)
	}
	e.random = rand.New(rand.NewPCG(e.seed, 1))
	r := row{id: c.id, start: time.Now(), seed: e.seed, scale: o.scale, bug: bug}
	fmt.Printf("\n%s: %s; seed %d, scale %v %%%s\n", c.id, c.what, e.seed, o.scale, planted(bug))
	// The server of PostgreSQL runs as another user and has to get there.
	err := errors.Join(os.Mkdir(e.dir, 0o755), os.Chmod(dir, 0o755)) //nolint:gosec // see above
	if err == nil {
		r.outcome, err = c.run(ctx, e)
	}
	r.took = time.Since(r.start)
	var skip skipError
	if errors.As(err, &skip) {
		r.skipped = string(skip)
		fmt.Printf("!!! %s DID NOT RUN: %s\n", c.id, skip)
	} else {
		r.err = err
	}
	_ = os.RemoveAll(e.dir) // a temporary folder, removed again at the end
	printFaults(r)
	return r
}

func planted(bug string) string {
	if bug == "" {
		return ""
	}
	return ", planted bug: " + bug
}

func printFaults(r row) {
	if r.err != nil {
		fmt.Printf("!!! %s failed: %v\n", r.id, r.err)
	}
	for i, f := range r.faults {
		if i == 10 {
			fmt.Printf("  and %d more\n", len(r.faults)-i)
			break
		}
		fmt.Println("  fault:", strings.ReplaceAll(f, "\n", "\n    "))
	}
}
