// Package edge runs a gateway from a configuration file, which it takes over when
// it changes. It is what "banyan run" and "banyan demo" have in common.
package edge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/acme"
)

// Options of an Edge.
type Options struct {
	// Log gets what an operator should know.
	Log *slog.Logger
	// Every is how often the files are looked at.
	Every time.Duration
	// Listen opens a listener; default: net.ListenConfig's.
	Listen func(network, address string) (net.Listener, error)
}

// Edge is a gateway with its listeners.
type Edge struct {
	options   Options
	file      string
	files     func() []string // that the configuration is read from
	seen      fingerprint     // of the present configuration
	looked    fingerprint     // when it was last looked at
	gateway   *gateway.Gateway
	front     *gateway.Front
	listener  net.Listener
	admin     net.Listener         // nil: none
	token     string               // of the admin API; "": none
	cert      *gateway.Certificate // nil: none in files
	authority *acme.Manager        // nil: no certificates by ACME
	plain     *plain               // nil: no address for plain HTTP beside TLS
	wrong     string               // what was wrong with it last: said once
	purger    purger
	events    []gateway.CacheEvents // of the present configuration
}

// Open reads the file, and binds the addresses that it names. Run releases them.
func Open(ctx context.Context, file string, o Options) (*Edge, error) {
	e := &Edge{options: o, file: file}
	e.purger.log = o.Log
	config, err := gateway.Load(file)
	if err != nil {
		return nil, err
	}
	e.files = config.Files
	e.seen = fingerprintOf(e.files())
	if config, err = gateway.Load(file); err != nil { // once more: it may have changed before that
		return nil, err
	}
	if err := e.open(ctx, config); err != nil {
		return nil, errors.Join(err, e.release())
	}
	return e, nil
}

func (e *Edge) open(ctx context.Context, c *gateway.Config) (err error) {
	if e.listener, err = e.listen(ctx, "listen", c.Listen); err != nil {
		return err
	}
	if c.Admin != "none" {
		if e.admin, err = e.listen(ctx, "admin", c.Admin); err != nil {
			return err
		}
	}
	if e.token, err = readToken(c.AdminToken); err != nil {
		return err
	}
	options := &gateway.Options{Log: e.options.Log, OpenLimitStore: func(url string) (gateway.LimitStore, error) {
		return openLimits(url, func(err error) {
			e.options.Log.Error("the store of the limits does not answer; each gateway keeps its share until it does", "error", err.Error())
		})
	}}
	if c.AccessLog == nil || *c.AccessLog {
		options.Hooks.Served = accessLog(e.options.Log)
	}
	if e.gateway, err = gateway.New(c, options); err != nil {
		return err
	}
	e.events = c.Cache.Events
	if c.TLS.ACME != nil {
		config := ACME(c.TLS.ACME)
		if e.authority, err = acme.New(&config, e.options.Log); err != nil {
			return err
		}
	}
	if c.RedirectHTTP != "" {
		if err := e.openPlain(ctx, c); err != nil {
			return err
		}
	}
	return e.openFront(c)
}

// openFront makes the front door that a configuration asks for.
func (e *Edge) openFront(c *gateway.Config) (err error) {
	options := &gateway.FrontOptions{Log: e.options.Log, MaxConnections: c.MaxConnections}
	for _, network := range c.TrustedProxies {
		p, err := netip.ParsePrefix(network)
		if err != nil {
			return fmt.Errorf("trusted_proxies: %w", err)
		}
		options.Proxies = append(options.Proxies, p.Masked())
	}
	if e.authority != nil {
		options.TLS = e.authority.TLS()
	}
	if c.TLS.Cert != "" {
		if e.cert, err = gateway.LoadCertificate(c.TLS); err != nil {
			return err
		}
		options.TLS = e.cert.Config()
	}
	e.front, err = gateway.NewFront(e.gateway, options)
	return err
}

// Close undoes what Open has done, instead of Run.
func (e *Edge) Close() error { return e.release() }

// release undoes what Open has done.
func (e *Edge) release() error {
	var errs []error
	listeners := []net.Listener{e.listener, e.admin}
	if e.plain != nil {
		listeners = append(listeners, e.plain.listener)
	}
	for _, l := range listeners {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	if e.gateway != nil {
		errs = append(errs, e.gateway.Close())
	}
	return errors.Join(errs...)
}

func (e *Edge) listen(ctx context.Context, key, address string) (net.Listener, error) {
	open := e.options.Listen
	if open == nil {
		open = func(network, address string) (net.Listener, error) {
			return new(net.ListenConfig).Listen(ctx, network, address)
		}
	}
	listener, err := open("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w; choose another address with %q in the configuration", err, key)
	}
	return listener, nil
}

// minToken is how long a token of the admin API has to be, in bytes.
const minToken = 16

// readToken reads the token of the admin API; "": there is none.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("admin_token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("admin_token: %s: %w: want one line of at least %d characters, such as from \"openssl rand -hex 32\"", file, banyan.ErrInvalid, minToken)
	}
	return token, nil
}

// Addr returns the address of the front door.
func (e *Edge) Addr() string { return e.listener.Addr().String() }

// AdminAddr returns the address of the admin API, "" if there is none.
func (e *Edge) AdminAddr() string {
	if e.admin == nil {
		return ""
	}
	return e.admin.Addr().String()
}

// Status returns what the gateway does.
func (e *Edge) Status() gateway.Status { return e.gateway.Status() }

// Run serves until the context ends, and drains.
func (e *Edge) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, e.gateway.Close()) }()
	group, ctx := errgroup.WithContext(ctx)
	if e.admin != nil {
		group.Go(func() error { return e.runAdmin(ctx) })
	}
	if e.authority != nil {
		group.Go(func() error { return e.authority.Run(ctx) })
	}
	if e.plain != nil {
		group.Go(func() error { return e.plain.front.Run(ctx, e.plain.listener) })
	}
	group.Go(func() error { return e.front.Run(ctx, e.listener) })
	group.Go(func() error {
		e.watch(ctx)
		return nil
	})
	return group.Wait()
}

// accessLog writes a line for each request. The query is not in it: it may hold
// tokens.
func accessLog(log *slog.Logger) func(gateway.Served) {
	return func(s gateway.Served) {
		line := []slog.Attr{
			slog.String("route", s.Route), slog.String("client", s.Client), slog.String("method", s.Method), slog.String("host", s.Host), slog.String("path", s.Path),
			slog.String("proto", s.Proto), slog.Int("status", s.Status), slog.Bool("fallback", s.Fallback), slog.Int64("bytes", s.Bytes), slog.Float64("took_ms", float64(s.Took.Microseconds())/1000), slog.String("trace", s.Trace),
		}
		if s.Cause != "" {
			line = append(line, slog.String("cause", s.Cause))
		}
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", line...)
	}
}

// runAdmin serves the admin API.
func (e *Edge) runAdmin(ctx context.Context) error {
	s := &http.Server{Handler: e.gateway.Admin(&gateway.AdminOptions{Token: e.token}), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() }) // its answers are short
	defer stop()
	if err := s.Serve(e.admin); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// fingerprint changes when files do.
type fingerprint map[string][sha256.Size]byte

// fingerprintOf files; of those that are there.
func fingerprintOf(files []string) fingerprint {
	f := fingerprint{}
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil {
			f[name] = sha256.Sum256(text)
		}
	}
	return f
}

// watch takes over changed files until the context ends.
func (e *Edge) watch(ctx context.Context) {
	tick := time.NewTicker(e.options.Every)
	defer tick.Stop()
	defer e.purger.end()
	for {
		e.purger.follow(ctx, e.events, e.gateway.Cache())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.refreshCertificate()
		e.reload()
	}
}

func (e *Edge) refreshCertificate() {
	if e.cert == nil {
		return
	}
	switch changed, err := e.cert.Refresh(); {
	case err != nil:
		if text := err.Error(); text != e.wrong {
			e.wrong = text
			e.options.Log.Error("the changed certificate is wrong; the old one stays", "error", text)
		}
	case changed:
		e.wrong = ""
		e.options.Log.Info("certificate reloaded")
	}
}

// reload takes over a changed configuration, when it looks the same twice: half a
// file may be right, and let in whom the other half keeps out. A file that is gone
// for a moment, as while an editor writes it, is no change.
func (e *Edge) reload() {
	now, last := fingerprintOf(e.files()), e.looked
	e.looked = now
	if _, there := now[e.file]; !there || maps.Equal(now, e.seen) || !maps.Equal(now, last) {
		return
	}
	e.seen = now
	config, err := gateway.Load(e.file)
	if err == nil {
		err = e.gateway.Reload(config)
	}
	if err != nil {
		e.options.Log.Error("the changed configuration is wrong; the old one stays", "error", err.Error())
		return
	}
	e.events, e.files = config.Cache.Events, config.Files
	e.options.Log.Info("reloaded", "routes", len(config.Routes), "upstreams", len(config.Upstreams))
}
