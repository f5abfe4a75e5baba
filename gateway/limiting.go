package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/auth"
	"github.com/banyanhq/banyan/gateway/limit"
)

// RouteLimit bounds the requests of a route over time. What is refused costs
// nothing.
type RouteLimit struct {
	// Rate is such as "100/s" or "1000/1h burst 50".
	Rate string `yaml:"rate"`
	// Per says whose requests are counted together: "client" (its address; the
	// default), "identity" (and the address of who has none), "route" (all), or
	// "header NAME".
	Per string `yaml:"per"`
	// Shared counts the requests of all gateways, in the store of the limits.
	Shared bool `yaml:"shared"`
	// Down is what a shared limit does while that store does not answer: "share"
	// (each gateway keeps its part of the limit; the default), "open" or
	// "closed".
	Down string `yaml:"down"`
}

// LimitConfig is what the limits of all routes share.
type LimitConfig struct {
	// Store counts for all gateways: the URL of a database, such as
	// postgres://gateway@db.internal/limits or redis://cache.internal:6379. Default: Options.LimitStore, if any.
	Store string `yaml:"store"`
	// Keys that are remembered; default a million, in 44 MB. More evict those
	// that are nearest to having their whole burst again.
	Keys int `yaml:"keys"`
	// Gateways that share limits, for what each may do alone; default 1.
	Gateways int `yaml:"gateways"`
}

// limits are the counters of a gateway. They live through reloads: a new
// configuration must not give everybody a new burst.
type limits struct {
	config LimitConfig
	memory *limit.Memory
	shared *limit.Cluster // nil: there is no store
	opened io.Closer      // the store, if it was opened for this; else nil
}

func (c LimitConfig) open(o *Options) (*limits, error) {
	memory, err := limit.NewMemory(&limit.MemoryOptions{Keys: c.Keys})
	if err != nil {
		return nil, err
	}
	l := &limits{config: c, memory: memory}
	store := o.LimitStore
	if c.Store != "" {
		if o.OpenLimitStore == nil {
			return nil, fmt.Errorf("%w: this program cannot open a store for limits", banyan.ErrInvalid)
		}
		opened, err := o.OpenLimitStore(c.Store)
		if err != nil {
			return nil, err
		}
		store, l.opened = opened, opened
	}
	if store != nil {
		if l.shared, err = limit.NewCluster(store, &limit.ClusterOptions{Processes: c.Gateways, Keys: c.Keys}); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func (l *limits) close() error {
	if l == nil {
		return nil
	}
	if l.shared != nil {
		l.shared.Close()
	}
	if l.opened != nil {
		return l.opened.Close()
	}
	return nil
}

// wrap returns a handler behind the limits of a route: those of this gateway, and
// the shared ones.
func (l *limits) wrap(r *Route, next http.Handler) (http.Handler, error) {
	var local, shared []limit.Rule
	for i, config := range r.Limits {
		rule, err := config.rule(fmt.Sprintf("%s/%d", printableName(r.Name), i+1))
		if err != nil {
			return nil, err
		}
		if config.Shared {
			shared = append(shared, rule)
		} else {
			local = append(local, rule)
		}
	}
	if len(shared) > 0 {
		if l.shared == nil {
			return nil, fmt.Errorf("a limit is shared, and there is no store for that: set the store of the limits")
		}
		limiter, err := limit.New(shared, &limit.Options{Cluster: l.shared})
		if err != nil {
			return nil, err
		}
		next = limiter.Handler(next)
	}
	if len(local) > 0 {
		limiter, err := limit.New(local, &limit.Options{Memory: l.memory})
		if err != nil {
			return nil, err
		}
		next = limiter.Handler(next)
	}
	return next, nil
}

// printableName is a route's name as it may stand in a header.
func printableName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, name)
	return name[:min(len(name), 100)]
}

func (c RouteLimit) rule(name string) (limit.Rule, error) {
	rule := limit.Rule{Name: name}
	var err error
	if rule.Rate, err = limit.ParseRate(c.Rate); err != nil {
		return rule, err
	}
	switch c.Down {
	case "", "share":
	case "open":
		rule.Down = limit.DownOpen
	case "closed":
		rule.Down = limit.DownClosed
	default:
		return rule, fmt.Errorf("%q is not one of share, open, closed", c.Down)
	}
	rule.Key, err = keyOf(c.Per)
	return rule, err
}

// keyOf returns whose requests are counted together.
func keyOf(per string) (func(*http.Request) string, error) {
	address := func(r *http.Request) string { return "a" + networkOf(arrivalOf(r.Context()).client.address) }
	kind, name, _ := strings.Cut(per, " ")
	switch {
	case per == "" || per == "client":
		return address, nil
	case per == "identity":
		return func(r *http.Request) string {
			if id, ok := auth.From(r.Context()); ok {
				return "i" + id.Key()
			}
			return address(r)
		}, nil
	case per == "route":
		return nil, nil
	case kind == "header" && headerName.MatchString(name):
		return func(r *http.Request) string { return r.Header.Get(name) }, nil
	}
	return nil, fmt.Errorf(`%q is not one of "client", "identity", "route", "header NAME"`, per)
}

// networkOf returns what belongs to one client: an address of IPv4, or the /64 of
// one of IPv6, within which everybody has as many as they like (RFC 6177 §2).
func networkOf(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	network, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

// checkLimits reports what is wrong with limits. Whether there is a store for
// shared ones only the gateway knows.
func (c *Config) checkLimits(found *mistakes) {
	if c.Limits.Keys < 0 || c.Limits.Gateways < 0 {
		found.add("$.limits", "a number is negative")
	}
	for i := range c.Routes {
		for j, l := range c.Routes[i].Limits {
			_, err := l.rule("check")
			checkPolicies(fmt.Sprintf("$.routes[%d].limits[%d]", i, j), err, found)
		}
		if n := len(c.Routes[i].Limits); n > 4 {
			found.add(fmt.Sprintf("$.routes[%d].limits", i), "a route has at most 4 limits, not %d", n)
		}
	}
}
