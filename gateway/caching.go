package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/gateway/cache"
)

// CacheConfig is the cache that the routes share.
type CacheConfig struct {
	// Megabytes are how large it may grow; default 64.
	Megabytes int64 `yaml:"megabytes"`
	// Status adds a Cache-Status header (RFC 9211) to answers.
	Status bool `yaml:"status"`
	// Events purge answers. The gateway itself reads no log: who runs it has to,
	// as the binary does.
	Events []CacheEvents `yaml:"events"`
}

// CacheEvents are the events of a log that make answers old.
type CacheEvents struct {
	// Store is the URL of the event store.
	Store string `yaml:"store"`
	// Behind names the projections that the answers are made from: an answer is
	// purged when they have handled the event. Without them it may be fetched
	// again before they have, and stay old.
	Behind []string `yaml:"behind"`
	// Views is the URL of the projections' database; default: Store.
	Views string `yaml:"views"`
	// Purge has the tags that an event of a type makes old; see
	// cache.NewInvalidator.
	Purge map[string][]string `yaml:"purge"`
	// Soft makes answers stale instead of removing them: they are served while
	// new ones are fetched, as stale_while_revalidate has it.
	Soft bool `yaml:"soft"`
}

// Invalidator returns what purges a cache by these events.
func (e *CacheEvents) Invalidator(c *cache.Cache) (*cache.Invalidator, error) {
	return cache.NewInvalidator(c, e.Purge, &cache.InvalidatorOptions{Soft: e.Soft})
}

// same reports whether two configurations can have one cache.
func (c *CacheConfig) same(other *CacheConfig) bool {
	return c.Megabytes == other.Megabytes && c.Status == other.Status
}

// RouteCache stores answers of a route by RFC 9111: those that say that they may
// be stored, and with a TTL those that say nothing.
type RouteCache struct {
	// TTL of answers that do not say how long they are good.
	TTL time.Duration `yaml:"ttl"`
	// StaleWhileRevalidate and StaleIfError are for answers that do not say it
	// (RFC 5861).
	StaleWhileRevalidate time.Duration `yaml:"stale_while_revalidate"`
	StaleIfError         time.Duration `yaml:"stale_if_error"`
	// Jitter takes up to this share off each lifetime.
	Jitter float64 `yaml:"jitter"`
	// PerIdentity stores an answer for each identity apart. Without it, answers
	// to requests with credentials are stored only if they are public.
	PerIdentity bool `yaml:"per_identity"`
	// Cookies, Headers and Query are the only ones that change an answer; the
	// others are not sent on. IgnoreQuery are the ones that do not.
	Cookies     []string `yaml:"cookies"`
	Headers     []string `yaml:"headers"`
	Query       []string `yaml:"query"`
	IgnoreQuery []string `yaml:"ignore_query"`
	// Tags are given to each answer, beside its own Surrogate-Key.
	Tags []string `yaml:"tags"`
}

// retiring are caches of earlier configurations that still fetch what they were
// asked for.
type retiring struct {
	all sync.WaitGroup

	mu     sync.Mutex
	caches map[*cache.Cache]bool // guarded by mu
}

// add lets a cache come to its end.
func (r *retiring) add(c *cache.Cache) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.caches == nil {
		r.caches = map[*cache.Cache]bool{}
	}
	r.caches[c] = true
	r.all.Go(func() {
		c.Retire()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.caches, c)
	})
}

// end ends what is left.
func (r *retiring) end() {
	r.mu.Lock()
	left := slices.Collect(maps.Keys(r.caches))
	r.mu.Unlock()
	for _, c := range left {
		c.Close()
	}
	r.all.Wait()
}

func (c *CacheConfig) open() (*cache.Cache, error) {
	o := &cache.Options{Bytes: c.Megabytes << 20}
	if c.Status {
		o.CacheStatus = "Banyan"
	}
	return cache.New(o)
}

// wrap returns the handler behind the cache.
func (r *RouteCache) wrap(route string, c *cache.Cache, next http.Handler) (http.Handler, error) {
	rules := &cache.Rules{
		Partition: route, // two routes may have the same URLs under different conditions
		Unseen:    []string{"X-Forwarded-For", "Traceparent"},
		TTL:       r.TTL, StaleWhileRevalidate: r.StaleWhileRevalidate, StaleIfError: r.StaleIfError, Jitter: r.Jitter,
		Cookies: r.Cookies, Headers: r.Headers, Query: r.Query, IgnoreQuery: r.IgnoreQuery,
	}
	if r.PerIdentity {
		rules.Principal = func(r *http.Request) string {
			id, ok := auth.From(r.Context())
			if !ok {
				return ""
			}
			return id.Key()
		}
	}
	// An API key and a client certificate are in no header that a cache knows.
	rules.Credentials = identified
	if len(r.Tags) > 0 {
		rules.Tags = func(*http.Request) []string { return r.Tags }
	}
	return c.Handler(rules, next)
}

// identified reports whether a credential proved who sent a request.
func identified(r *http.Request) bool {
	_, ok := auth.From(r.Context())
	return ok
}

// checkCaches reports what is wrong with the cache and its routes.
func (c *Config) checkCaches(found *mistakes) {
	opened, err := c.Cache.open()
	if err != nil {
		checkPolicies("$.cache", err, found)
		return
	}
	defer opened.Close()
	for i := range c.Cache.Events {
		e, path := &c.Cache.Events[i], fmt.Sprintf("$.cache.events[%d]", i)
		_, err := e.Invalidator(opened)
		checkPolicies(path+".purge", err, found)
		if e.Store == "" || len(e.Purge) == 0 {
			found.add(path, "both the URL of a store, and what its events purge, are needed")
		}
	}
	for i := range c.Routes {
		if r := c.Routes[i].Cache; r != nil {
			_, err := r.wrap(c.Routes[i].Name, opened, http.NotFoundHandler())
			checkPolicies(fmt.Sprintf("$.routes[%d].cache", i), err, found)
		}
	}
}
