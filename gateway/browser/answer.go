package browser

import (
	"io"
	"net/http"

	"github.com/banyanhq/banyan/internal/http1"
)

// answer is a ResponseWriter that completes the header.
type answer struct {
	http.ResponseWriter
	policy    *Policy
	request   *http.Request
	secure    bool
	preflight bool
	begun     bool
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= 200 && !a.begun {
		a.complete(status)
	}
	a.ResponseWriter.WriteHeader(status)
}

// complete sets the fields of the policy.
func (a *answer) complete(status int) {
	a.begun = true
	p, h := a.policy, a.Header()
	if p.cors != nil && !a.preflight {
		p.cors.answer(h, originOf(a.request))
	}
	if p.security != nil {
		p.security.answer(h, status, a.secure)
	}
	if p.cdn != nil {
		p.cdn.answer(h, status, a.request)
	}
}

// begin is for what writes without WriteHeader.
func (a *answer) begin() {
	if !a.begun {
		a.complete(http.StatusOK)
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(b)
}

// ReadFrom keeps the way open for sendfile and splice.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begin()
	return io.Copy(a.ResponseWriter, src)
}

// CopyFrom implements http1.Copier.
func (a *answer) CopyFrom(src io.Reader) (int64, error) {
	a.begin()
	return http1.Copy(a.ResponseWriter, src)
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError sends the header if it was not sent.
func (a *answer) FlushError() error {
	a.begin()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// end completes the header of an answer that nobody wrote. A hijacked connection
// does not see it.
func (a *answer) end() { a.begin() }
