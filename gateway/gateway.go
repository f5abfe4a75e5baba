package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/internal/http1"
)

// Options of a Gateway. The zero value of each field is its default.
type Options struct {
	// Log gets what an operator should know, and the warnings of a configuration
	// that was read from a file; default: nothing is logged.
	Log *slog.Logger
	// Hooks are told what happens.
	Hooks Hooks
	// Resolver looks up the names of targets whose upstream says resolve; default:
	// net.DefaultResolver.
	Resolver *net.Resolver
	// LimitStore counts for limits that are shared between gateways, such as
	// postgres.Limits; default: no limit can be shared. It is the caller's to
	// close, after the gateway.
	LimitStore limit.Store
	// OpenLimitStore opens the store that a configuration names; default: none can
	// be named. It should not wait for the store: the gateway serves without it.
	OpenLimitStore func(url string) (LimitStore, error)
}

// LimitStore is a store for limits that was opened for a gateway, which closes it.
type LimitStore interface {
	limit.Store
	io.Closer
}

// Gateway is an http.Handler that routes requests to upstreams. It has to be
// closed.
type Gateway struct {
	log     *slog.Logger
	options Options
	state   atomic.Pointer[state]

	collector *collector // of the catalogue

	mu       sync.Mutex // one change at a time
	closed   bool       // guarded by mu
	retiring retiring
}

// state is everything that a configuration makes. A request uses one from its
// beginning to its end.
type state struct {
	log       *slog.Logger
	config    *Config
	table     *table
	trusted   []netip.Prefix
	paths     PathRules
	upstreams map[string]*upstream
	providers map[string]*provider
	cache     *cache.Cache
	era       int // of what is stored: it changes with the routes
	limits    *limits
	handlers  map[*Route]http.Handler
	identity  []string          // headers that say who somebody is
	stats     map[string]*stats // by the name of the route
	collector *collector        // of the catalogue; nil: there is none
}

// New returns a gateway. The configuration is used as it is from then on, and
// must not be changed.
func New(c *Config, o *Options) (*Gateway, error) {
	g := &Gateway{log: slog.New(slog.DiscardHandler)}
	if o != nil {
		g.options = *o
		if o.Log != nil {
			g.log = o.Log
		}
	}
	if g.options.Resolver == nil {
		g.options.Resolver = net.DefaultResolver
	}
	g.collector = &collector{log: g.log, since: time.Now()}
	s, err := g.build(c, &state{})
	if err != nil {
		return nil, err
	}
	s.begin(&state{}, g.log)
	g.collector.follow(s)
	g.state.Store(s)
	c.logWarnings(g.log)
	return g, nil
}

// Reload changes to another configuration. Requests under way end with the old
// one. If something is wrong with the new one, nothing changes. Upstreams that
// stay as they are keep their connections, and what is known about their targets.
// If a route changes the cache begins empty: what an answer was stored for may
// mean something else now.
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
	s.begin(old, g.log)
	g.collector.follow(s)
	g.state.Store(s)
	c.logWarnings(g.log)
	switch {
	case old.cache != s.cache:
		g.retiring.add(old.cache)
	case old.era != s.era:
		_, err = s.cache.Purge(cache.Purge{All: true}) // nobody can find them any more
	}
	return errors.Join(err, old.end(s))
}

// routesOf returns the routes as they are configured.
func routesOf(s *state) []Route {
	routes := slices.Clone(s.config.Routes)
	for i := range routes {
		routes[i].stats = nil
	}
	return routes
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
	g.collector.end()
	s := g.state.Load()
	s.cache.Close()
	g.retiring.end()
	return s.end(&state{})
}

// build makes a state, with those parts of the old one that stay. The routes are
// copied, because each gateway keeps its numbers with its own.
func (g *Gateway) build(given *Config, old *state) (*state, error) {
	c := new(Config)
	*c = *given
	c.Routes = slices.Clone(given.Routes)
	t, trusted, found := c.compile()
	if len(found) > 0 {
		errs := make([]error, len(found))
		for i, m := range found {
			errs[i] = fmt.Errorf("gateway: configuration: %s: %w: %s", m.Path, banyan.ErrInvalid, m.Text)
		}
		return nil, errors.Join(errs...)
	}
	s := &state{
		log: g.log, config: c, table: t, trusted: trusted, paths: PathRules(c.Paths), cache: old.cache, limits: old.limits,
		upstreams: map[string]*upstream{}, providers: map[string]*provider{}, handlers: map[*Route]http.Handler{}, stats: map[string]*stats{},
	}
	s.era = old.era
	if old.config != nil && !reflect.DeepEqual(routesOf(old), routesOf(s)) {
		s.era++
	}
	err := s.addParts(old, g)
	if err == nil {
		err = s.addCatalogue(old, g.collector)
	}
	if err == nil {
		err = s.addRoutes(old)
	}
	if err != nil {
		if s.cache != nil && s.cache != old.cache {
			s.cache.Close()
		}
		return nil, errors.Join(err, s.end(old))
	}
	return s, nil
}

// addParts makes what routes share, or takes it from the old state if it stays
// as it is.
func (s *state) addParts(old *state, g *Gateway) (err error) {
	for name, config := range s.config.Upstreams {
		if u := old.upstreams[name]; u != nil && reflect.DeepEqual(old.config.Upstreams[name], config) {
			s.upstreams[name] = u
		} else if s.upstreams[name], err = newUpstream(name, config, g.options.Resolver); err != nil {
			delete(s.upstreams, name)
			return fmt.Errorf("gateway: upstream %s: %w", name, err)
		}
	}
	for name, config := range s.config.Credentials {
		if p := old.providers[name]; p != nil && reflect.DeepEqual(p.config, config) {
			s.providers[name] = p
		} else if s.providers[name], err = config.provider(g.log); err != nil {
			delete(s.providers, name)
			return fmt.Errorf("gateway: credential %s: %w", name, err)
		}
	}
	if s.cache == nil || !old.config.Cache.same(&s.config.Cache) {
		if s.cache, err = s.config.Cache.open(); err != nil {
			return fmt.Errorf("gateway: cache: %w", err)
		}
	}
	if s.limits == nil || s.limits.config != s.config.Limits {
		if s.limits, err = s.config.Limits.open(&g.options); err != nil {
			return fmt.Errorf("gateway: limits: %w", err)
		}
	}
	return nil
}

// addRoutes makes the handlers.
func (s *state) addRoutes(old *state) error {
	all := s.config.identityHeaders()
	s.identity = all
	for i := range s.config.Routes {
		r := &s.config.Routes[i]
		h, err := s.handler(r, all)
		if err != nil {
			return fmt.Errorf("gateway: route %s: %w", r.Name, err)
		}
		s.handlers[r] = h
		if r.stats = old.stats[r.Name]; r.stats == nil {
			r.stats = new(stats)
		}
		s.stats[r.Name] = r.stats
	}
	return nil
}

// handler stacks what a route asks for, from the inside out: the forwarder (or
// what redirects), the cache, the fallback, the headers of the identity, the changes, the contract, the limits, who may
// use it, the bound, what is about clients, and from which addresses. Limits stand
// behind authentication, so that they can count by identity.
func (s *state) handler(r *Route, identityHeaders []string) (h http.Handler, err error) {
	p, err := r.policies()
	if err != nil {
		return nil, err
	}
	switch {
	case r.Redirect != nil:
		h, err = newRedirector(r)
	case r.Compose != nil:
		h, err = s.composed(r, p.calls)
	default:
		h = newForwarder(r, s.upstreams[r.To], p.calls)
	}
	if err != nil {
		return nil, err
	}
	if r.Cache != nil {
		if h, err = r.Cache.wrap(fmt.Sprint(s.era, " ", r.Name), s.cache, h); err != nil {
			return nil, err
		}
	}
	h = r.fallen(h, s.upstreams)
	if h, err = r.Auth.forwarding(identityHeaders, h); err != nil {
		return nil, err
	}
	if h, err = r.transformed(h); err != nil {
		return nil, err
	}
	if h, err = r.validated(s.config, h); err != nil {
		return nil, err
	}
	if r.Compose != nil || r.Transform != nil {
		h = r.withValues(h)
	}
	if h, err = s.limits.wrap(r, h); err != nil {
		return nil, err
	}
	if r.Auth != nil {
		if h, err = r.Auth.guard(s.providers, h); err != nil {
			return nil, err
		}
	}
	if p.handler != nil {
		h = p.handler.Handler(h)
	}
	if h, err = r.shown(s.config, h); err != nil {
		return nil, err
	}
	return r.admitted(h)
}

func (s *state) lookup(r *http.Request, host, path string) (*Route, []string) {
	if s.paths.IgnoreCase {
		path = strings.ToLower(path)
	}
	return s.table.lookup(r, host, path)
}

// begin starts the parts that another state does not have, and waits a moment for
// those that have to fetch something first.
func (s *state) begin(before *state, log *slog.Logger) {
	for name, u := range s.upstreams {
		if before.upstreams[name] != u {
			u.watch(log)
		}
	}
	for name, p := range s.providers {
		if before.providers[name] != p {
			p.begin()
		}
	}
	var all sync.WaitGroup
	for name, p := range s.providers {
		all.Go(func() {
			if err := p.await(context.Background()); err != nil {
				log.Error("requests with this credential are answered 503 until it can be checked", "credential", name, "error", err.Error())
			}
		})
	}
	all.Wait()
}

// end closes the parts that another state does not have.
func (s *state) end(after *state) error {
	var errs []error
	for name, u := range s.upstreams {
		if after.upstreams[name] != u {
			errs = append(errs, u.Close())
		}
	}
	for name, p := range s.providers {
		if after.providers[name] != p {
			errs = append(errs, p.Close())
		}
	}
	if s.limits != after.limits {
		errs = append(errs, s.limits.close())
	}
	return errors.Join(errs...)
}

// Cache returns the cache of the present configuration. A reload may put another
// one in its place.
func (g *Gateway) Cache() *cache.Cache { return g.state.Load().cache }

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
	r = withoutIdentity(r, s.identity)
	path, err := Canonical(escapedPath(r), s.paths)
	if err == nil && r.Host != "" && !http1.ValidHost(r.Host) { // HTTP/2 lets it come this far
		err = pathError("is asked of a host that is none")
	}
	if err == nil && !http1.ValidQuery(r.URL.RawQuery) { // so it does this: what cannot be sent on would count as a failure of the upstream
		err = pathError("has a query with bytes that have to be escaped")
	}
	if err != nil {
		g.unserved(w, r, s, "", http.StatusBadRequest, err.Error())
		return
	}
	r = withoutNamed(r)
	if path != r.URL.EscapedPath() {
		u := *r.URL // of a copy: the request is the caller's
		u.Path, u.RawPath = unescape(path), path
		out := *r
		out.URL = &u
		r = &out
	}
	c := newClient(r, s.trusted)
	r = withoutClaims(r)
	route := s.preflighted(r, c.host, path)
	var allowed []string
	if route == nil {
		route, allowed = s.lookup(r, c.host, path)
	}
	switch {
	case route != nil && route.unclear(r):
		g.unserved(w, r, s, path, http.StatusBadRequest, "the query, or a header, can be read in more than one way")
	case route != nil:
		a := &arrival{Context: r.Context(), client: c, host: r.Host, path: path, route: route, trace: newTrace(r), answer: recorder{ResponseWriter: w}}
		if s.collector != nil {
			defer s.collector.served(a, r)
		}
		a.serve(s.handlers[route], r, &g.options.Hooks)
	case len(allowed) > 0:
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		g.unserved(w, r, s, path, http.StatusMethodNotAllowed, "this path has no such method")
	default:
		g.unserved(w, r, s, path, http.StatusNotFound, "nothing is served here")
	}
}

// unserved answers a request that no route takes, and tells the hook.
func (g *Gateway) unserved(w http.ResponseWriter, r *http.Request, s *state, path string, status int, reason string) {
	start := time.Now()
	a := &arrival{Context: r.Context(), client: newClient(r, s.trusted), path: path, route: &Route{}, trace: newTrace(r), answer: recorder{ResponseWriter: w}}
	a.because(errors.New(reason))
	Problem(&a.answer, status, reason)
	a.served(&g.options.Hooks, r.Method, r.Host, r.Proto, time.Since(start))
}

// serve lets a handler answer, and counts it, also if it panics.
func (a *arrival) serve(h http.Handler, r *http.Request, hooks *Hooks) {
	start := time.Now()
	st := a.route.stats
	st.inFlight.Add(1)
	defer func() {
		st.inFlight.Add(-1)
		st.statuses[min(a.answer.status/100, 5)].Add(1)
		if a.fallback {
			st.fallbacks.Add(1)
		}
		took := time.Since(start)
		st.took.add(took)
		a.served(hooks, r.Method, r.Host, r.Proto, took)
	}()
	out := r.WithContext(a)
	if r.ContentLength == 0 {
		out.Body = http.NoBody // net/http's HTTP/2 gives one to every request, and a server behind may not expect it
	}
	h.ServeHTTP(&a.answer, out)
}

// escapedPath returns the path as the client wrote it.
func escapedPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath()
}
