package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
)

// ErrNotSent marks an error of a request of which no byte was sent: it is safe to
// send it again, whatever its method.
var ErrNotSent = errors.New("not sent")

// ClientOptions of a Client. The zero value of each field is its default.
type ClientOptions struct {
	// Dial connects; default a net.Dialer with a timeout of 5 s.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS, if set, is spoken on each connection. ServerName defaults to the host
	// of the address.
	TLS *tls.Config
	// MaxIdle connections are kept; default 256.
	MaxIdle int
	// IdleTimeout is how long a connection is kept unused; default 30 s. It has
	// to be shorter than the server's own.
	IdleTimeout time.Duration
	// MaxHeadBytes of an answer; default 65536.
	MaxHeadBytes int
	// ReadTimeout is how long the server may send nothing in the middle of a
	// body; default: for ever. The request's context bounds all of it.
	ReadTimeout time.Duration
}

func (o *ClientOptions) check(address string) error {
	if o.MaxIdle < 0 || o.IdleTimeout < 0 || o.MaxHeadBytes < 0 || o.ReadTimeout < 0 {
		return fmt.Errorf("http1: client of %s: %w: a limit is negative", address, banyan.ErrInvalid)
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || !validPort(port) {
		return fmt.Errorf("http1: client of %q: %w: want host:port", address, banyan.ErrInvalid)
	}
	return nil
}

func (o *ClientOptions) defaults(address string) {
	set(&o.MaxIdle, 256)
	set(&o.IdleTimeout, 30*time.Second)
	set(&o.MaxHeadBytes, 64<<10)
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	}
	if o.TLS != nil && o.TLS.ServerName == "" {
		host, _, _ := net.SplitHostPort(address) // check has seen it
		o.TLS = o.TLS.Clone()
		o.TLS.ServerName = host
	}
}

// Client calls one server, over as many connections as calls are under way, and
// keeps them. It is an http.RoundTripper that ignores the host of the URL: what
// it sends is Request.Host and the path and query of Request.URL (URL.Opaque, if
// it is set, goes out byte for byte).
//
// A call whose connection was kept and turns out dead before a byte of the
// answer came is sent again on a new one, if its method is idempotent and its
// body is here still. Nothing else is sent twice. That adds at most a fifth to the
// calls, and what a server's restart needs: a server that takes calls and drops
// their connections is not asked twice each time.
type Client struct {
	address string
	options ClientOptions

	mu     sync.Mutex
	idle   []*clientConn // guarded by mu; the oldest first
	closed bool          // guarded by mu
	spare  int           // guarded by mu; fifths of calls that may be sent again
}

// NewClient returns a client of the server at host:port. A nil ClientOptions is
// the default. Close releases its connections.
func NewClient(address string, options *ClientOptions) (*Client, error) {
	var o ClientOptions
	if options != nil {
		o = *options
	}
	if err := o.check(address); err != nil {
		return nil, err
	}
	o.defaults(address)
	return &Client{address: address, options: o, spare: repeatCost * o.MaxIdle}, nil
}

// repeatCost is how many calls pay for one that is sent again. At a restart all
// kept connections turn out dead, so that many may be sent again at once.
const repeatCost = 5

// repeat pays for sending a call again; false: it may not be.
func (c *Client) repeat() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spare < repeatCost {
		return false
	}
	c.spare -= repeatCost
	return true
}

// RoundTrip implements http.RoundTripper. An error that is ErrNotSent has sent
// nothing; any other may have been acted on by the server. A broken body of the
// request is returned as the error of reading it.
func (c *Client) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{request: r, client: c}
	conn, err := c.take(x)
	if err != nil {
		x.closeBody()
		return nil, err
	}
	resp, err := x.on(conn)
	if err == nil || !x.again(conn) {
		return resp, err
	}
	if conn, err = c.dial(r.Context()); err != nil {
		return nil, err
	}
	return x.on(conn)
}

// take returns a kept connection, or a new one.
func (c *Client) take(x *exchange) (*clientConn, error) {
	for {
		conn := c.pop()
		if conn == nil {
			return c.dial(x.request.Context())
		}
		// One that the server has closed is of no use. One on which it has sent
		// something since its last answer is worse: that would be taken for the
		// answer to this call, and may be what somebody else uploaded (a body behind
		// a HEAD or a 204, or a Content-Length that is too small; RFC 9112 §9.2).
		if conn.pulse.alive() {
			conn.reused = true
			return conn, nil
		}
		conn.close()
	}
}

// pop takes a kept connection, if there is one.
func (c *Client) pop() *clientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spare = min(c.spare+1, repeatCost*c.options.MaxIdle)
	n := len(c.idle) - 1
	if n < 0 {
		return nil
	}
	conn := c.idle[n]
	c.idle[n] = nil
	c.idle = c.idle[:n]
	if time.Since(conn.since) > c.options.IdleTimeout { // so are all below it
		for i, older := range c.idle {
			older.close()
			c.idle[i] = nil
		}
		c.idle = c.idle[:0]
		conn.close()
		return nil
	}
	return conn
}

// put keeps a connection.
func (c *Client) put(conn *clientConn) {
	conn.in.release()
	conn.since = time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= c.options.MaxIdle {
		conn.close()
		return
	}
	c.idle = append(c.idle, conn)
}

func (c *Client) dial(ctx context.Context) (*clientConn, error) {
	conn, err := c.options.Dial(ctx, "tcp", c.address)
	if err != nil {
		return nil, fmt.Errorf("http1: call %s: %w: %w: %w", c.address, ErrNotSent, banyan.ErrUnavailable, err)
	}
	if c.options.TLS != nil {
		secure := tls.Client(conn, c.options.TLS)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("http1: call %s: TLS: %w: %w: %w", c.address, ErrNotSent, banyan.ErrUnavailable, err)
		}
		conn = secure
	}
	cc := &clientConn{client: c, conn: conn, in: reader{conn: conn}}
	cc.deadline.set = conn.SetDeadline
	cc.pulse.init(conn)
	return cc, nil
}

// CloseIdle closes connections that were not used for a time.
func (c *Client) CloseIdle(unused time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.idle) && time.Since(c.idle[n].since) >= unused {
		c.idle[n].close()
		n++
	}
	clear(c.idle[:n])
	c.idle = append(c.idle[:0], c.idle[n:]...)
}

// Close closes the kept connections, and those of calls under way when they end.
// Later calls work still, but keep no connection: whoever closes a Client need
// not know whether the last call has begun.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.CloseIdle(0)
	return nil
}
