package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
)

// clientConn is a connection to the server.
type clientConn struct {
	client   *Client
	conn     net.Conn
	in       reader
	out      []byte // its memory is kept between calls
	deadline deadline
	pulse    pulse
	since    time.Time // unused since then
	reused   bool      // has carried a call before
}

func (c *clientConn) close() { _ = c.conn.Close() }

// exchange is one call.
type exchange struct {
	request *http.Request
	client  *Client
	body    []byte // of the request, if it was short and there; so that it can be sent again
	inline  bool   // body is all of it
	taken   bool   // the request's body is read, wholly or in part
	heard   bool   // a byte of the answer came

	conn  *clientConn           // that the call is on
	up    *Lifetime             // the context, if it is one
	hook  hook                  // in up
	stop  func() bool           // ends the watch of the context where there is no up
	fault atomic.Pointer[error] // why the body could not be sent; set before the connection is closed for it
	open  atomic.Int32          // halves of the call that go on: sending the body, and the answer
}

// repeatable: the call may be sent again, now that it is known to have failed
// without an answer.
func (x *exchange) repeatable() bool {
	switch x.request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
	default:
		return false
	}
	return x.request.Body == nil || x.request.Body == http.NoBody || x.inline || !x.taken
}

func (x *exchange) again(conn *clientConn) bool {
	return conn.reused && !x.heard && x.repeatable() && x.request.Context().Err() == nil && x.client.repeat()
}

func (x *exchange) closeBody() {
	if x.request.Body != nil {
		_ = x.request.Body.Close()
	}
}

// on sends the call over a connection and reads the head of its answer.
func (x *exchange) on(conn *clientConn) (*http.Response, error) {
	if err := x.appendHead(conn); err != nil {
		x.closeBody()
		conn.close()
		return nil, err
	}
	conn.deadline.at(time.Time{})
	x.open.Store(1)
	x.watch(conn)
	err := x.send(conn)
	if err == nil {
		var resp *http.Response
		if resp, err = x.receive(conn); err == nil {
			return resp, nil
		}
	}
	x.unwatch()
	conn.close()
	return nil, x.explain(err)
}

// watch lets the connection expire when the context ends.
func (x *exchange) watch(conn *clientConn) {
	x.conn, x.hook.target = conn, x
	ctx := x.request.Context()
	l, ok := ctx.(interface{ lifetime() *Lifetime })
	if !ok {
		x.stop = context.AfterFunc(ctx, conn.deadline.expire)
		return
	}
	if x.up = l.lifetime(); !x.up.hooks.add(&x.hook) {
		conn.deadline.expire()
	}
}

// unwatch reports false if the connection has expired, or will.
func (x *exchange) unwatch() bool {
	if x.up == nil {
		return x.stop()
	}
	return x.up.hooks.remove(&x.hook)
}

// ended is called when the context has ended.
func (x *exchange) ended(error) { x.conn.deadline.expire() }

// explain prefers the reason to what it caused.
func (x *exchange) explain(err error) error {
	if fault := x.fault.Load(); fault != nil {
		return *fault
	}
	if cause := context.Cause(x.request.Context()); cause != nil {
		return fmt.Errorf("http1: call %s: %w", x.client.address, cause)
	}
	return fmt.Errorf("http1: call %s: %w: %w", x.client.address, banyan.ErrUnknown, err)
}

// send writes the head, and the body if it is here already; else the body
// follows while the answer is awaited.
func (x *exchange) send(conn *clientConn) error {
	if err := x.readInline(); err != nil {
		return err
	}
	r := x.request
	if x.inline {
		conn.out = append(conn.out, x.body...)
	}
	_, err := conn.conn.Write(conn.out)
	conn.out = conn.out[:0]
	if err != nil || x.inline || r.Body == nil || r.Body == http.NoBody {
		return err
	}
	x.taken = true
	x.open.Add(1)
	go func() {
		defer x.half(conn)
		defer x.closeBody()
		if err := x.sendBody(conn); err != nil {
			x.fault.Store(&err)
			conn.close() // the server must not take half a body for a whole one
		}
	}()
	return nil
}

// readInline takes a short body that is here already: then one write carries the
// whole call.
func (x *exchange) readInline() error {
	r := x.request
	b, ok := r.Body.(*body)
	if x.inline || !ok || r.ContentLength <= 0 || r.ContentLength > bufferSize || !b.arrived() {
		return nil
	}
	x.taken = true
	x.body = make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, x.body); err != nil {
		return ClientFault(err)
	}
	x.inline = true
	return nil
}

// ClientFault returns the error of a call whose body could not be read: an *Error
// with a status below 500, for it is the fault of who sends the body.
func ClientFault(err error) error {
	var refused *Error
	if errors.As(err, &refused) {
		return err
	}
	return refuse(http.StatusBadRequest, "the body cannot be read to its end")
}

// sendBody copies the body. An error is the body's own, never the server's: that
// shows in the answer, or in its absence.
func (x *exchange) sendBody(conn *clientConn) error {
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	r := x.request
	left := bodyLength(r)
	chunked := left < 0
	for {
		// Room for the size in front: 8 digits and CRLF.
		n, readErr := r.Body.Read(piece[10 : pieceSize-2])
		if n > 0 {
			if left -= int64(n); !chunked && left < 0 {
				return refuse(http.StatusBadRequest, "the body is longer than its Content-Length")
			}
			out := piece[10 : 10+n]
			if chunked {
				out = chunk(piece, n)
			}
			if _, err := conn.conn.Write(out); err != nil {
				return nil // the server may have answered already
			}
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			return ClientFault(readErr)
		}
	}
	if !chunked {
		if left > 0 {
			return refuse(http.StatusBadRequest, "the body is shorter than its Content-Length")
		}
		return nil
	}
	_, _ = conn.conn.Write(appendTrailer([]byte("0\r\n"), r.Trailer)) // as above
	return nil
}

// chunk frames the n bytes at piece[10:] in place.
func chunk(piece *[pieceSize]byte, n int) []byte {
	var digits [8]byte
	size := strconv.AppendInt(digits[:0], int64(n), 16)
	start := 10 - 2 - len(size)
	copy(piece[start:], size)
	copy(piece[8:], "\r\n")
	copy(piece[10+n:], "\r\n")
	return piece[start : 10+n+2]
}

func appendTrailer(out []byte, fields http.Header) []byte {
	for name, values := range fields {
		for _, v := range values {
			out = append(append(append(append(out, name...), ": "...), v...), "\r\n"...)
		}
	}
	return append(out, "\r\n"...)
}

// appendHead writes the request's head to conn.out.
func (x *exchange) appendHead(conn *clientConn) error {
	r := x.request
	target := r.URL.RequestURI()
	if !IsToken(r.Method) || target == "" || !all(target, targetByte) || r.Host != "" && !ValidHost(r.Host) {
		return fmt.Errorf("http1: call %s: %w: %w: the method, the host or the target has a byte that is not allowed", x.client.address, ErrNotSent, banyan.ErrInvalid)
	}
	host := r.Host
	if host == "" {
		host = x.client.address
	}
	out := append(conn.out[:0], r.Method...)
	out = append(append(append(out, ' '), target...), " HTTP/1.1\r\nHost: "...)
	out = append(append(out, host...), "\r\n"...)
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Expect", "Trailer":
			continue
		}
		for _, v := range values {
			if !IsToken(name) || !all(v, fieldByte) {
				return fmt.Errorf("http1: call %s: %w: %w: the header %q has a byte that is not allowed", x.client.address, ErrNotSent, banyan.ErrInvalid, name)
			}
			out = append(append(append(append(out, name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.Header["Upgrade"] != nil {
		out = append(out, "Connection: Upgrade\r\n"...)
	}
	conn.out = append(appendFraming(out, r), "\r\n"...)
	return nil
}

// bodyLength returns -1 if nobody knows, as net/http means it for requests that
// are sent.
func bodyLength(r *http.Request) int64 {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return 0
	case r.ContentLength <= 0:
		return -1
	}
	return r.ContentLength
}

func appendFraming(out []byte, r *http.Request) []byte {
	length := bodyLength(r)
	switch {
	case length < 0:
		return append(out, "Transfer-Encoding: chunked\r\n"...)
	case length > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		out = append(out, "Content-Length: "...)
		return append(strconv.AppendInt(out, length, 10), "\r\n"...)
	}
	return out
}

// InformKey is the key of a func(status int, header http.Header) in the context
// of a call, which is called with each informational answer by the goroutine of
// the call. It is there beside httptrace because that costs each call, and this
// only those that are informed.
type InformKey struct{}

// maxInformational answers come before the one that counts.
const maxInformational = 16

// receive reads the answer's head.
func (x *exchange) receive(conn *clientConn) (*http.Response, error) {
	for range maxInformational {
		text, err := x.readHead(conn)
		if err != nil {
			return nil, err
		}
		resp, err := parseResponse(text, x.request)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols && x.request.Header["Upgrade"] == nil {
			return nil, badAnswer("it switches protocols, and nobody asked for that") // RFC 9110 §15.2.2
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			x.setBody(conn, resp)
			return resp, nil
		}
		if inform, ok := x.request.Context().Value(InformKey{}).(func(int, http.Header)); ok {
			inform(resp.StatusCode, resp.Header)
		}
		if trace := httptrace.ContextClientTrace(x.request.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(resp.StatusCode, textproto.MIMEHeader(resp.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, refuse(http.StatusBadGateway, "too many informational answers")
}

func (x *exchange) readHead(conn *clientConn) (string, error) {
	var l lines
	for {
		n, refused := l.headEnd(conn.in.buf[conn.in.r:conn.in.w], 1000)
		if refused != nil {
			return "", badAnswer(refused.Reason)
		}
		if n > 0 {
			text := string(conn.in.buf[conn.in.r : conn.in.r+n])
			conn.in.r += n
			return text, nil
		}
		conn.in.acquire()
		if !conn.in.grow(x.client.options.MaxHeadBytes) {
			return "", badAnswer("the header is too large")
		}
		if err := conn.in.fill(); err != nil {
			if errors.Is(err, io.EOF) && x.heard {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		x.heard = true
	}
}

func badAnswer(reason string) *Error { return refuse(http.StatusBadGateway, "the answer: "+reason) }

// parseResponse reads an answer's head (RFC 9112 §4).
func parseResponse(text string, r *http.Request) (*http.Response, error) {
	line, rest, _ := strings.Cut(text, "\r\n")
	resp := &http.Response{Request: r, ProtoMajor: 1}
	proto, status, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(status, " ")
	n, ok := parseLength(code)
	if !ok || len(code) != 3 || n < 100 || !all(status, fieldByte) {
		return nil, badAnswer("the status line is not a version and a status")
	}
	switch proto {
	case "HTTP/1.1":
		resp.ProtoMinor = 1
	case "HTTP/1.0":
	default:
		return nil, badAnswer("the version is not HTTP/1.1")
	}
	resp.Proto, resp.Status, resp.StatusCode = proto, status, int(n)
	header, refused := parseFields(rest)
	if refused != nil {
		return nil, badAnswer(refused.Reason)
	}
	resp.Header = header
	resp.Close = resp.ProtoMinor == 0 && !hasToken(header["Connection"], "keep-alive") || hasToken(header["Connection"], "close")
	return resp, frameResponse(resp)
}

// frameResponse decides how the answer's body is framed (RFC 9112 §6.3).
func frameResponse(resp *http.Response) error {
	length, chunked, refused := framing(resp.Header)
	if refused != nil {
		return badAnswer(refused.Reason)
	}
	switch {
	case chunked && resp.ProtoMinor == 0:
		return badAnswer("Transfer-Encoding in HTTP/1.0")
	case chunked:
		resp.ContentLength = -1
		resp.TransferEncoding = []string{"chunked"}
		delete(resp.Header, "Transfer-Encoding")
	case resp.Header["Content-Length"] != nil:
		resp.ContentLength = length
	default:
		resp.ContentLength = -1
	}
	return nil
}

// setBody gives the answer its body, which gives the connection back.
func (x *exchange) setBody(conn *clientConn, resp *http.Response) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.unwatch()
		_ = conn.conn.SetDeadline(time.Time{}) // a dead connection shows when it is used
		resp.Body = &detached{Conn: conn.conn, in: conn.in}
		return
	}
	bodyless := x.request.Method == http.MethodHead || resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
	if bodyless || resp.ContentLength == 0 {
		if resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified {
			resp.ContentLength = 0
		}
		x.done(conn, resp, nil)
		resp.Body = http.NoBody
		return
	}
	b := &body{in: &conn.in, left: resp.ContentLength, chunked: resp.TransferEncoding != nil}
	if b.chunked {
		b.left = 0
		b.tail = func(fields http.Header) error {
			resp.Trailer = fields
			return nil
		}
	}
	if limit := x.client.options.ReadTimeout; limit > 0 {
		b.pace = func(int64) error {
			conn.deadline.within(limit)
			return nil
		}
	}
	if b.left < 0 {
		resp.Close = true
	}
	b.end = func(err error) { x.done(conn, resp, err) }
	resp.Body = b
}

// done is called when the answer was read to its end, or will not be.
func (x *exchange) done(conn *clientConn, resp *http.Response, err error) {
	inTime := x.unwatch()
	if err != nil || !inTime || resp.Close || conn.in.buffered() > 0 {
		conn.close()
		return // the other half sees that
	}
	x.half(conn)
}

// half is called at the end of each half of a call that may leave its connection
// for another. The last one keeps it.
func (x *exchange) half(conn *clientConn) {
	if x.open.Add(-1) == 0 && x.fault.Load() == nil {
		x.client.put(conn)
	}
}
