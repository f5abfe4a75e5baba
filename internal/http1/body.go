package http1

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

const (
	// maxChunkLine is of a chunk's size with its extensions.
	maxChunkLine = 256
	// maxChunkExcess is how many bytes of one body may be extensions: they cost
	// the receiver more than the sender (CVE-2023-39326).
	maxChunkExcess = 16 << 10
	// maxTrailer of a body, in bytes and lines: it has to fit into the buffer.
	maxTrailer      = 2 << 10
	maxTrailerLines = 32
)

// errBodyClosed: the handler, or the call, that the body belonged to has ended.
var errBodyClosed = errors.New("http1: read of a body whose request has ended")

// body is the body of a request or of a response.
type body struct {
	in   *reader
	pace func(received int64) error     // called before the connection is read; nil: never
	ask  func() error                   // called before the first read; nil: nothing to do
	end  func(err error)                // called once: nil at the whole body's end
	tail func(fields http.Header) error // takes the trailer

	mu       sync.Mutex
	left     int64 // guarded by mu; of the body, or of its chunk; <0: until the connection ends
	chunked  bool  // guarded by mu
	began    bool  // guarded by mu; a chunk was read
	excess   int   // guarded by mu; bytes of extensions
	received int64 // guarded by mu
	err      error // guarded by mu; io.EOF at the end
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if err := b.ready(); err != nil {
		return 0, err
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	if err := b.paced(); err != nil {
		return 0, b.fail(err)
	}
	n, err = b.in.Read(p)
	b.received += int64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case err != nil:
		return n, b.fail(b.cutOff(err))
	case b.left == 0 && !b.chunked:
		return n, b.fail(io.EOF)
	case b.left == 0 && b.here():
		// What follows is mostly the end: say so at once.
		if err := b.ready(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// ready returns nil if there are bytes to read now, of a chunk or of the body.
// mu is held.
func (b *body) ready() error {
	if b.ask != nil {
		ask := b.ask
		b.ask = nil
		if err := ask(); err != nil {
			return b.fail(err)
		}
	}
	if b.left != 0 {
		return nil
	}
	if !b.chunked {
		return b.fail(io.EOF)
	}
	if err := b.nextChunk(); err != nil {
		return b.fail(err)
	}
	return nil
}

// nextChunk reads the line before a chunk, and at the last one the trailer. It
// returns io.EOF then. mu is held.
func (b *body) nextChunk() error {
	if b.began {
		line, err := b.line(2)
		if err != nil {
			return err
		}
		if len(line) != 0 {
			return bad("a chunk is longer than its size")
		}
	}
	b.began = true
	line, err := b.line(maxChunkLine)
	if err != nil {
		return err
	}
	size, ext, err := chunkSize(line)
	if err != nil {
		return err
	}
	if b.excess += ext; b.excess > maxChunkExcess {
		return bad("too many chunk extensions")
	}
	if b.left = size; size == 0 {
		return b.trailer()
	}
	return nil
}

// chunkSize reads a chunk's line (RFC 9112 §7.1). Extensions are dropped.
func chunkSize(line []byte) (size int64, ext int, err error) {
	digits := len(line)
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		digits, ext = i, len(line)-i
	}
	if digits == 0 || digits > 15 || !all(string(line[digits:]), fieldByte) {
		return 0, 0, bad("a chunk has no valid size")
	}
	for _, c := range line[:digits] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, 0, bad("a chunk has no valid size")
		}
		size = size<<4 | int64(c)
	}
	return size, ext, nil
}

// trailer reads the fields behind the last chunk. mu is held.
func (b *body) trailer() error {
	var text strings.Builder
	for n := 0; ; n++ {
		line, err := b.line(maxTrailer - text.Len())
		if err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		if n == maxTrailerLines {
			return bad("the trailer is too long")
		}
		text.Write(line)
		text.WriteString("\r\n")
	}
	if text.Len() == 0 {
		return io.EOF
	}
	fields, refused := parseFields(text.String() + "\r\n")
	if refused != nil {
		return refused
	}
	for _, name := range notInTrailers {
		if fields[name] != nil {
			return bad("the trailer has a field that belongs into the header")
		}
	}
	if b.tail != nil {
		if err := b.tail(fields); err != nil {
			return err
		}
	}
	return io.EOF
}

// notInTrailers frame, route or authenticate (RFC 9110 §6.5.1). It is read only.
var notInTrailers = []string{"Authorization", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Cookie", "Host", "Set-Cookie", "Te", "Trailer", "Transfer-Encoding"}

// line reads up to a CRLF and returns what is before it, valid until the next
// read. mu is held.
func (b *body) line(limit int) ([]byte, error) {
	for {
		have := b.in.buf[b.in.r:b.in.w]
		i := bytes.IndexByte(have, '\n')
		switch {
		case i > 0 && have[i-1] == '\r' && i-1 <= limit:
			b.in.r += i + 1
			return have[:i-1], nil
		case i >= 0 && i-1 <= limit:
			return nil, bad("a line of the body ends with a bare LF")
		case len(have) >= limit+2:
			return nil, bad("a line of the body is too long")
		}
		// A part of the line may be here already: what waits for the rest of it is
		// this body all the same, and not whatever set the deadline before.
		if b.pace != nil {
			if err := b.pace(b.received); err != nil {
				return nil, err
			}
		}
		if err := b.in.fill(); err != nil {
			return nil, b.cutOff(err)
		}
	}
}

// paced is called before a read that waits if nothing is buffered. mu is held.
func (b *body) paced() error {
	if b.pace == nil || b.in.buffered() > 0 {
		return nil
	}
	return b.pace(b.received)
}

// cutOff turns the end of the connection into the end of the body, where that is
// how it ends. mu is held.
func (b *body) cutOff(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if b.left < 0 {
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

// fail ends the body. mu is held.
func (b *body) fail(err error) error {
	b.err = err
	if b.end != nil {
		if errors.Is(err, io.EOF) {
			b.end(nil)
		} else {
			b.end(err)
		}
		b.end = nil
	}
	return err
}

// over reports whether the body was read to its end, and nobody reads it.
func (b *body) over() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	return errors.Is(b.err, io.EOF)
}

// Close implements io.Closer: later reads fail. It does not read what is left.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.fail(errBodyClosed)
	}
	return nil
}

// here reports whether what follows, more of the body or its end, is buffered.
// mu is held.
func (b *body) here() bool {
	have := b.in.buf[b.in.r:b.in.w]
	if b.left != 0 || !b.chunked {
		return len(have) > 0
	}
	if b.began { // the line end of the last chunk
		if len(have) < 2 {
			return false
		}
		have = have[2:]
	}
	end := bytes.IndexByte(have, '\n')
	if end < 0 || have[0] == '0' && !bytes.Contains(have, []byte("\r\n\r\n")) {
		return false
	}
	return have[0] == '0' || len(have) > end+1
}

// waiting reports whether the next Read waits for the network.
func (b *body) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == nil && !b.here()
}

// Arrived reports whether all of a request's body is here, so that to read it is
// not to wait for its client.
func Arrived(r io.Reader) bool {
	b, ok := r.(*body)
	return ok && b.arrived()
}

// arrived reports whether all of a body with a length is buffered.
func (b *body) arrived() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == nil && b.left > 0 && b.ask == nil && int64(b.in.buffered()) >= b.left
}
