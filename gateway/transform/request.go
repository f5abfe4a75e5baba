package transform

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// refusal is why a request is not let through.
type refusal struct {
	status int
	reason string
}

func (f *refusal) answer(w http.ResponseWriter) {
	if f.status == http.StatusUnsupportedMediaType {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 §15.5.16
	}
	http1.Problem(w, f.status, f.reason)
}

// incoming returns the request for the handler, and what is to change in the
// header of the answer.
func (p *Policy) incoming(r *http.Request) (*http.Request, []change, *refusal) {
	s := &source{Request: r}
	headers, err1 := p.request.changes(s)
	answers, err2 := p.response.changes(s)
	if err := errors.Join(err1, err2); err != nil {
		return nil, nil, &refusal{http.StatusBadRequest, errUnfit.Error()}
	}
	out := r.WithContext(r.Context())
	out.Header = r.Header.Clone()
	p.request.apply(out.Header, headers)
	if !p.query.empty() {
		if err := p.rewrite(out, s); err != nil {
			return nil, nil, &refusal{http.StatusBadRequest, err.Error()}
		}
	}
	if p.responseJSON != nil {
		p.whole(out.Header, r.Method)
	}
	if p.requestJSON != nil {
		if why := p.requestJSON.request(out, r.Header); why != nil {
			return nil, nil, why
		}
	}
	return out, answers, nil
}

// rewrite changes the query.
func (p *Policy) rewrite(out *http.Request, s *source) error {
	changes, err := p.query.changes(s)
	if err != nil {
		return err
	}
	raw, err := p.query.applyQuery(out.URL.RawQuery, changes)
	if err != nil {
		return err
	}
	u := *out.URL
	u.RawQuery, u.ForceQuery = raw, false
	out.URL, out.RequestURI = &u, u.RequestURI()
	return nil
}

// whole asks for an answer that can be edited.
func (p *Policy) whole(h http.Header, method string) {
	h["Accept-Encoding"] = []string{"identity"}
	for _, name := range []string{"Range", "If-Range", "A-Im"} {
		delete(h, name)
	}
	p.unmark(h, "If-None-Match", method == http.MethodGet || method == http.MethodHead)
	p.unmark(h, "If-Match", false)
}

// request edits the body of a request. was is the header that came with it.
func (e *editor) request(out *http.Request, was http.Header) *refusal {
	if out.Body == nil || out.Body == http.NoBody || out.ContentLength == 0 {
		return nil
	}
	var why *refusal
	switch {
	case !isJSON(was):
		why = &refusal{http.StatusUnsupportedMediaType, "the body has to be JSON"}
	case compressed(was):
		why = &refusal{http.StatusUnsupportedMediaType, "the body must not be compressed"}
	case out.ContentLength > e.maxBytes:
		why = tooLarge()
	default:
		return e.read(out)
	}
	if e.passes {
		return nil
	}
	return why
}

func tooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, "the body is too large"}
}

// read replaces the body by the edited one.
func (e *editor) read(out *http.Request) *refusal {
	body, err := io.ReadAll(io.LimitReader(out.Body, e.maxBytes+1))
	if err != nil {
		return unreadable(err)
	}
	rest := out.Body
	if int64(len(body)) > e.maxBytes {
		if !e.passes {
			return tooLarge()
		}
		out.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), rest), rest}
		return nil
	}
	edited, err := e.edit(body)
	switch {
	case len(body) == 0 || err != nil && e.passes:
		edited = body
	case err != nil:
		return &refusal{http.StatusBadRequest, err.Error()}
	default:
		dropDigests(out.Header)
	}
	out.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(edited), rest}
	out.ContentLength, out.TransferEncoding, out.GetBody = int64(len(edited)), nil, nil
	out.Header["Content-Length"] = []string{strconv.Itoa(len(edited))}
	return nil
}

// unreadable tells a refusal of the server below from a broken connection.
func unreadable(err error) *refusal {
	var long *http.MaxBytesError
	var fault *http1.Error
	switch {
	case errors.As(err, &fault):
		return &refusal{fault.Status, fault.Reason}
	case errors.As(err, &long):
		return tooLarge()
	}
	return &refusal{http.StatusBadRequest, "the body could not be read"}
}

// isJSON reports whether a header announces JSON (RFC 8259, RFC 6839 §3.1).
func isJSON(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) != 1 {
		return false
	}
	t := mediaType(lines[0])
	return t == "application/json" || t == "text/json" || strings.HasSuffix(t, "+json") && !strings.HasPrefix(t, "application/grpc")
}

func mediaType(line string) string {
	t, _, _ := strings.Cut(line, ";")
	return strings.ToLower(strings.Trim(t, " \t"))
}

func compressed(h http.Header) bool {
	for _, line := range h["Content-Encoding"] {
		if !strings.EqualFold(strings.Trim(line, " \t"), "identity") {
			return true
		}
	}
	return false
}

func dropDigests(h http.Header) {
	for _, name := range []string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(h, name)
	}
}
