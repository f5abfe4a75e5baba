package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// FrontOptions of a Front. The zero value of each field is its default.
type FrontOptions struct {
	// TLS, if set, is spoken on every connection; HTTP/2 is offered, and what
	// answers ACME's challenges if that is in it.
	TLS *tls.Config
	// Proxies are the networks of proxies that carry many clients over one
	// connection: none is closed because some of them give up their requests.
	Proxies []netip.Prefix
	// Log gets what handlers panic with, and at level debug what is refused;
	// default: nothing is logged.
	Log *slog.Logger
	// Drain is how long requests under way may take when Run ends; default 30 s.
	Drain time.Duration
	// MaxConnections at once; more wait to be accepted. Default 20000, or fewer where
	// the memory is limited (GOMEMLIMIT): as many as fit into half of it, at 128 KiB
	// each, which is what one that works takes.
	MaxConnections int
}

// Front serves a handler to the outside: HTTP/1.1 by the strict server of this
// module, HTTP/2 (over TLS, or in the clear by prior knowledge) by net/http.
type Front struct {
	options FrontOptions
	one     *http1.Server
	two     *http.Server
	hand    *handover // of connections to two
	running atomic.Bool
}

const (
	// handshakeTimeout of TLS.
	handshakeTimeout = 10 * time.Second
	maxHeadBytes     = 32 << 10
	// connectionBytes is what a connection that works takes, more or less.
	connectionBytes = 128 << 10
	// acmeProtocol is for challenges of an authority (RFC 8737).
	acmeProtocol = "acme-tls/1"
	// maxStreams of a connection of HTTP/2.
	maxStreams = 250
)

// NewFront returns a front door for a handler.
func NewFront(h http.Handler, options *FrontOptions) (*Front, error) {
	f := &Front{hand: newHandover()}
	if options != nil {
		f.options = *options
	}
	f.hand.shunned.proxies = f.options.Proxies
	if f.options.Drain < 0 || f.options.MaxConnections < 0 {
		return nil, fmt.Errorf("gateway: front: %w: a limit is negative", banyan.ErrInvalid)
	}
	set(&f.options.Drain, 30*time.Second)
	set(&f.options.MaxConnections, int(min(20_000, max(100, debug.SetMemoryLimit(-1)/2/connectionBytes))))
	if f.options.Log == nil {
		f.options.Log = slog.New(slog.DiscardHandler)
	}
	if f.options.TLS != nil {
		f.options.TLS = f.options.TLS.Clone()
		acme := slices.Contains(f.options.TLS.NextProtos, acmeProtocol)
		f.options.TLS.NextProtos = protocols()
		if acme {
			f.options.TLS.NextProtos = append(f.options.TLS.NextProtos, acmeProtocol)
		}
	}
	var err error
	f.one, err = http1.NewServer(h, &http1.Options{
		MaxHeadBytes: maxHeadBytes,
		Preface:      f.hand.give,
		Panicked: func(r *http.Request, value any, stack []byte) {
			f.options.Log.Error("panic", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(value), "stack", string(stack))
		},
		Refused: func(remote net.Addr, why *http1.Error) {
			f.options.Log.Debug("refused", "client", remote.String(), "status", why.Status, "reason", why.Reason)
		},
	})
	if err != nil {
		return nil, err
	}
	f.two = &http.Server{
		Handler: paced(known(h)), MaxHeaderBytes: maxHeadBytes, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second,
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		Protocols: new(http.Protocols), ConnContext: f.hand.shunned.watch,
		ErrorLog: slog.NewLogLogger(f.options.Log.Handler(), slog.LevelDebug),
	}
	f.two.Protocols.SetHTTP2(true)
	f.two.Protocols.SetUnencryptedHTTP2(true)
	return f, nil
}

// known refuses methods as internal/http1 does. net/http lets every token pass, and
// one that no route names would go to the route for all of them, past the one that
// guards GET; to many servers "get" is GET.
func known(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			Problem(w, http.StatusMethodNotAllowed, "CONNECT and TRACE are not served")
		case knownMethod(r.Method) == otherMethod:
			Problem(w, http.StatusNotImplemented, "unknown method")
		default:
			h.ServeHTTP(w, r)
		}
	})
}

// Run serves a listener until the context ends. Then it closes the listener,
// lets requests under way finish, at most FrontOptions.Drain, and returns nil. It
// may be called once.
func (f *Front) Run(ctx context.Context, l net.Listener) error {
	if !f.running.CompareAndSwap(false, true) {
		return fmt.Errorf("gateway: front: %w: Run was called before", banyan.ErrInvalid)
	}
	failed := make(chan error, 2)
	var serving sync.WaitGroup
	serving.Go(func() { failed <- f.two.Serve(f.hand) })
	serving.Go(func() { failed <- f.accept(l) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	err = errors.Join(err, f.end(l))
	serving.Wait()
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// accept takes connections.
func (f *Front) accept(l net.Listener) error {
	free := make(chan bool, f.options.MaxConnections)
	var conns sync.WaitGroup
	defer conns.Wait()
	for delay := time.Duration(0); ; {
		free <- true
		conn, err := l.Accept()
		if err == nil {
			delay = 0
			conns.Go(func() {
				defer func() { <-free }()
				f.serve(conn)
			})
			continue
		}
		<-free
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of descriptors, mostly: those of connections under way come back.
		f.options.Log.Warn("accept", "error", err.Error())
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		time.Sleep(delay)
	}
}

// serve serves a connection to its end, or hands it over.
func (f *Front) serve(conn net.Conn) {
	if f.options.TLS == nil {
		f.one.ServeConn(conn)
		return
	}
	secure := tls.Server(conn, f.options.TLS)
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
	err := secure.HandshakeContext(ctx)
	cancel()
	switch {
	case err != nil:
		f.options.Log.Debug("TLS handshake", "client", conn.RemoteAddr().String(), "error", err.Error())
		_ = conn.Close()
	case secure.ConnectionState().NegotiatedProtocol == "h2":
		f.hand.give(secure)
	case secure.ConnectionState().NegotiatedProtocol == acmeProtocol:
		_ = secure.Close() // the handshake was all that there was to it
	default:
		f.one.ServeConn(secure)
	}
}

// end drains.
func (f *Front) end(l net.Listener) error {
	err := l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.options.Drain)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		if f.one.Shutdown(ctx) != nil {
			_ = f.one.Close() // what is left is cut off
		}
	})
	both.Go(func() {
		if f.two.Shutdown(ctx) != nil {
			_ = f.two.Close() // what is left is cut off
		}
	})
	both.Wait()
	return err
}

// handover is a listener that is given its connections.
type handover struct {
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
	shunned shunned
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handover) give(c net.Conn) {
	if h.shunned.has(c.RemoteAddr()) {
		_ = c.Close()
		return
	}
	select {
	case h.conns <- c:
	case <-h.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
