package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// recorder is the ResponseWriter of a fill. It cannot be hijacked; informational
// answers (1xx) are dropped.
type recorder struct {
	f        *fill
	header   http.Header
	wrote    bool
	returned bool // the handler did, it did not panic
	again    bool // the answer is of no use
	discard  bool // the body is known already
	storing  bool
	bodiless bool
	length   int64 // what Content-Length says, or -1
	written  int64
}

var (
	_ http.Flusher = (*recorder)(nil)

	errShort   = errors.New("cache: the answer is not as long as its Content-Length says")
	errAborted = errors.New("cache: the handler did not finish the answer")
)

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	if rec.wrote || status < 200 {
		return
	}
	rec.wrote = true
	rec.bodiless = status == http.StatusNoContent || status == http.StatusNotModified
	rec.f.answer(rec, status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	switch {
	case rec.again, rec.discard:
		return len(p), nil
	case rec.bodiless:
		return 0, http.ErrBodyNotAllowed
	case rec.length >= 0 && rec.written+int64(len(p)) > rec.length:
		return 0, http.ErrContentLength
	}
	if err := rec.f.body.write(rec.f.ctx, p); err != nil {
		return 0, err
	}
	rec.written += int64(len(p))
	if rec.storing && !rec.f.body.keeping() {
		rec.storing = false
		rec.f.giveUp(&head{status: rec.f.head.status})
	}
	return len(p), nil
}

func (rec *recorder) Flush() {
	rec.WriteHeader(http.StatusOK)
	rec.f.body.flush()
}

// end is deferred round the handler.
func (rec *recorder) end() {
	panicked := recover()
	f := rec.f
	if rec.again && rec.returned {
		return
	}
	if rec.returned {
		rec.WriteHeader(http.StatusOK) // if it wrote nothing
	} else if !rec.wrote || rec.again {
		f.fail(panicked)
	}
	f.finish(rec, rec.broken())
	if failed := f.c.opts.Trace.Failed; failed != nil && panicked != nil && panicked != http.ErrAbortHandler { //nolint:errorlint // the very value
		failed(f.up, panicked)
	}
}

// broken returns why the body is not whole.
func (rec *recorder) broken() error {
	switch {
	case rec.discard:
		return nil
	case !rec.returned:
		return errAborted
	case rec.storing && rec.f.ctx.Err() != nil:
		return context.Cause(rec.f.ctx) // what a handler says whose time is over is not for the store
	case rec.length >= 0 && rec.written != rec.length && !rec.bodiless:
		return errShort
	}
	return nil
}

// observer is the ResponseWriter of requests that go straight on. It tells
// about the header before it is written.
type observer struct {
	http.ResponseWriter
	wrote  bool
	header func(status int, h http.Header)
}

// Unwrap lets http.ResponseController reach what is below (flush, hijack).
func (o *observer) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observer) WriteHeader(status int) {
	if !o.wrote && (status >= 200 || status == http.StatusSwitchingProtocols) {
		o.tell(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observer) tell(status int) {
	if !o.wrote {
		o.wrote = true
		o.header(status, o.Header())
	}
}

func (o *observer) Write(p []byte) (int, error) {
	o.tell(http.StatusOK)
	return o.ResponseWriter.Write(p)
}

// ReadFrom keeps the way open for splice and sendfile.
func (o *observer) ReadFrom(r io.Reader) (int64, error) {
	o.tell(http.StatusOK)
	return io.Copy(o.ResponseWriter, r)
}

func (o *observer) Flush() {
	o.tell(http.StatusOK)
	_ = http.NewResponseController(o.ResponseWriter).Flush() // a writer that cannot flush sends when it likes
}
