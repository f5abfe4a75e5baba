package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan/gateway"
)

// defaultConfig is the configuration's name where none is given.
const defaultConfig = "banyan.yaml"

func newRunCommand(e *env) *cobra.Command {
	var file string
	var every time.Duration
	c := &cobra.Command{
		Use: "run", Short: "Run a gateway",
		Long: "Run the gateway that a configuration file describes. The file is read again when it\n" +
			"changes: requests under way end with the old configuration, later ones begin with the\n" +
			"new one, and a file with a mistake changes nothing. The addresses are those of the\n" +
			"start. An interrupt drains.",
		Example: "  banyan run -c banyan.yaml",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if every <= 0 {
				return usage("--reload-every is how often the file is looked at, such as 1s; have %s", every)
			}
			return runGateway(c.Context(), e, file, every)
		},
	}
	c.Flags().StringVarP(&file, "config", "c", defaultConfig, "configuration `FILE`")
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

// runGateway serves until the context ends.
func runGateway(ctx context.Context, e *env, file string, every time.Duration) (err error) {
	log := slog.New(slog.NewJSONHandler(e.stderr, nil))
	seen, _ := fingerprint(file) // Load says what is wrong with it
	config, err := gateway.Load(file)
	if err != nil {
		return err
	}
	g, err := gateway.New(config, &gateway.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	front, err := gateway.NewFront(g, &gateway.FrontOptions{Log: log})
	if err != nil {
		return err
	}
	listener, err := listen(ctx, "listen", config.Listen)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	if config.Admin != "none" {
		admin, err := listen(ctx, "admin", config.Admin)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		group.Go(func() error { return runAdmin(ctx, g, admin) })
	}
	log.Info("serving", "address", listener.Addr().String(), "routes", len(config.Routes), "upstreams", len(config.Upstreams))
	group.Go(func() error { return front.Run(ctx, listener) })
	group.Go(func() error {
		reload(ctx, log, g, file, seen, every)
		return nil
	})
	return group.Wait()
}

func listen(ctx context.Context, key, address string) (net.Listener, error) {
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with %q in the configuration", err, key)
	}
	return listener, nil
}

// runAdmin serves the admin API.
func runAdmin(ctx context.Context, g *gateway.Gateway, l net.Listener) error {
	s := &http.Server{Handler: g.Admin(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // its answers are short
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stamp changes when a file does.
type stamp struct {
	size     int64
	modified time.Time
}

func fingerprint(file string) (stamp, error) {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.Size(), info.ModTime()}, nil
}

// reload takes over a changed file. A file that is gone for a moment, as while an
// editor writes it, is no change.
func reload(ctx context.Context, log *slog.Logger, g *gateway.Gateway, file string, seen stamp, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := fingerprint(file)
		if err != nil || now == seen {
			continue
		}
		seen = now
		config, err := gateway.Load(file)
		if err == nil {
			err = g.Reload(config)
		}
		if err != nil {
			log.Error("the changed configuration is wrong; the old one stays", "error", err.Error())
			continue
		}
		log.Info("reloaded", "routes", len(config.Routes), "upstreams", len(config.Upstreams))
	}
}
