package http1

import (
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

// serverConn is one connection.
type serverConn struct {
	server *Server
	conn   net.Conn
	in     reader
	out    []byte // what is not written yet; its memory is kept between requests
	remote string
	tls    *tls.ConnectionState

	idle     atomic.Bool // waits for a request
	watch    watch
	reads    deadline
	writes   deadline
	hijacked bool // by the handler of the request under way
}

func newServerConn(s *Server, conn net.Conn) *serverConn {
	c := &serverConn{server: s, conn: conn, in: reader{conn: conn}, remote: conn.RemoteAddr().String()}
	c.reads.set, c.writes.set = conn.SetReadDeadline, conn.SetWriteDeadline
	c.watch.conn = c
	if t, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		state := t.ConnectionState()
		c.tls = &state
	}
	return c
}

func (c *serverConn) serve() {
	defer func() {
		if !c.hijacked {
			_ = c.conn.Close()
			c.in.r = c.in.w
			c.in.release()
		}
	}()
	for c.await() {
		text, refused, err := c.readHead()
		if err != nil {
			return // gone, or too slow: there is nobody to tell
		}
		if refused == nil && !c.one(text) {
			return
		}
		if refused != nil {
			c.refuse(refused)
			return
		}
	}
}

// await waits for the first byte of the next request.
func (c *serverConn) await() bool {
	if c.in.buffered() > 0 {
		return true
	}
	c.idle.Store(true)
	c.reads.within(c.server.options.IdleTimeout)
	c.lastCall()
	c.in.release()
	err := c.in.fill()
	c.idle.Store(false)
	return err == nil
}

// lastCall shortens the wait for a request when the server is closing. Whatever
// reads from the connection after that sets a deadline of its own.
func (c *serverConn) lastCall() {
	if c.server.closing.Load() && c.idle.Load() {
		c.reads.at(time.Now().Add(c.server.options.LastCall))
	}
}

func (c *serverConn) abort(cause error) {
	c.watch.end(cause)
	_ = c.conn.Close()
}

// preface begins a connection of HTTP/2 (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\n"

// readHead reads up to the empty line. What is refused before it is found is
// known by its size or its line ends.
func (c *serverConn) readHead() (text string, refused *Error, err error) {
	o := &c.server.options
	var l lines
	skipped, timed := false, false
	for {
		n, refused := l.headEnd(c.in.buf[c.in.r:c.in.w], o.MaxHeaderLines)
		if refused != nil {
			return "", refused, nil
		}
		if n == 2 && !skipped { // an empty line before a request is an old client's (RFC 9112 §2.2)
			c.in.r += n
			l, skipped = lines{}, true
			continue
		}
		if n > 0 {
			text = string(c.in.buf[c.in.r : c.in.r+n])
			c.in.r += n
			return text, nil, nil
		}
		if l.count == 0 && c.in.buffered() > o.MaxTargetBytes+64 {
			return "", refuse(http.StatusRequestURITooLong, "the target is too long"), nil
		}
		if !c.in.grow(o.MaxHeadBytes) {
			return "", refuse(http.StatusRequestHeaderFieldsTooLarge, "the header is too large"), nil
		}
		if !timed {
			c.reads.at(time.Now().Add(o.HeadTimeout))
			timed = true
		}
		if err := c.in.fill(); err != nil {
			return "", nil, err
		}
	}
}

// one serves a request; false: it was the connection's last.
func (c *serverConn) one(text string) bool {
	if text == preface && c.server.options.Preface != nil {
		c.in.r -= len(text)
		c.hijacked = true
		c.server.options.Preface(c.detach())
		return false
	}
	w := &response{conn: c, length: -1}
	r, refused := parseRequest(&w.life, text, c.server.methods)
	if refused == nil && len(r.RequestURI) > c.server.options.MaxTargetBytes {
		refused = refuse(http.StatusRequestURITooLong, "the target is too long")
	}
	if refused != nil {
		c.refuse(refused)
		return false
	}
	r.RemoteAddr, r.TLS = c.remote, c.tls
	w.request = r
	w.life.begin()
	defer w.life.end(nil)
	b := c.requestBody(w)
	c.watch.begin(&w.life, b)
	c.handle(w)
	if c.hijacked {
		return false
	}
	c.watch.stop()
	if c.finish(w, b) {
		return true
	}
	_ = c.conn.Close() // wakes who still reads the body; the buffer is about to be given back
	if b != nil {
		_ = b.Close() // it waits for them
	}
	return false
}

// requestBody gives the request its body; nil: it has none.
func (c *serverConn) requestBody(w *response) *body {
	r := w.request
	if r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil
	}
	b := &body{in: &c.in, left: r.ContentLength}
	if r.ContentLength < 0 {
		b.left, b.chunked = 0, true
		r.Trailer = http.Header{} // copies of the request share it
		b.tail = func(fields http.Header) error {
			maps.Copy(r.Trailer, fields)
			return nil
		}
	}
	begin := time.Now()
	b.pace = func(received int64) error {
		c.reads.at(begin.Add(c.server.allowance(received)))
		return nil
	}
	if r.Header["Expect"] != nil && r.ProtoMinor == 1 {
		w.expects = true
		b.ask = w.proceed
	}
	b.end = func(error) { c.watch.bodyEnded() }
	r.Body = b
	return b
}

// allowance is how long a client may take for so many bytes.
func (s *Server) allowance(n int64) time.Duration {
	return s.options.Grace + time.Duration(n/int64(s.options.MinRate))*time.Second
}

func (c *serverConn) handle(w *response) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		w.failed = true
		if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it this way too
			w.aborted = true
			return
		}
		c.server.options.Panicked(w.request, p, debug.Stack())
	}()
	c.server.handler.ServeHTTP(w, w.request)
}

// finish completes the answer; false: the connection ends.
func (c *serverConn) finish(w *response, b *body) bool {
	if w.failed {
		if w.committed || w.aborted {
			return false // half an answer must not look like a whole one
		}
		w.fail()
	}
	left := c.leave(w, b)
	if w.end() != nil {
		return false
	}
	// The answer is out before what the handler left of the body is read: its
	// client need not wait.
	if left && !w.close {
		_, err := io.CopyN(io.Discard, b, maxDrained)
		left = !errors.Is(err, io.EOF)
	}
	if left {
		c.linger()
	}
	return !left && !w.close
}

// maxDrained is what the server reads of a body that its handler left, to keep
// the connection.
const maxDrained = 64 << 10

// leave takes the body from its readers and reports whether some of it is left.
// If that cannot be read, this is the connection's last answer: nobody may take
// the rest of a body for the next request.
func (c *serverConn) leave(w *response, b *body) (left bool) {
	if b == nil {
		return false
	}
	if !b.mu.TryLock() { // someone reads it, such as a call to an upstream that has answered early
		c.reads.at(time.Unix(1, 0)) // long ago
		b.mu.Lock()
		b.fail(errBodyClosed)
	}
	defer b.mu.Unlock()
	if errors.Is(b.err, io.EOF) {
		return false
	}
	if b.err != nil || w.expects && !w.proceeded { // broken; or the client may send it, or not
		w.close = true
		if b.err == nil {
			b.fail(errBodyClosed)
		}
	}
	return true
}

// refuse answers what no handler sees, and ends the connection.
func (c *serverConn) refuse(why *Error) {
	c.server.options.Refused(c.conn.RemoteAddr(), why)
	text := `{"type":"about:blank","title":"` + http.StatusText(why.Status) + `","status":` + strconv.Itoa(why.Status) + `,"detail":"` + why.Reason + `"}`
	c.out = append(c.out[:0], "HTTP/1.1 "...)
	c.out = strconv.AppendInt(c.out, int64(why.Status), 10)
	c.out = append(append(append(c.out, ' '), http.StatusText(why.Status)...), "\r\nDate: "...)
	c.out = append(c.out, c.server.dateNow()...)
	c.out = append(c.out, "\r\nContent-Type: application/problem+json\r\nConnection: close\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(text)), 10)
	if why.Status == http.StatusMethodNotAllowed {
		c.out = append(c.out, "\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"...)
	}
	c.out = append(append(c.out, "\r\n\r\n"...), text...)
	if c.flush() == nil {
		c.linger()
	}
}

// flush writes what is collected.
func (c *serverConn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	err := c.write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *serverConn) write(p []byte) error {
	c.writes.within(c.server.allowance(int64(len(p))))
	_, err := c.conn.Write(p)
	return err
}

const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// linger reads for a moment what the client still sends: closing at once would
// reset the connection, and the client lose the answer (RFC 9112 §9.6).
func (c *serverConn) linger() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.reads.at(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.conn, lingerBytes) // an error ends it as well
}

// detach gives the connection away, with what is buffered. No deadline is left.
func (c *serverConn) detach() net.Conn {
	_ = c.conn.SetDeadline(time.Time{}) // a dead connection shows when it is used
	return &detached{Conn: c.conn, in: c.in}
}

// detached is a connection whose first bytes are read already.
type detached struct {
	net.Conn
	in reader
}

func (d *detached) Read(p []byte) (int, error) {
	if d.in.buffered() > 0 {
		return d.in.Read(p)
	}
	d.in.release()
	return d.Conn.Read(p)
}

// CloseWrite ends the sending side.
func (d *detached) CloseWrite() error {
	if half, ok := d.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
