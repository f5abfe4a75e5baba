// Command banyan is the tool of Banyan: it looks into event stores and looks
// after projections.
//
// Results go to standard output, as text for people or with --json for programs;
// progress and logs go to standard error. Exit codes: 0 done, 1 failed, 2 wrong
// usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process at once
	code := run(ctx, &env{
		args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now,
		terminal: term.IsTerminal(int(os.Stderr.Fd())),
		upgrade: func(pidFile string) (*tableflip.Upgrader, error) {
			return tableflip.New(tableflip.Options{PIDFile: pidFile})
		},
	})
	stop()
	os.Exit(code)
}
