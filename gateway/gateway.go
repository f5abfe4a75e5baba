package gateway

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// Options of a Gateway. The zero value of each field is its default.
type Options struct {
	// Log gets what an operator should know; default: nothing is logged.
	Log *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
}

// Gateway is an http.Handler that routes requests to upstreams. It has to be
// closed.
type Gateway struct {
	log   *slog.Logger
	hooks Hooks
	seed  maphash.Seed // of sticky clients: it lives as long as the gateway
	state atomic.Pointer[state]

	mu     sync.Mutex // one change at a time
	closed bool       // guarded by mu
}

// state is everything that a configuration makes. A request uses one from its
// beginning to its end.
type state struct {
	config    *Config
	table     *table
	trusted   []netip.Prefix
	paths     PathRules
	upstreams map[string]*upstream
	handlers  map[*Route]http.Handler
	stats     map[string]*stats // by the name of the route
}

// New returns a gateway. The configuration is used as it is from then on, and
// must not be changed.
func New(c *Config, o *Options) (*Gateway, error) {
	g := &Gateway{log: slog.New(slog.DiscardHandler), seed: maphash.MakeSeed()}
	if o != nil {
		g.hooks = o.Hooks
		if o.Log != nil {
			g.log = o.Log
		}
	}
	s, err := g.build(c, &state{})
	if err != nil {
		return nil, err
	}
	g.state.Store(s)
	s.begin(&state{})
	return g, nil
}

// Reload changes to another configuration. Requests under way end with the old
// one. If something is wrong with the new one, nothing changes. Upstreams that
// stay as they are keep their connections, and what is known about their targets.
func (g *Gateway) Reload(c *Config) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return fmt.Errorf("gateway: reload: %w", banyan.ErrClosed)
	}
	old := g.state.Load()
	s, err := g.build(c, old)
	if err != nil {
		return err
	}
	g.state.Store(s)
	s.begin(old)
	return old.end(s)
}

// Close ends the health checks and releases idle connections. Requests under way
// go on.
func (g *Gateway) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	return g.state.Load().end(&state{})
}

// build makes a state, with those upstreams of the old one that stay.
func (g *Gateway) build(c *Config, old *state) (*state, error) {
	t, trusted, found := c.compile()
	if len(found) > 0 {
		errs := make([]error, len(found))
		for i, m := range found {
			errs[i] = fmt.Errorf("gateway: configuration: %s: %w: %s", m.Path, banyan.ErrInvalid, m.Text)
		}
		return nil, errors.Join(errs...)
	}
	s := &state{config: c, table: t, trusted: trusted, paths: PathRules(c.Paths), upstreams: map[string]*upstream{}, handlers: map[*Route]http.Handler{}, stats: map[string]*stats{}}
	for name, config := range c.Upstreams {
		if u := old.upstreams[name]; u != nil && reflect.DeepEqual(old.config.Upstreams[name], config) {
			s.upstreams[name] = u
			continue
		}
		u, err := newUpstream(name, config, g.seed)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("gateway: upstream %s: %w", name, err), s.end(old))
		}
		s.upstreams[name] = u
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		h, err := newHandler(r, s.upstreams[r.To])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("gateway: route %s: %w", r.Name, err), s.end(old))
		}
		s.handlers[r] = h
		if r.stats = old.stats[r.Name]; r.stats == nil {
			r.stats = new(stats)
		}
		s.stats[r.Name] = r.stats
	}
	return s, nil
}

func (s *state) lookup(r *http.Request, host, path string) (*Route, []string) {
	if s.paths.IgnoreCase {
		path = strings.ToLower(path)
	}
	return s.table.lookup(r, host, path)
}

// begin starts the upstreams that another state does not have.
func (s *state) begin(before *state) {
	for name, u := range s.upstreams {
		if before.upstreams[name] != u {
			u.watch()
		}
	}
}

// end closes the upstreams that another state does not have.
func (s *state) end(after *state) error {
	var errs []error
	for name, u := range s.upstreams {
		if after.upstreams[name] != u {
			errs = append(errs, u.Close())
		}
	}
	return errors.Join(errs...)
}

// Match returns the route that a request would take; nil: none.
func (g *Gateway) Match(r *http.Request) *Route {
	s := g.state.Load()
	path, err := Canonical(escapedPath(r), s.paths)
	if err != nil {
		return nil
	}
	route, _ := s.lookup(r, hostOf(r.Host), path)
	return route
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := g.state.Load()
	path, err := Canonical(escapedPath(r), s.paths)
	if err == nil && r.Host != "" && !http1.ValidHost(r.Host) { // HTTP/2 lets it come this far
		err = pathError("is asked of a host that is none")
	}
	if err != nil {
		Problem(w, http.StatusBadRequest, err.Error())
		return
	}
	c := newClient(r, s.trusted)
	route, allowed := s.lookup(r, c.host, path)
	switch {
	case route != nil:
		a := &arrival{Context: r.Context(), client: c, path: path, route: route, trace: newTrace(r), answer: recorder{ResponseWriter: w}}
		a.serve(s.handlers[route], r, &g.hooks)
	case len(allowed) > 0:
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		Problem(w, http.StatusMethodNotAllowed, "this path has no such method")
	default:
		Problem(w, http.StatusNotFound, "nothing is served here")
	}
}

// serve lets a handler answer, and counts it, also if it panics.
func (a *arrival) serve(h http.Handler, r *http.Request, hooks *Hooks) {
	start := time.Now()
	st := a.route.stats
	st.inFlight.Add(1)
	defer func() {
		st.inFlight.Add(-1)
		st.statuses[min(a.answer.status/100, 5)].Add(1)
		took := time.Since(start)
		st.took.add(took)
		a.served(hooks, r.Method, r.Host, r.Proto, took)
	}()
	h.ServeHTTP(&a.answer, r.WithContext(a))
}

// escapedPath returns the path as the client wrote it.
func escapedPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath()
}
