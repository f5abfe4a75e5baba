package transform

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// answering is the ResponseWriter of the handler.
type answering struct {
	http.ResponseWriter
	policy  *Policy
	request *http.Request
	changes []change
	cancel  context.CancelFunc // of the handler's context

	status  int // 0: not yet
	collect bool
	refused bool
	header  http.Header // as it was at WriteHeader, while body is collected
	body    []byte
	problem bool // the body is problem details of an error
}

// errRefused is what a handler gets whose answer is not let through.
var errRefused = errors.New("transform: write answer: it cannot be edited")

// bind gives the handler a context that ends when its answer is refused.
func (a *answering) bind(r *http.Request) (*http.Request, context.CancelFunc) {
	if a.policy.responseJSON == nil {
		a.cancel = func() {}
		return r, a.cancel
	}
	ctx, cancel := context.WithCancel(r.Context())
	a.cancel = cancel
	return r.WithContext(ctx), cancel
}

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answering) WriteHeader(status int) {
	h := a.Header()
	switch {
	case a.status != 0:
	case status == http.StatusSwitchingProtocols:
		a.status = status
		a.ResponseWriter.WriteHeader(status)
	case status < 200:
		a.policy.response.hide(h)
		a.ResponseWriter.WriteHeader(status)
	default:
		a.status = status
		a.begin(h)
	}
}

// begin decides what becomes of the body.
func (a *answering) begin(h http.Header) {
	fits := a.prepare(h)
	switch {
	case a.policy.responseJSON == nil || a.bodyless(h):
		a.ResponseWriter.WriteHeader(a.status)
	case fits:
		a.collect = true
		a.header = maps.Clone(h)
	case a.policy.responseJSON.passes:
		a.ResponseWriter.WriteHeader(a.status)
	default:
		a.refuse()
	}
}

// prepare changes the header, and reports whether the body can be edited.
func (a *answering) prepare(h http.Header) bool {
	fits := false
	if e := a.policy.responseJSON; e != nil {
		n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
		fits = isJSON(h) && !compressed(h) && len(h["Content-Range"]) == 0 && a.status != http.StatusPartialContent && a.status != http.StatusIMUsed &&
			(err != nil || n <= e.maxBytes)
		a.problem = a.status >= 400 && isJSON(h) && mediaType(h["Content-Type"][0]) == "application/problem+json"
		a.policy.addMark(h)
		if fits {
			dropDigests(h)
			delete(h, "Accept-Ranges")
			if a.request.Method == http.MethodHead {
				delete(h, "Content-Length")
			}
		}
	}
	a.policy.response.apply(h, a.changes)
	a.policy.cookies.harden(h)
	return fits
}

// bodyless reports whether there is no body.
func (a *answering) bodyless(h http.Header) bool {
	switch a.status {
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		return true
	}
	return a.request.Method == http.MethodHead || h.Get("Content-Length") == "0"
}

// refuse answers in place of the handler. An error stays the error that it is;
// where a redirect goes to is in its header.
func (a *answering) refuse() {
	a.refused, a.collect, a.body = true, false, nil
	h := a.Header()
	if a.header != nil {
		restore(h, a.header)
	}
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Content-Language", "Content-Location", "Content-Disposition", "Etag", "Last-Modified", "Expires", "Accept-Ranges", "Trailer"} {
		delete(h, name)
	}
	dropDigests(h)
	switch {
	case a.status >= 400:
		http1.Problem(a.ResponseWriter, a.status, http.StatusText(a.status))
	case a.status >= 300:
		h.Set("Content-Length", "0")
		a.ResponseWriter.WriteHeader(a.status)
	default:
		http1.Problem(a.ResponseWriter, http.StatusBadGateway, "the service behind gave an answer that cannot be shown")
	}
	_ = http.NewResponseController(a.ResponseWriter).Flush() // where it cannot, the end of the handler shows it
	a.cancel()
}

// restore undoes what the handler did to its header after WriteHeader. Trailers
// are meant to come late.
func restore(h, was http.Header) {
	for name := range h {
		if _, ok := was[name]; !ok && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	maps.Copy(h, was)
}

// Write implements http.ResponseWriter.
func (a *answering) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.refused:
		return 0, errRefused
	case !a.collect:
		return a.ResponseWriter.Write(b)
	case int64(len(a.body)+len(b)) <= a.policy.responseJSON.maxBytes:
		a.body = append(a.body, b...)
		return len(b), nil
	case a.policy.responseJSON.passes:
		if err := a.release(a.body); err != nil {
			return 0, err
		}
		return a.ResponseWriter.Write(b)
	}
	a.refuse()
	return 0, errRefused
}

// release sends a body that was collected, and lets the rest pass.
func (a *answering) release(body []byte) error {
	h := a.Header()
	late := maps.Clone(h)
	restore(h, a.header)
	a.collect = false
	a.ResponseWriter.WriteHeader(a.status)
	_, err := a.ResponseWriter.Write(body)
	for _, line := range h["Trailer"] { // their values were set before the header went
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
			if values, ok := late[name]; ok {
				h[name] = values
			}
		}
	}
	return err
}

// Flush implements http.Flusher.
func (a *answering) Flush() { _ = a.FlushError() }

// FlushError flushes what is not being collected.
func (a *answering) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.collect || a.refused {
		return nil
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// CopyFrom implements http1.Copier.
func (a *answering) CopyFrom(src io.Reader) (int64, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.collect && !a.refused {
		return http1.Copy(a.ResponseWriter, src)
	}
	return http1.Copy(struct {
		http.ResponseWriter
		flusher
	}{a, a}, src)
}

type flusher interface{ FlushError() error }

// end is called when the handler has returned.
func (a *answering) end() {
	h := a.Header()
	if a.status == 0 { // nothing was written; or the connection is hijacked, and this is not seen
		a.status = http.StatusOK
		a.prepare(h)
	}
	if a.collect {
		a.finish(h)
	}
	a.policy.response.hide(h) // trailers
}

// finish sends the body that was collected.
func (a *answering) finish(h http.Header) {
	e := a.policy.responseJSON
	if a.problem {
		e = e.withoutSelect()
	}
	edited, err := e.edit(a.body)
	switch {
	case len(a.body) == 0 || err != nil && e.passes:
		edited = a.body
	case err != nil:
		a.refuse()
		return
	}
	a.header["Content-Length"] = []string{strconv.Itoa(len(edited))}
	if hasTrailer(h) {
		delete(a.header, "Content-Length") // they need a body in chunks
	}
	_ = a.release(edited) // a client that is gone does not read it
}

func hasTrailer(h http.Header) bool {
	for name := range h {
		if name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// settle keeps the answer that a handler was refused for from being cut off when
// it gives up, as proxies do.
func (a *answering) settle() {
	if !a.refused {
		return
	}
	if v := recover(); v != nil {
		if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
	}
}
