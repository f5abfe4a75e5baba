package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
	"github.com/banyanhq/banyan/example/monolith"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/channels"
	"github.com/banyanhq/banyan/example/shop/orders"
)

// services are the shop, the monolith that it grew out of, and the gateway in
// front of both.
type services struct {
	shop     *app.App
	monolith *old
	edge     *edge.Edge
}

// old is the monolith with its server.
type old struct {
	shop     *monolith.Shop
	server   *http.Server
	listener net.Listener
}

// configFile is the gateway's, in the folder of the data.
const configFile = "banyan.yaml"

// config is written anew by each run, because the services behind have other
// ports then. %s: listen, admin, the staff's keys, shop, monolith.
const config = `# The gateway of "banyan demo". Change it while the demo runs: it is taken over
# within a second. "banyan check" says what is wrong with it, "banyan routes"
# what it does. The next run writes it anew, and the files of the channels too.
listen: %s
admin: %s
access_log: false
credentials:
  staff: {api_keys: {file: %q}}
upstreams:
  shop: {targets: ["http://%s"], health: {path: /readyz}}
  monolith: http://%s
routes:
  - name: shop
    match: /
    to: shop
  # What only the shop's staff may do; "banyan key" makes more keys.
  - {match: PUT /users/, to: shop, auth: {by: [staff]}}
  - {match: DELETE /users/, to: shop, auth: {by: [staff]}}
  - {match: /limits/, to: shop, auth: {by: [staff]}}
  - {match: PUT /payments/, to: shop, auth: {by: [staff]}}
  - name: monolith
    match: /monolith/
    strip_prefix: /monolith
    to: monolith
    timeout: 10s
include: [channels/*.yaml]
`

// writeChannels writes the files of the channels, which the configuration includes.
func (d *demo) writeChannels() error {
	dir := filepath.Join(d.dir, "channels")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	entries, err := channels.Files.ReadDir(".")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	for _, e := range entries {
		text, err := channels.Files.ReadFile(e.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// The staff's key, and the list that the gateway reads.
const (
	staffKey  = "staff.key"
	staffKeys = "staff-keys.json"
)

// writeStaffKey makes a key for the shop's staff, once for each folder.
func (d *demo) writeStaffKey(ctx context.Context) error {
	file := filepath.Join(d.dir, staffKey)
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	text, key, err := auth.GenerateKey("byn", "staff")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	err = auth.KeyFile(filepath.Join(d.dir, staffKeys)).Update(ctx, func([]auth.Key) ([]auth.Key, error) { return []auth.Key{key}, nil })
	if err == nil {
		err = os.WriteFile(file, []byte(text+"\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// open opens the services and the gateway.
func (d *demo) open(ctx context.Context) (*services, error) {
	s := &services{}
	if err := d.openAll(ctx, s); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

func (d *demo) openAll(ctx context.Context, s *services) (err error) {
	if s.shop, err = d.openShop(ctx); err != nil {
		return err
	}
	if s.monolith, err = d.openMonolith(ctx); err != nil {
		return err
	}
	s.edge, err = d.openEdge(ctx, s)
	return err
}

// release closes what was opened and is not run.
func (s *services) release() error {
	var errs []error
	if s.shop != nil {
		errs = append(errs, s.shop.Close())
	}
	if s.monolith != nil {
		errs = append(errs, s.monolith.listener.Close(), s.monolith.shop.Close())
	}
	return errors.Join(errs...)
}

func (d *demo) openMonolith(ctx context.Context) (*old, error) {
	// Opening a file is quick, and what an interrupt then ends says how to go on.
	shop, err := monolith.Open(context.WithoutCancel(ctx), filepath.Join(d.dir, "monolith.db"), nil)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	orders.ServeDesk(api.New(mux, "monolith"), shop)
	var l net.ListenConfig
	listener, err := l.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("demo: %w", err), shop.Close())
	}
	return &old{shop: shop, listener: listener, server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}}, nil
}

// openEdge opens the gateway at its address or, when that cannot be had, at a
// free port of the same host.
func (d *demo) openEdge(ctx context.Context, s *services) (*edge.Edge, error) {
	file := filepath.Join(d.dir, configFile)
	host, _, err := net.SplitHostPort(d.listen)
	if err != nil {
		return nil, fmt.Errorf("demo: --listen %s: %w", d.listen, err)
	}
	if err := errors.Join(d.writeChannels(), d.writeStaffKey(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	keys, err := filepath.Abs(filepath.Join(d.dir, staffKeys))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	free := net.JoinHostPort(host, "0")
	var first error
	for _, at := range [][2]string{{d.listen, d.admin}, {d.listen, "127.0.0.1:0"}, {free, "127.0.0.1:0"}} {
		text := fmt.Sprintf(config, at[0], at[1], keys, s.shop.Addr(), s.monolith.listener.Addr())
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		e, err := edge.Open(ctx, file, edge.Options{Log: newLog(d.stderr), Every: time.Second})
		var listening *net.OpError
		switch {
		case err == nil && at[0] != d.listen:
			d.say("%s is taken; serving at %s instead.", d.listen, e.Addr())
			return e, nil
		case err == nil:
			return e, nil
		case !errors.As(err, &listening) || listening.Op != "listen":
			return nil, err
		case first == nil:
			first = err // the address that was asked for is what matters
		}
	}
	return nil, first
}

// Addr is where clients come in.
func (s *services) Addr() string { return s.edge.Addr() }

// Run serves until the context ends. The gateway drains first: what it has taken
// is answered.
func (s *services) Run(ctx context.Context) error {
	behind, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	front, fail := context.WithCancel(ctx)
	defer fail()
	ended := make(chan error, 2)
	go func() {
		defer fail() // nothing is served without the services
		ended <- s.shop.Run(behind)
	}()
	go func() {
		defer fail()
		ended <- s.monolith.run(behind)
	}()
	err := s.edge.Run(front)
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// run serves until the context ends.
func (o *old) run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- o.server.Serve(o.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = o.server.Shutdown(limit)
		<-served
	}
	return errors.Join(err, o.shop.Close())
}

// newLog logs what a person should know and keeps quiet otherwise: the terminal
// belongs to the progress bar.
func newLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
