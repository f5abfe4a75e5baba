package compose

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/http1"
)

// Missing is the header with the names of the parts that an answer lacks, in whole
// or for some of their items, sorted. For scripts on pages from elsewhere it has to
// be in Access-Control-Expose-Headers.
const Missing = "Banyan-Missing"

// Options of a handler. Nil is none.
type Options struct {
	// Failed, if set, hears of each part that fails, with the reason, which the
	// client is not told. It may be called by several goroutines at once, and only
	// before ServeHTTP returns. Parts that are cancelled, or that lack what another
	// one failed to give, are no failures of their own.
	Failed func(r *http.Request, part string, err error)
	// Credentials, if set, reports whether a request shows who sent it in another
	// way than by Authorization or Cookie. Then its answer is for everybody only
	// if each part says so.
	Credentials func(r *http.Request) bool
}

// Handler answers with what the parts answer. It is an http.Handler.
type Handler struct {
	*plan
	calls  []http.RoundTripper // by part
	failed func(*http.Request, string, error)
	known  func(*http.Request) bool // by other credentials than those in the header
	vary   []string
}

// New returns a handler for a route of this name. Its calls go to what upstream
// returns for a name; nil is an upstream that does not exist. A call has a path, a
// query, a header, and no host.
func New(name string, c *Config, upstream func(name string) http.RoundTripper, o *Options) (*Handler, error) {
	p, found := c.compile()
	if len(found) > 0 {
		texts := make([]string, len(found))
		for i, m := range found {
			texts[i] = m.Path + ": " + m.Text
		}
		return nil, fmt.Errorf("compose: route %s: %w: %s", name, banyan.ErrInvalid, strings.Join(texts, "; "))
	}
	h := &Handler{plan: p, failed: func(*http.Request, string, error) {}, known: func(*http.Request) bool { return false }, vary: p.sources(fromHeader)}
	if o != nil && o.Failed != nil {
		h.failed = o.Failed
	}
	if o != nil && o.Credentials != nil {
		h.known = o.Credentials
	}
	for _, part := range p.parts {
		calls := upstream(part.To)
		if calls == nil {
			return nil, fmt.Errorf("compose: route %s: %w: parts.%s.to: there is no upstream %q", name, banyan.ErrInvalid, part.name, part.To)
		}
		h.calls = append(h.calls, calls)
	}
	return h, nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, &failure{status: http.StatusMethodNotAllowed, detail: "this can only be read"})
		return
	}
	run := newRun(h, r)
	run.all()
	if errors.Is(r.Context().Err(), context.Canceled) {
		panic(http.ErrAbortHandler) // nobody is there
	}
	if run.first != nil {
		problem(w, run.first)
		return
	}
	body, ok := run.write()
	if !ok {
		f := &failure{status: http.StatusBadGateway, detail: "the answers are larger than allowed together", err: errWhole}
		h.failed(r, "", f)
		problem(w, f)
		return
	}
	run.header(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone does not read it
	}
}

// header says how whole the answer is, and who may keep it.
func (r *run) header(h http.Header) {
	var names []string
	for i, result := range r.results {
		if result.state == missing || result.partly {
			names = append(names, r.parts[i].name)
		}
	}
	if len(names) > 0 {
		h.Set(Missing, strings.Join(names, ", "))
		r.fresh.never = true
	}
	h.Set("Cache-Control", r.fresh.control(r.credentials(), time.Now()))
	for _, name := range r.handler.vary {
		r.fresh.vary.add(http.CanonicalHeaderKey(name))
	}
	if vary := r.fresh.vary.sorted(); len(vary) > 0 {
		h.Add("Vary", strings.Join(vary, ", "))
	}
}

// credentials reports whether the request shows who sent it.
func (r *run) credentials() bool {
	return len(r.in.Header["Authorization"]) > 0 || len(r.in.Header["Cookie"]) > 0 || r.handler.known(r.in)
}

// write builds the answer; false if it is too large.
func (r *run) write() ([]byte, bool) {
	w := &writer{max: r.maxBytes, run: r, met: map[*shape]int{}}
	w.text("{")
	more := false
	for i, p := range r.parts {
		if p.ForEach != "" || p.as == "-" {
			continue
		}
		if p.as == "." {
			more = w.merge(p, r.results[i], more)
			continue
		}
		if more {
			w.text(",")
		}
		more = true
		w.raw(quoted(p.as))
		w.text(":")
		w.whole(p, r.results[i].answer)
	}
	w.text("}")
	return w.out, !w.over
}

// whole writes what a part has.
func (w *writer) whole(p *part, a answer) {
	switch {
	case a.state == present:
		w.put(a.body, p.shape, false)
	case a.state == missing && p.otherwise != nil:
		w.raw(p.otherwise)
	default:
		w.raw(null)
	}
}

// merge writes the fields of a part.
func (w *writer) merge(p *part, res result, more bool) bool {
	switch {
	case res.state == present && res.body[0] == '{':
		return w.fields(res.body, p.shape, more)
	case res.state == missing && p.otherwise != nil:
		return w.fields(p.otherwise, &shape{all: true}, more)
	}
	for _, name := range p.shape.names() {
		if more {
			w.text(",")
		}
		more = true
		w.raw(quoted(name))
		w.text(":null")
	}
	return more
}

// problem answers with problem details (RFC 9457).
func problem(w http.ResponseWriter, f *failure) {
	h := w.Header()
	if f.after != "" {
		h.Set("Retry-After", f.after)
	}
	for _, c := range f.challenge {
		h.Add("WWW-Authenticate", c)
	}
	http1.Problem(w, f.status, f.detail)
}
