package http1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
)

// bufferSize of a connection, each way. A head that is larger gets a larger
// buffer for its time.
const bufferSize = 4 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// reader buffers what a connection sends. It has no buffer while nothing is
// buffered and release was called, so that idle connections cost little.
type reader struct {
	conn net.Conn
	own  *[bufferSize]byte // from the pool, or nil
	buf  []byte            // own, or a larger one for a long head
	r, w int               // buf[r:w] is read from conn and not yet taken
}

func (b *reader) buffered() int { return b.w - b.r }

func (b *reader) acquire() {
	if b.buf == nil {
		b.own = buffers.Get().(*[bufferSize]byte)
		b.buf = b.own[:]
	}
}

// release gives the buffer back if it is empty.
func (b *reader) release() {
	if b.r != b.w || b.buf == nil {
		return
	}
	buffers.Put(b.own)
	b.own, b.buf, b.r, b.w = nil, nil, 0, 0
}

// fill reads once, more than zero bytes or an error. It moves what is buffered
// to the front if there is no room behind it.
func (b *reader) fill() error {
	b.acquire()
	if b.r == b.w {
		b.r, b.w = 0, 0
		if len(b.buf) > bufferSize {
			b.buf = b.own[:]
		}
	}
	if b.w == len(b.buf) {
		b.w = copy(b.buf, b.buf[b.r:b.w])
		b.r = 0
	}
	n, err := b.conn.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// grow makes room for a longer head, up to limit bytes; false: it is there.
func (b *reader) grow(limit int) bool {
	if b.buffered() < len(b.buf) {
		return true
	}
	if len(b.buf) >= limit {
		return false
	}
	larger := make([]byte, min(2*len(b.buf), limit))
	b.w = copy(larger, b.buf[b.r:b.w])
	b.buf, b.r = larger, 0
	return true
}

// Read takes from the buffer first, and past it for large p.
func (b *reader) Read(p []byte) (int, error) {
	if b.r == b.w {
		if len(p) >= bufferSize {
			return b.conn.Read(p)
		}
		if err := b.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.buf[b.r:b.w])
	b.r += n
	return n, nil
}

// lines is how a head is found to end without reading twice what was seen.
type lines struct {
	seen  int // bytes that hold whole lines only, or a part of one without LF
	start int // of the line under way
	count int // whole lines
}

// headEnd looks for the end of a head: an empty line. It returns the length of
// the head with it, or 0 if more is to come. Lines end with CRLF, always: a bare
// LF is where parsers disagree (RFC 9112 §2.2 lets a recipient accept it).
func (l *lines) headEnd(buf []byte, maxLines int) (int, *Error) {
	for {
		i := bytes.IndexByte(buf[l.seen:], '\n')
		if i < 0 {
			l.seen = len(buf)
			return 0, nil
		}
		end := l.seen + i
		if end == 0 || buf[end-1] != '\r' {
			return 0, bad("a line ends with a bare LF")
		}
		empty := end-1 == l.start
		l.seen, l.start = end+1, end+1
		if empty {
			return l.seen, nil
		}
		if l.count++; l.count > maxLines+1 { // the first line is not a field
			return 0, refuse(http.StatusRequestHeaderFieldsTooLarge, "too many header lines")
		}
	}
}

// pieceSize of bodies that are copied.
const pieceSize = 32 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}
