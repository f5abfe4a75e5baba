package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The pace that clients have to keep, over HTTP/2 as internal/http1 asks it over
// HTTP/1.1, in bytes a second on average after a grace.
const (
	paceRate  = 240
	paceGrace = 5 * time.Second
)

// allowance is how long a client may take for so many bytes.
func allowance(n int64) time.Duration {
	return paceGrace + time.Duration(n/paceRate)*time.Second
}

// paced ends the streams of clients that are too slow with their bodies, or take
// nothing of their answers: net/http waits for ever, as long as the connection
// answers pings. Calls of gRPC are left alone: their bodies are streams in which
// nothing may come for hours. That an answer is one of gRPC the server behind has to
// say; a client could say it of any request.
func paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fickle, ok := r.Context().Value(fickleKey{}).(*fickle); ok {
			begin, ctx := time.Now(), r.Context()
			defer func() { fickle.ended(ctx.Err() != nil && time.Since(begin) < rapid) }()
		}
		if r.Context().Err() != nil {
			return // its client has given it up already: nobody else is to work for it
		}
		control := http.NewResponseController(w)
		answer := &pacedWriter{ResponseWriter: w, control: control, calls: remote(r.Header)}
		if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 && !answer.calls {
			r = r.WithContext(r.Context()) // a copy: the request is the server's
			r.Body = &pacedBody{ReadCloser: r.Body, control: control, begin: time.Now()}
		}
		h.ServeHTTP(answer, r)
		if answer.free() {
			return
		}
		// What the server still holds back it writes after this.
		_ = control.SetWriteDeadline(time.Now().Add(allowance(0))) // fails on a stream that is over
	})
}

// fickle is a connection of HTTP/2, and how many of its streams the client gave up
// at once. That costs a client nothing and a server everything (CVE-2023-44487), so
// that who does little else loses the connection, and gets no other one of HTTP/2 for
// a time. Who gives up later, as who watches something does, is not meant, and
// neither is a proxy that carries many clients.
type fickle struct {
	conn    net.Conn
	shunned *shunned
	streams atomic.Int64
	given   atomic.Int64 // up
}

type fickleKey struct{}

const (
	// fickleStreams of a connection are looked at before anything is held against
	// it, and fickleShare of them, one in so many, may be given up.
	fickleStreams = 100
	fickleShare   = 2
	// rapid is how soon that is.
	rapid = 250 * time.Millisecond
)

// watch is for http.Server.ConnContext.
func (s *shunned) watch(ctx context.Context, conn net.Conn) context.Context {
	if contained(addressOf(conn.RemoteAddr()).String(), s.proxies) {
		return ctx
	}
	return context.WithValue(ctx, fickleKey{}, &fickle{conn: conn, shunned: s})
}

// shunned are the addresses whose connections of HTTP/2 were closed for what they
// did.
type shunned struct {
	proxies []netip.Prefix // never

	mu    sync.Mutex
	until map[netip.Addr]time.Time // guarded by mu
}

const (
	// shunning is how long an address is shunned.
	shunning = 10 * time.Second
	// maxShunned addresses are known; when there are more, all are forgotten.
	maxShunned = 10_000
)

// add shuns an address.
func (s *shunned) add(a net.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) >= maxShunned {
		s.until = map[netip.Addr]time.Time{}
	}
	s.until[blockOf(a)] = time.Now().Add(shunning)
}

// has reports whether an address is shunned.
func (s *shunned) has(a net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.until) == 0 {
		return false
	}
	at := blockOf(a)
	until, ok := s.until[at]
	if ok && time.Now().After(until) {
		delete(s.until, at)
		return false
	}
	return ok
}

// addressOf returns an address without its port; those of other networks are one.
func addressOf(a net.Addr) netip.Addr {
	at, _ := netip.ParseAddrPort(a.String())
	return at.Addr().Unmap()
}

// blockOf returns who is shunned: see networkOf.
func blockOf(a net.Addr) netip.Addr {
	at := addressOf(a)
	if network, err := at.Prefix(64); err == nil && !at.Is4() {
		return network.Addr()
	}
	return at
}

// ended counts a stream.
func (f *fickle) ended(given bool) {
	streams := f.streams.Add(1)
	if !given {
		return
	}
	if given := f.given.Add(1); streams >= fickleStreams && given > streams/fickleShare {
		f.shunned.add(f.conn.RemoteAddr())
		_ = f.conn.Close() // it may be closed already
	}
}

// remote reports whether a header is one of gRPC.
func remote(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/grpc")
}

type pacedBody struct {
	io.ReadCloser
	control  *http.ResponseController
	begin    time.Time
	received int64
	until    time.Time // the deadline
}

// Read implements io.Reader.
func (b *pacedBody) Read(p []byte) (int, error) {
	// Setting a deadline costs more than reading what is here: it may be a
	// second too early or late.
	if until := b.begin.Add(allowance(b.received)); until.Sub(b.until) >= time.Second {
		b.until = until
		_ = b.control.SetReadDeadline(until) // fails on a stream that is over
	}
	n, err := b.ReadCloser.Read(p)
	b.received += int64(n)
	return n, err
}

// pacedWriter is a ResponseWriter whose stream ends if a write takes too long.
type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	calls   bool        // its request is one of gRPC
	timer   *time.Timer // nil before the first write that has to keep the pace

	mu      sync.Mutex
	writing bool // guarded by mu
}

// free reports whether the answer need not keep the pace.
func (w *pacedWriter) free() bool { return w.calls && remote(w.Header()) }

// begin allows a write so much time.
func (w *pacedWriter) begin(limit time.Duration) {
	if w.free() {
		return
	}
	w.mu.Lock()
	w.writing = true
	w.mu.Unlock()
	if w.timer == nil {
		w.timer = time.AfterFunc(limit, w.expire)
		return
	}
	w.timer.Reset(limit)
}

func (w *pacedWriter) end() {
	if w.timer == nil {
		return
	}
	w.timer.Stop()
	w.mu.Lock()
	w.writing = false
	w.mu.Unlock()
}

// expire ends the stream, and with it the write under way. It must not touch the
// stream later than that: the server may have forgotten it.
func (w *pacedWriter) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing {
		_ = w.control.SetWriteDeadline(time.Unix(1, 0)) // fails on a stream that is over
	}
}

// Write implements io.Writer.
func (w *pacedWriter) Write(p []byte) (int, error) {
	w.begin(allowance(int64(len(p))))
	defer w.end()
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (w *pacedWriter) FlushError() error {
	w.begin(allowance(0))
	defer w.end()
	return w.control.Flush()
}

// Flush implements http.Flusher.
func (w *pacedWriter) Flush() { _ = w.FlushError() } // the next write, or the end, shows what is wrong with the stream

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
