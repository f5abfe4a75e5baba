package cache

import (
	"net/http"
	"time"
)

// serve answers from a stored answer. No lock is held.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, e *entry, now time.Duration, how Status) {
	header := w.Header()
	e.copyTo(header)
	age := e.age(now)
	header["Age"] = []string{ageText(age)} // RFC 9111 §5.1
	status := int(e.status)
	if status == http.StatusOK && conditional(r) && notModified(r, e.field("Etag"), e.field("Last-Modified")) {
		status = http.StatusNotModified
		stripContent(header)
	}
	h.report(r, header, Outcome{Status: how, Code: status, Age: age, TTL: -e.staleness(now)})
	w.WriteHeader(status)
	if status != http.StatusNotModified && r.Method != http.MethodHead && len(e.body) > 0 {
		_, _ = w.Write(e.body) // the client has gone
	}
}

func conditional(r *http.Request) bool {
	return len(r.Header["If-None-Match"]) > 0 || len(r.Header["If-Modified-Since"]) > 0
}

// relay answers from a fill whose header has come, as the body arrives.
func (h *handler) relay(w http.ResponseWriter, r *http.Request, f *fill, rd *reader, how Status) {
	hd := &f.head
	if hd.whole != nil {
		h.serve(w, r, hd.whole, h.c.now(), how)
		return
	}
	header := w.Header()
	for name, values := range hd.out {
		if old := header[name]; len(old) > 0 {
			values = append(old[:len(old):len(old)], values...)
		}
		header[name] = values[:len(values):len(values)]
	}
	status := hd.status
	if hd.plan.store {
		if hd.plan.initial >= time.Second {
			header["Age"] = []string{ageText(hd.plan.initial)}
		}
		if status == http.StatusOK && conditional(r) && notModified(r, hd.out.Get("Etag"), hd.out.Get("Last-Modified")) {
			status = http.StatusNotModified
			stripContent(header)
			f.body.hold() // the store wants the rest
		}
	}
	h.report(r, header, Outcome{Status: how, Reason: hd.plan.refused, Code: status, Age: hd.plan.initial, TTL: hd.plan.lifetime - hd.plan.initial})
	w.WriteHeader(status)
	if status != http.StatusNotModified {
		h.relayBody(w, r, f, rd)
	}
}

// relayBody ends the connection when the body breaks off, so that the client
// does not take what it got for the whole.
func (h *handler) relayBody(w http.ResponseWriter, r *http.Request, f *fill, rd *reader) {
	for {
		p := rd.next(r.Context())
		switch {
		case p.end && p.err != nil:
			panic(http.ErrAbortHandler)
		case p.end:
			for name, values := range f.trailer {
				w.Header()[name] = values
			}
			return
		}
		if len(p.data) > 0 {
			if _, err := w.Write(p.data); err != nil {
				return // the client has gone
			}
		}
		if p.flush {
			_ = http.NewResponseController(w).Flush() // a writer that cannot flush sends when it likes
		}
	}
}
