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
	options := &gateway.Options{Log: log}
	if config.AccessLog == nil || *config.AccessLog {
		options.Hooks.Served = accessLog(log)
	}
	g, err := gateway.New(config, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	w := &watched{log: log, gateway: g, file: file, seen: seen, every: every}
	front, err := w.front(config)
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
		w.run(ctx)
		return nil
	})
	return group.Wait()
}

// accessLog writes a line for each request. The query is not in it: it may hold
// tokens.
func accessLog(log *slog.Logger) func(gateway.Served) {
	return func(s gateway.Served) {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request",
			slog.String("route", s.Route), slog.String("client", s.Client), slog.String("method", s.Method), slog.String("host", s.Host), slog.String("path", s.Path),
			slog.String("proto", s.Proto), slog.Int("status", s.Status), slog.Int64("bytes", s.Bytes), slog.Float64("took_ms", float64(s.Took.Microseconds())/1000), slog.String("trace", s.Trace))
	}
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

// watched are the files of a gateway that runs.
type watched struct {
	log     *slog.Logger
	gateway *gateway.Gateway
	file    string
	seen    stamp
	every   time.Duration
	cert    *gateway.Certificate // nil: no TLS
	wrong   string               // what was wrong with it last: said once
}

// front returns the front door that a configuration asks for.
func (w *watched) front(c *gateway.Config) (*gateway.Front, error) {
	options := &gateway.FrontOptions{Log: w.log}
	if c.TLS.Cert != "" {
		var err error
		if w.cert, err = gateway.LoadCertificate(c.TLS); err != nil {
			return nil, err
		}
		options.TLS = w.cert.Config()
	}
	return gateway.NewFront(w.gateway, options)
}

// run takes over changed files until the context ends.
func (w *watched) run(ctx context.Context) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		w.refreshCertificate()
		w.reload()
	}
}

func (w *watched) refreshCertificate() {
	if w.cert == nil {
		return
	}
	switch changed, err := w.cert.Refresh(); {
	case err != nil:
		if text := err.Error(); text != w.wrong {
			w.wrong = text
			w.log.Error("the changed certificate is wrong; the old one stays", "error", text)
		}
	case changed:
		w.wrong = ""
		w.log.Info("certificate reloaded")
	}
}

// reload takes over a changed configuration. A file that is gone for a moment, as
// while an editor writes it, is no change.
func (w *watched) reload() {
	now, err := fingerprint(w.file)
	if err != nil || now == w.seen {
		return
	}
	w.seen = now
	config, err := gateway.Load(w.file)
	if err == nil {
		err = w.gateway.Reload(config)
	}
	if err != nil {
		w.log.Error("the changed configuration is wrong; the old one stays", "error", err.Error())
		return
	}
	w.log.Info("reloaded", "routes", len(config.Routes), "upstreams", len(config.Upstreams))
}
