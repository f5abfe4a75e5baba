package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/banyanhq/banyan"
)

// The exit codes of Main.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main is the whole main function of a service: it loads the configuration,
// opens the App, calls setup to register what the service does, runs it until
// SIGINT or SIGTERM, drains, and ends the process: with 0 when done, 1 when
// something failed, 2 when the configuration or the command line is wrong. A
// second signal ends the process at once.
func Main(name string, setup func(*App) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal has its usual effect
	code := run(ctx, name, setup)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, name string, setup func(*App) error) int {
	c, err := Load(name, os.Args[1:], os.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(Usage(name))
		return exitDone
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return exitUsage
	}
	hide := secretsOf(c.StoreURL, c.ViewsURL)
	if err := serve(ctx, c, setup); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, hide.error(err))
		return exitFailed
	}
	return exitDone
}

func serve(ctx context.Context, c Config, setup func(*App) error) error {
	a, err := New(ctx, c)
	if err != nil {
		if ctx.Err() != nil && banyan.Stopped(err) {
			return nil // stopped while starting
		}
		return err
	}
	if err := setup(a); err != nil {
		return errors.Join(fmt.Errorf("app: set up %s: %w", a.Name, err), a.Close())
	}
	return a.Run(ctx)
}
