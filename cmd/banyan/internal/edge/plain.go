package edge

import (
	"context"
	"net"
	"net/http"

	"github.com/banyanhq/banyan/gateway"
)

// plain is an address for plain HTTP beside TLS.
type plain struct {
	front    *gateway.Front
	listener net.Listener
}

// openPlain binds it. It reads requests as strictly as the front door.
func (e *Edge) openPlain(ctx context.Context, c *gateway.Config) (err error) {
	p := &plain{}
	if p.listener, err = e.listen(ctx, "redirect_http", c.RedirectHTTP); err != nil {
		return err
	}
	e.plain = p // from now on release closes it
	var h http.Handler = gateway.HTTPSRedirect(portOf(p.listener), portOf(e.listener))
	if e.authority != nil {
		h = e.authority.HTTPChallenge(h)
	}
	p.front, err = gateway.NewFront(h, &gateway.FrontOptions{Log: e.options.Log, MaxConnections: c.MaxConnections})
	return err
}

// portOf returns the port of a listener; 0: it has none.
func portOf(l net.Listener) int {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// PlainAddr returns the address for plain HTTP beside TLS, "" if there is none.
func (e *Edge) PlainAddr() string {
	if e.plain == nil {
		return ""
	}
	return e.plain.listener.Addr().String()
}
