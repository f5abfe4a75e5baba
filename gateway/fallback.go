package gateway

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

// Fallback is what a client gets when the upstream fails: when it cannot be
// reached, is late, or answers 5xx (but not 501 and 505, which say what it can
// do). An answer that the cache may still use comes first. It is never stored.
type Fallback struct {
	// To names an upstream that is asked instead. A request that may change
	// something goes there only if the route's own upstream did nothing, because it
	// could not be reached or answered 503; and with a body of more than 64 KiB
	// only if the body was not begun.
	To string `yaml:"to"`
	// Timeout of To; default: the route's, once more.
	Timeout time.Duration `yaml:"timeout"`
	// Status of a fixed answer; default 200. With To it is for when that fails too,
	// and there is one only if Status or Body is set.
	Status int `yaml:"status"`
	// Body of the fixed answer.
	Body string `yaml:"body"`
	// ContentType of the body; default application/json.
	ContentType string `yaml:"content_type"`
}

func (f *Fallback) fixed() bool { return f.To == "" || f.Status != 0 || f.Body != "" }

// check reports what is wrong with the fallback of a route.
func (f *Fallback) check(path string, r *Route, c *Config, found *mistakes) {
	if f == nil {
		return
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		found.add(path+".status", "%d is not a status from 200 to 599", f.Status)
	}
	if f.Timeout < 0 || f.Timeout > 0 && f.To == "" {
		found.add(path+".timeout", `it is for the upstream in "to", and positive`)
	}
	if f.To == "" {
		return
	}
	if _, ok := c.Upstreams[f.To]; !ok {
		found.add(path+".to", "there is no upstream %q%s", f.To, suggest(f.To, c.Upstreams))
	} else if f.To == r.To {
		found.add(path+".to", "it is the route's own upstream; retry asks that again")
	}
}

// fallen puts the fallback of a route round what it is for.
func (r *Route) fallen(h http.Handler, upstreams map[string]*upstream) http.Handler {
	f := r.Fallback
	if f == nil {
		return h
	}
	if f.To != "" {
		spare := *r
		spare.Retry = nil
		if f.Timeout > 0 {
			spare.Timeout = f.Timeout
		}
		h = &fallback{next: h, instead: newForwarder(&spare, upstreams[f.To], nil), resends: true}
	}
	if f.fixed() {
		h = &fallback{next: h, instead: f.answer()}
	}
	return h
}

// answer is the fixed one.
func (f *Fallback) answer() http.Handler {
	status, kind := f.Status, f.ContentType
	set(&status, http.StatusOK)
	if kind == "" {
		kind = "application/json"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.Itoa(len(f.Body)))
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, f.Body) // a client that is gone needs none
	})
}

// fallback answers instead of a handler that fails.
type fallback struct {
	next, instead http.Handler
	resends       bool // instead sends the request to another server
}

// ServeHTTP implements http.Handler.
func (f *fallback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &attempt{ResponseWriter: w, header: maps.Clone(w.Header())}
	first, second := r, r
	if f.resends {
		a.unsafe = !safe(r.Method)
		if r.Body != nil && r.Body != http.NoBody {
			a.body = &keptBody{from: r.Body}
			first, second = withBody(r, &bodyReader{body: a.body}), withBody(r, &bodyReader{body: a.body, last: true})
		}
	}
	f.next.ServeHTTP(a, first)
	if a.body != nil {
		_ = first.Body.Close() // nobody reads on for an answer that is over
	}
	switch {
	case a.failed:
		arrivalOf(r.Context()).fallback = true
		f.instead.ServeHTTP(w, second)
	case !a.begun:
		a.WriteHeader(http.StatusOK)
	}
}

func withBody(r *http.Request, body io.ReadCloser) *http.Request {
	out := *r
	out.Body = body
	return &out
}

// safe methods change nothing (RFC 9110 §9.2.1).
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// attempt is a ResponseWriter that keeps a failure to itself.
type attempt struct {
	http.ResponseWriter
	header http.Header // until the answer begins
	unsafe bool        // doing it elsewhere may be doing it twice
	body   *keptBody   // nil: nothing needs to be sent again
	begun  bool        // the answer goes to the client
	failed bool        // it does not
}

// Header implements http.ResponseWriter.
func (a *attempt) Header() http.Header {
	if a.begun {
		return a.ResponseWriter.Header() // for trailers
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *attempt) WriteHeader(status int) {
	if a.begun || a.failed {
		return
	}
	if a.fails(status) {
		a.failed = true
		return
	}
	h := a.ResponseWriter.Header()
	clear(h)
	maps.Copy(h, a.header)
	a.begun = status >= 200 || status == http.StatusSwitchingProtocols
	a.ResponseWriter.WriteHeader(status)
}

func (a *attempt) fails(status int) bool {
	switch {
	case status < 500 || status == http.StatusNotImplemented || status == http.StatusHTTPVersionNotSupported:
		return false
	case a.unsafe && status != http.StatusServiceUnavailable: // it may have been done
		return false
	}
	return a.body == nil || a.body.whole()
}

// Write implements http.ResponseWriter.
func (a *attempt) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.failed {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// CopyFrom implements http1.Copier. The rest of a failure is not waited for.
func (a *attempt) CopyFrom(src io.Reader) (int64, error) {
	a.WriteHeader(http.StatusOK)
	if a.failed {
		return 0, nil
	}
	return http1.Copy(a.ResponseWriter, src)
}

// FlushError is for http.ResponseController.
func (a *attempt) FlushError() error {
	a.WriteHeader(http.StatusOK)
	if a.failed {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController, which takes a connection over by it.
func (a *attempt) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// keptBody is the body of a request that may have to be sent twice. What is read
// of it is kept, up to a bound.
type keptBody struct {
	from    io.ReadCloser
	reading sync.Mutex // held while the client is waited for

	mu     sync.Mutex
	text   []byte // guarded by mu
	end    error  // guarded by mu; why there is no more
	long   bool   // guarded by mu; more was read than is kept
	pinned bool   // guarded by mu; all that is read from now on is kept
}

// whole reports whether a reader would still get all of it, and sees to it that
// one does.
func (b *keptBody) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pinned = !b.long && (b.end == nil || errors.Is(b.end, io.EOF))
	return b.pinned
}

// kept returns what is kept from a place on.
func (b *keptBody) kept(at int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at < len(b.text) {
		return b.text[at:], nil
	}
	return nil, b.end
}

func (b *keptBody) keep(p []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end = err
	if b.long = b.long || !b.pinned && len(b.text)+len(p) > maxReplayed; !b.long {
		b.text = append(b.text, p...)
	}
}

// bodyReader reads a body from its beginning. The one that is begun first may be
// closed in the middle of a read: what that still yields is kept for the other.
type bodyReader struct {
	body   *keptBody
	last   bool // nobody reads after it: what it reads need not be kept
	at     int
	closed atomic.Bool
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	b := r.body
	b.reading.Lock()
	defer b.reading.Unlock()
	if r.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	text, err := b.kept(r.at)
	if len(text) > 0 {
		n := copy(p, text)
		r.at += n
		return n, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := b.from.Read(p)
	if r.last {
		b.keep(nil, err)
	} else {
		b.keep(p[:n], err)
	}
	r.at += n
	return n, err
}

// Close implements io.Closer. The body itself is its server's to close.
func (r *bodyReader) Close() error {
	r.closed.Store(true)
	return nil
}
