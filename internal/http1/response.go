package http1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// response is the http.ResponseWriter of one request. It is an http.Flusher,
// http.Hijacker and io.ReaderFrom, and answers to http.ResponseController.
//
// The head is collected in conn.out at WriteHeader. If the handler gave no
// length, the framing is left open until more than a buffer is written, the
// handler flushes, or it returns: short answers get a Content-Length.
type response struct {
	conn    *serverConn
	request *http.Request
	life    life // the request's context
	header  http.Header

	status    int   // 0: not yet
	length    int64 // what the handler said; <0: nothing
	written   int64 // by the handler
	pending   []byte
	committed bool // the framing is in the head
	chunked   bool
	bodyless  bool // HEAD, 204, 304
	close     bool // the connection, after this answer
	failed    bool // the handler panicked
	aborted   bool // with http.ErrAbortHandler: the client must see the connection end

	expects, proceeded bool // 100-continue
}

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 8)
	}
	return w.header
}

// proceed tells a client that waits for it to send its body.
func (w *response) proceed() error {
	if w.status != 0 {
		return errBodyClosed // it has its answer: it may not send the body
	}
	w.proceeded = true
	return w.conn.write([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// WriteHeader implements http.ResponseWriter. Informational answers are written
// at once, and may be followed by others.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.conn.hijacked {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("http1: status %d", status)) // as net/http does
	}
	c := w.conn
	if status < 200 && status != http.StatusSwitchingProtocols {
		if w.request.ProtoMinor == 1 {
			c.out = w.appendFields(appendStatus(c.out, status))
			c.out = append(c.out, "\r\n"...)
			_ = c.flush() // a dead connection shows at the answer
		}
		return
	}
	w.status = status
	w.bodyless = w.request.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified || status < 200
	w.setLength()
	w.close = w.close || w.request.Close || c.server.closing.Load() || hasToken(w.header["Connection"], "close")
	c.out = appendStatus(c.out, status)
	if w.header["Date"] == nil {
		c.out = append(append(append(c.out, "Date: "...), c.server.dateNow()...), "\r\n"...)
	}
	c.out = w.appendFields(c.out)
	if w.length >= 0 || w.bodyless {
		w.commit()
	}
}

// setLength takes the length from the header. One that is no number is dropped.
func (w *response) setLength() {
	value := w.header["Content-Length"]
	if len(value) != 1 {
		return
	}
	if n, ok := parseLength(value[0]); ok {
		w.length = n
	}
}

func appendStatus(out []byte, status int) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(append(out, ' '), http.StatusText(status)...)
	return append(out, "\r\n"...)
}

// appendFields writes what the handler set, but not what frames the answer.
func (w *response) appendFields(out []byte) []byte {
	for name, values := range w.header {
		switch name {
		case "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive":
			continue
		}
		if strings.HasPrefix(name, http.TrailerPrefix) || !IsToken(name) {
			continue
		}
		for _, v := range values {
			out = append(append(out, name...), ": "...)
			out = appendValue(out, v)
			out = append(out, "\r\n"...)
		}
	}
	return out
}

// appendValue keeps a value in its line, whatever it holds.
func appendValue(out []byte, v string) []byte {
	if all(v, fieldByte) {
		return append(out, v...)
	}
	for i := range len(v) {
		if class[v[i]]&fieldByte == 0 {
			out = append(out, ' ')
		} else {
			out = append(out, v[i])
		}
	}
	return out
}

// commit decides the framing and ends the head.
func (w *response) commit() {
	c := w.conn
	w.committed = true
	switch {
	case w.status == http.StatusNoContent || w.status < 200:
	case w.length >= 0:
		c.out = append(c.out, "Content-Length: "...)
		c.out = strconv.AppendInt(c.out, w.length, 10)
		c.out = append(c.out, "\r\n"...)
	case w.bodyless: // as if it were the answer to GET, whose length nobody knows
	case w.request.ProtoMinor == 0:
		w.close = true // the end of the connection is the end of the body
	default:
		w.chunked = true
		c.out = append(c.out, "Transfer-Encoding: chunked\r\n"...)
	}
	switch {
	case w.status == http.StatusSwitchingProtocols:
	case w.close:
		c.out = append(c.out, "Connection: close\r\n"...)
	case w.request.ProtoMinor == 0:
		c.out = append(c.out, "Connection: keep-alive\r\n"...)
	}
	c.out = append(c.out, "\r\n"...)
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.conn.hijacked:
		return 0, http.ErrHijacked
	case w.bodyless && w.request.Method != http.MethodHead:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.bodyless {
		return len(p), nil
	}
	if !w.committed {
		if len(w.pending)+len(p) <= bufferSize {
			w.pending = append(w.pending, p...)
			return len(p), nil
		}
		w.commit()
		if err := w.put(w.pending); err != nil {
			return 0, err
		}
		w.pending = nil
	}
	if err := w.put(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// put adds a piece of the body to what is written next.
func (w *response) put(p []byte) error {
	c := w.conn
	if len(p) == 0 {
		return nil
	}
	if w.chunked {
		c.out = strconv.AppendInt(c.out, int64(len(p)), 16)
		c.out = append(c.out, "\r\n"...)
	}
	if len(c.out)+len(p) > 2*bufferSize && len(p) >= bufferSize {
		// Large pieces are not copied.
		if err := w.gather(p); err != nil {
			return err
		}
	} else {
		c.out = append(c.out, p...)
	}
	if w.chunked {
		c.out = append(c.out, "\r\n"...)
	}
	if len(c.out) > bufferSize {
		return c.flush()
	}
	return nil
}

// gather writes what is collected and p in one call.
func (w *response) gather(p []byte) error {
	c := w.conn
	c.writes.within(c.server.allowance(int64(len(c.out) + len(p))))
	pieces := net.Buffers{c.out, p}
	_, err := pieces.WriteTo(c.conn)
	c.out = c.out[:0]
	return err
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError writes everything that the handler has written so far.
func (w *response) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.conn.hijacked {
		return http.ErrHijacked
	}
	if !w.committed {
		w.commit()
		if err := w.put(w.pending); err != nil {
			return err
		}
		w.pending = nil
	}
	return w.conn.flush()
}

// Waits reports whether the next Read of a body waits for the network, as far as
// is known.
func Waits(src io.Reader) bool {
	b, ok := src.(interface{ waiting() bool })
	return !ok || b.waiting()
}

// Copier is a ResponseWriter round another one that Copy goes through.
type Copier interface {
	CopyFrom(src io.Reader) (int64, error)
}

// Copy writes a body to an answer without holding it back: what the source has
// is flushed before Copy waits for more.
func Copy(w http.ResponseWriter, src io.Reader) (n int64, err error) {
	if c, ok := w.(Copier); ok {
		return c.CopyFrom(src)
	}
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	control := http.NewResponseController(w)
	for {
		got, readErr := src.Read(piece[:])
		if got > 0 {
			wrote, err := w.Write(piece[:got])
			n += int64(wrote)
			if err != nil {
				return n, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, nil
		}
		if readErr != nil {
			return n, readErr
		}
		if Waits(src) {
			if err := control.Flush(); err != nil {
				return n, err
			}
		}
	}
}

// ReadFrom implements io.ReaderFrom; it is Copy.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	return Copy(struct {
		http.ResponseWriter
		flusher
	}{w, w}, src)
}

// flusher is what Copy needs beside a ResponseWriter.
type flusher interface{ FlushError() error }

// end writes what is left of the answer.
func (w *response) end() error {
	c := w.conn
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.committed {
		if !w.hasTrailer() {
			w.length = int64(len(w.pending))
		}
		w.commit()
		if err := w.put(w.pending); err != nil {
			return err
		}
	}
	if w.chunked {
		c.out = append(c.out, "0\r\n"...)
		c.out = w.appendTrailer(c.out)
		c.out = append(c.out, "\r\n"...)
	}
	if !w.bodyless && w.length >= 0 && w.written < w.length {
		w.close = true // it ends before its length: the client must not wait for the rest
		_ = c.flush()
		return io.ErrUnexpectedEOF
	}
	err := c.flush()
	if cap(c.out) > 4*bufferSize {
		c.out = nil
	}
	return err
}

func (w *response) hasTrailer() bool {
	for name := range w.header {
		if name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// appendTrailer writes the fields that the Trailer field announced, and those
// with http.TrailerPrefix.
func (w *response) appendTrailer(out []byte) []byte {
	if w.header == nil {
		return out
	}
	add := func(name string, values []string) {
		for _, v := range values {
			out = append(append(out, name...), ": "...)
			out = append(appendValue(out, v), "\r\n"...)
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && IsToken(name) {
			add(name, values)
		}
	}
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); IsToken(name) {
				add(name, w.header[name])
			}
		}
	}
	return out
}

// fail replaces an answer that has not begun.
func (w *response) fail() {
	w.conn.out, w.header, w.pending = w.conn.out[:0], nil, nil
	w.status, w.length, w.written, w.committed, w.close = 0, -1, 0, false, true
	w.WriteHeader(http.StatusInternalServerError)
}

// Hijack implements http.Hijacker. What the handler has written before is
// discarded if it was not flushed. A request whose body was not read to its end
// keeps its connection: whoever reads that body, such as a call to an upstream,
// would go on to fill a buffer that is somebody else's by then.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.conn
	if c.hijacked {
		return nil, nil, http.ErrHijacked
	}
	if w.status != 0 && w.status != http.StatusSwitchingProtocols {
		return nil, nil, errors.New("http1: hijack after the answer began")
	}
	if b, ok := w.request.Body.(*body); ok && !b.over() {
		return nil, nil, errors.New("http1: hijack before the end of the body")
	}
	c.watch.stop()
	c.hijacked = true
	conn := c.detach()
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

// SetReadDeadline is for http.ResponseController. The pace that the server asks
// of bodies replaces it at the next read.
func (w *response) SetReadDeadline(t time.Time) error {
	w.conn.reads.at(t)
	return nil
}

// SetWriteDeadline is for http.ResponseController.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.conn.writes.at(t)
	return nil
}

// EnableFullDuplex is for http.ResponseController: reading the body after the
// answer began always works here.
func (w *response) EnableFullDuplex() error { return nil }
