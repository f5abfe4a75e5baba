package gateway

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/banyanhq/banyan/internal/http1"
)

// client is who a request comes from, as far as trusted proxies say.
type client struct {
	address string // without port
	scheme  string // http or https
	host    string // lower case, without port and trailing dot
	via     string // X-Forwarded-For for the upstream
	unclear bool   // a trusted proxy says of it what is no address: address is the proxy's
}

// known returns the address as rules compare it, without a zone and with IPv4 as
// such; false: nobody can say whose it is.
func (c *client) known() (netip.Addr, bool) {
	a, err := netip.ParseAddr(c.address)
	return a.Unmap().WithZone(""), err == nil && !c.unclear
}

// arrival is what the gateway knows about a request, in its context.
type arrival struct {
	context.Context //nolint:containedctx // it is one
	client          *client
	host            string // as the client wrote it
	path            string // canonical
	route           *Route
	trace           trace
	direct          bool   // the upstream's answer goes to the client as it comes
	fallback        bool   // the route's fallback answered
	untold          string // a header of auth.forward that the identity's value does not fit in
	answer          recorder
	cause           atomic.Pointer[string] // also set by who fetches for the cache
}

type arrivalKey struct{}

// Value implements context.Context.
func (a *arrival) Value(key any) any {
	switch key.(type) {
	case arrivalKey:
		return a
	case http1.InformKey:
		return a.inform
	}
	return a.Context.Value(key)
}

// inform passes an informational answer on, such as early hints (RFC 8297).
func (a *arrival) inform(status int, header http.Header) {
	if status == http.StatusContinue || !a.direct {
		return // it is between the gateway and the upstream, or somebody keeps the answer for others
	}
	h := a.answer.Header()
	for name, values := range header {
		if !hop[name] {
			h[name] = values
		}
	}
	a.answer.WriteHeader(status)
	for name := range header {
		delete(h, name)
	}
}

// arrivalOf returns what the gateway knows; outside of a gateway, nothing.
func arrivalOf(ctx context.Context) *arrival {
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
		return a
	}
	return &arrival{client: &client{}, path: "/", route: &Route{}}
}

// newClient finds out who sent a request. Of X-Forwarded-For the last address
// that no trusted proxy has is taken: what is left of it is the client's own
// claim (RFC 7239 §8.1).
func newClient(r *http.Request, trusted []netip.Prefix) *client {
	peer := r.RemoteAddr
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	c := &client{address: peer, via: peer, scheme: "http", host: hostOf(r.Host)}
	if r.TLS != nil {
		c.scheme = "https"
	}
	if len(trusted) == 0 || !contained(peer, trusted) {
		return c
	}
	if scheme := r.Header.Get("X-Forwarded-Proto"); scheme == "http" || scheme == "https" {
		c.scheme = scheme
	}
	var hops []string
	for _, line := range r.Header["X-Forwarded-For"] {
		for hop := range strings.SplitSeq(line, ",") {
			hops = append(hops, strings.TrimSpace(hop))
		}
	}
	for i := len(hops) - 1; i >= 0; i-- {
		address, err := netip.ParseAddr(hops[i])
		if err != nil {
			c.unclear = true
			break // a name, or nonsense: nothing further left can be believed
		}
		c.address = address.Unmap().String()
		c.via = c.address + ", " + c.via
		if !contained(c.address, trusted) {
			break
		}
	}
	return c
}

func contained(address string, prefixes []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hostOf returns a host as routes are matched with it.
func hostOf(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
