package compress

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/banyanhq/banyan/internal/http1"
)

// serve lets a request through whose encoding is allowed.
func (q *Requests) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	name := encodingOf(r.Header["Content-Encoding"])
	switch {
	case name != "" && !q.allows(name):
		q.refuse(w)
	case name == "" || !q.Decompress:
		next.ServeHTTP(w, r)
	default:
		q.decompress(w, r, next, name)
	}
}

// encodingOf returns the encoding of a body, or "". Several make a name that
// nobody can allow: each multiplies what a few bytes can become.
func encodingOf(lines []string) string {
	switch name := strings.ToLower(strings.Trim(strings.Join(lines, ","), " \t")); name {
	case "x-gzip": // RFC 9110 §8.4.1.3
		return Gzip
	case "identity":
		return ""
	default:
		return name
	}
}

func (q *Requests) allows(name string) bool {
	return slices.Contains(q.Allow, name)
}

// refuse names what would have been taken (RFC 9110 §15.5.16).
func (q *Requests) refuse(w http.ResponseWriter) {
	allowed := "identity"
	if len(q.Allow) > 0 {
		allowed = strings.Join(q.Allow, ", ")
	}
	w.Header().Set("Accept-Encoding", allowed)
	http1.Problem(w, http.StatusUnsupportedMediaType, "the Content-Encoding of the request is none of those in Accept-Encoding")
}

func (q *Requests) decompress(w http.ResponseWriter, r *http.Request, next http.Handler, name string) {
	body := &plain{from: &counter{Reader: r.Body}, closer: r.Body, name: name, limits: q}
	defer body.end()
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	for _, n := range []string{"Content-Encoding", "Content-Length", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(out.Header, n)
	}
	out.Body, out.ContentLength, out.GetBody = body, -1, nil
	g := &guard{ResponseWriter: w, body: body, before: maps.Clone(w.Header())}
	defer g.settle()
	next.ServeHTTP(g, out)
	g.end()
}

// plain is the decompressed body of a request. A proxy can answer, and even
// return, while it waits for more of the body: nothing that an answer needs is
// behind mu.
type plain struct {
	from    *counter
	closer  io.Closer
	name    string
	limits  *Requests
	refused atomic.Pointer[http1.Error] // what the client did wrong
	ended   atomic.Bool                 // the handler has returned

	mu      sync.Mutex // guards what follows; held while Read waits
	decoder io.Reader
	close   func()
	out     int64
	err     error
}

type counter struct {
	io.Reader
	n   int64
	err error // of the connection
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// Read implements io.Reader.
func (p *plain) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	if p.err != nil {
		return 0, p.err
	}
	if p.decoder == nil {
		if p.err = p.open(); p.err != nil {
			return 0, p.err
		}
	}
	n, err := p.decoder.Read(b)
	p.out += int64(n)
	switch {
	case p.tooLarge():
		n, p.err = 0, p.refuse(http.StatusRequestEntityTooLarge, "the decompressed body is too large", &http.MaxBytesError{Limit: p.limits.MaxBytes})
	case errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded):
		p.err = p.refuse(http.StatusRequestEntityTooLarge, "the compressed body needs too much memory", &http.MaxBytesError{Limit: p.limits.MaxBytes})
	case err != nil && !errors.Is(err, io.EOF):
		p.err = p.damaged(err)
	default:
		p.err = err
	}
	return n, p.err
}

func (p *plain) tooLarge() bool {
	return p.out > p.limits.MaxBytes || p.out > freeBytes && p.out/p.limits.MaxRatio > p.from.n
}

// damaged tells what the client sent from what the connection did to it.
func (p *plain) damaged(err error) error {
	if p.from.err != nil {
		return p.from.err
	}
	return p.refuse(http.StatusBadRequest, "the compressed body is damaged", err)
}

// refuse makes an error that servers know: the gateway's forwarder by http1.Error,
// others by http.MaxBytesError.
func (p *plain) refuse(status int, reason string, cause error) error {
	why := &http1.Error{Status: status, Reason: reason}
	p.refused.Store(why)
	return &bodyError{why, cause}
}

type bodyError struct {
	why   *http1.Error
	cause error
}

func (e *bodyError) Error() string   { return "compress: read request: " + e.why.Reason }
func (e *bodyError) Unwrap() []error { return []error{e.why, e.cause} }

func (p *plain) open() error {
	if p.name == Gzip {
		d, err := gzip.NewReader(p.from)
		if errors.Is(err, io.EOF) && p.from.n == 0 {
			return io.EOF // no body at all
		}
		if err != nil {
			return p.damaged(err)
		}
		p.decoder, p.close = d, func() { _ = d.Close() }
		return nil
	}
	d, err := zstd.NewReader(p.from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(p.window()))
	if err != nil {
		return p.damaged(err)
	}
	p.decoder, p.close = d, d.Close
	return nil
}

// window is how far back a zstd body may refer: not further than it may be long,
// nor than RFC 9659 allows.
func (p *plain) window() uint64 {
	most := uint64(1 << 10)
	for most < 8<<20 && most < uint64(p.limits.MaxBytes) {
		most *= 2
	}
	return most
}

// Close implements io.Closer.
func (p *plain) Close() error { return p.closer.Close() }

// end frees the decoder, unless a Read is under way: then the collector does.
// Reads fail from now on.
func (p *plain) end() {
	p.ended.Store(true)
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if p.close != nil {
		p.close()
	}
}
