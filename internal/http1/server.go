package http1

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves HTTP/1.1.
type Server struct {
	handler http.Handler
	options Options
	methods map[string]bool
	date    atomic.Pointer[date]

	closing atomic.Bool // no new requests on connections that answer now

	mu        sync.Mutex
	listeners map[net.Listener]bool // guarded by mu
	conns     map[*serverConn]bool  // guarded by mu
	closed    bool                  // guarded by mu
	served    sync.WaitGroup        // connections; Add under mu while not closed
}

// NewServer returns a server for a handler. A nil Options is the default.
func NewServer(handler http.Handler, options *Options) (*Server, error) {
	var o Options
	if options != nil {
		o = *options
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.defaults()
	return &Server{handler: handler, options: o, methods: o.methods(), listeners: map[net.Listener]bool{}, conns: map[*serverConn]bool{}}, nil
}

// Serve accepts connections until the listener fails, or Shutdown or Close is
// called; then it returns ErrServerClosed. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	if !s.track(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	defer s.untrack(l)
	var delay time.Duration
	for {
		conn, err := l.Accept()
		if err == nil {
			delay = 0
			go s.ServeConn(conn)
			continue
		}
		if s.closing.Load() {
			return ErrServerClosed
		}
		if !temporary(err) {
			return err
		}
		// Out of descriptors, mostly: those of connections under way come back.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		time.Sleep(delay)
	}
}

func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() && !errors.Is(err, net.ErrClosed)
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.listeners[l] = true
	return true
}

func (s *Server) untrack(l net.Listener) {
	_ = l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// ServeConn serves one connection and closes it, unless a handler hijacked it.
// TLS handshakes are the caller's.
func (s *Server) ServeConn(conn net.Conn) {
	c := newServerConn(s, conn)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = conn.Close()
		return
	}
	s.conns[c] = true
	s.served.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		s.served.Done()
	}()
	c.serve()
}

// Shutdown drains: no new connections, every answer from now on is the last of
// its connection, and connections without a request are closed after LastCall. It
// returns when all connections are, or with the context's error; Close ends the
// rest then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing.Store(true)
	for l := range s.listeners {
		_ = l.Close()
	}
	for c := range s.conns {
		c.lastCall()
	}
	s.mu.Unlock()
	drained := make(chan struct{})
	go func() {
		s.served.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends everything at once. Handlers under way see their context end.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	s.closed = true
	var errs []error
	for l := range s.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	for c := range s.conns {
		c.abort(ErrServerClosed)
	}
	return errors.Join(errs...)
}

// date is the value of the Date field for one second.
type date struct {
	second int64
	text   string
}

func (s *Server) dateNow() string {
	now := time.Now()
	if d := s.date.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &date{second: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
	s.date.Store(d)
	return d.text
}
