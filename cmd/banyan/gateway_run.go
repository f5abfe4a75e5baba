package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
	"github.com/spf13/cobra"

	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
)

// defaultConfig is the configuration's name where none is given.
const defaultConfig = "banyan.yaml"

func newRunCommand(e *env) *cobra.Command {
	var file, pidFile string
	var every time.Duration
	c := &cobra.Command{
		Use: "run [FILE]", Short: "Run a gateway",
		Long: "Run the gateway that a configuration file (default " + defaultConfig + ") describes. The\n" +
			"file is read again when it changes: requests under way end with the old configuration,\n" +
			"later ones begin with the new one, and a file with a mistake changes nothing. The\n" +
			"addresses are those of the start. An interrupt drains. With --pid-file a hangup (SIGHUP) starts the program anew, which\n" +
			"may be a newer one: it takes the listening sockets over, and then the old process\n" +
			"drains.",
		Example: "  banyan run banyan.yaml",
		Args:    wantArgs(1, "FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if every <= 0 {
				return usage("--reload-every is how often the file is looked at, such as 1s; have %s", every)
			}
			return runGateway(c.Context(), e, configNamed(file, args), pidFile, every)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `FILE`")
	c.Flags().StringVar(&pidFile, "pid-file", "", "`FILE` that gets the id of the serving process; a hangup then hands over to a new one")
	c.Flags().DurationVar(&every, "reload-every", time.Second, "how often the file is looked at")
	return c
}

// noArgs refuses arguments.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}

// runGateway serves until the context ends, or another process has taken over.
func runGateway(ctx context.Context, e *env, file, pidFile string, every time.Duration) error {
	if e.getenv("GOGC") == "" {
		// A gateway keeps little and discards much: collecting garbage less often
		// costs a few megabytes. GOMEMLIMIT bounds it.
		debug.SetGCPercent(400)
	}
	log := slog.New(slog.NewJSONHandler(e.stderr, nil))
	options := edge.Options{Log: log, Every: every}
	ready := func() error { return nil }
	if e.upgrade != nil && pidFile != "" { // else a terminal that is closed would leave a gateway behind
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		u, err := e.upgrade(pidFile)
		switch {
		case errors.Is(err, tableflip.ErrNotSupported):
		case err != nil:
			return err
		default:
			defer u.Stop()
			options.Listen, ready = u.Listen, u.Ready
			go func() {
				<-u.Exit()
				stop()
			}()
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP) // from now on one does not end the process
			defer signal.Stop(hangups)
			go upgrade(ctx, u, hangups, log)
		}
	}
	g, err := edge.Open(ctx, file, options)
	if err != nil {
		return noFile(file, err)
	}
	if err := ready(); err != nil {
		return errors.Join(err, g.Close())
	}
	status := g.Status()
	log.Info("serving", "address", g.Addr(), "redirect_http", g.PlainAddr(), "admin", g.AdminAddr(), "routes", len(status.Routes), "upstreams", len(status.Upstreams))
	return g.Run(ctx)
}

// upgrade hands the listeners over to a new process at each hangup, until one has
// them.
func upgrade(ctx context.Context, u *tableflip.Upgrader, hangups <-chan os.Signal, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if err := u.WaitForParent(ctx); err != nil {
			return
		}
		if err := takeOver(ctx, u); err != nil {
			log.Error("the new process did not take over; this one goes on", "error", err.Error())
			continue
		}
		log.Info("another process has taken over; draining")
	}
}

// takeOver starts the new process. The Upgrader may not have noticed yet what it was
// waited for, nor that this process is ready; it has no names for these errors.
func takeOver(ctx context.Context, u *tableflip.Upgrader) error {
	for {
		err := u.Upgrade()
		if err == nil || !strings.Contains(err.Error(), "parent hasn't exited") && !strings.Contains(err.Error(), "process is not ready yet") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}
