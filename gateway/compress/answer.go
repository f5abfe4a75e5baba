package compress

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/banyanhq/banyan/internal/http1"
)

// answer is the ResponseWriter of a handler whose answer may be compressed.
type answer struct {
	http.ResponseWriter
	policy  *Policy
	request *http.Request
	name    string // of the encoding that the client likes; "" is none
	must    bool   // it takes no other
	never   bool   // whatever the answer is

	status  int // 0: not yet
	sent    bool
	held    []byte      // until it is decided; status is set, sent is not
	header  http.Header // as it was at WriteHeader, while held
	encoder encoder     // nil: the answer goes out as it is
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	switch {
	case a.status != 0:
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		a.ResponseWriter.WriteHeader(status)
		return
	}
	a.status = status
	h := a.Header()
	if status == http.StatusNotModified {
		a.notModified(h)
	}
	if !a.eligible(h) {
		a.send(false)
		return
	}
	addVary(h)
	length, known := lengthOf(h)
	switch {
	case a.name == "" || a.never || a.policy.config.SkipCookies && len(h["Set-Cookie"]) > 0:
		a.send(false)
	case known:
		a.send(length >= int64(a.policy.config.MinSize) || a.must && length > 0)
	case a.request.Method == http.MethodHead: // nobody knows what GET would be
		a.send(false)
	case a.must || len(h["Trailer"]) > 0: // what is announced must be set when the header goes
		a.send(true)
	default:
		a.header = maps.Clone(h)
	}
}

// eligible reports whether the answer could be compressed for some client.
func (a *answer) eligible(h http.Header) bool {
	switch a.status {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusResetContent, http.StatusPartialContent, http.StatusNotModified:
		return false
	}
	types := h["Content-Type"]
	return len(h["Content-Encoding"]) == 0 && len(h["Content-Range"]) == 0 && len(types) == 1 &&
		(a.policy.config.compresses(types[0]) || a.must && !strings.HasPrefix(types[0], "text/event-stream")) &&
		!directive(h["Cache-Control"], "no-transform")
}

// notModified gives a 304 the fields of the 200 that the client has: a strong tag
// would not be found among what it stored (RFC 9111 §4.3.4).
func (a *answer) notModified(h http.Header) {
	types := h["Content-Type"]
	if len(types) > 0 && !a.policy.config.compresses(types[0]) || len(h["Content-Encoding"]) > 0 {
		return
	}
	addVary(h)
	tags := h["Etag"]
	if len(tags) != 1 || !strings.HasPrefix(tags[0], `"`) {
		return
	}
	weak := false
	for _, line := range a.request.Header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			switch strings.Trim(tag, " \t") {
			case tags[0]:
				return
			case "W/" + tags[0]:
				weak = true
			}
		}
	}
	if weak {
		h["Etag"] = []string{"W/" + tags[0]}
	}
}

// send writes the header, of a compressed answer or of the one that was written.
func (a *answer) send(compressed bool) {
	h := a.Header()
	if a.header != nil {
		restore(h, a.header)
		a.header = nil
	}
	a.sent = true
	if compressed {
		if e, err := a.policy.pools.get(a.name, a.ResponseWriter); err == nil { // the level was checked
			a.encoder = e
			encoded(h, a.name)
		}
	}
	a.ResponseWriter.WriteHeader(a.status)
}

// restore undoes what the handler did to its header after WriteHeader. Trailers
// are meant to come late.
func restore(h, was http.Header) {
	for name := range h {
		if _, ok := was[name]; !ok && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	for name, values := range was {
		h[name] = values
	}
}

// encoded changes the fields that are about the bytes.
func encoded(h http.Header, name string) {
	h["Content-Encoding"] = []string{name}
	for _, n := range []string{"Content-Length", "Accept-Ranges", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		delete(h, n)
	}
	if tags := h["Etag"]; len(tags) == 1 && strings.HasPrefix(tags[0], `"`) {
		h["Etag"] = []string{"W/" + tags[0]}
	}
}

func addVary(h http.Header) {
	if !directive(h["Vary"], "Accept-Encoding") && !directive(h["Vary"], "*") {
		h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], "Accept-Encoding")
	}
}

func lengthOf(h http.Header) (int64, bool) {
	lines := h["Content-Length"]
	if len(lines) != 1 {
		return 0, false
	}
	n, err := strconv.ParseInt(lines[0], 10, 64)
	return n, err == nil && n >= 0
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.sent {
		if len(a.held)+len(b) < a.policy.config.MinSize {
			a.held = append(a.held, b...)
			return len(b), nil
		}
		if err := a.decide(true); err != nil {
			return 0, err
		}
	}
	return a.put(b)
}

func (a *answer) put(b []byte) (int, error) {
	if a.encoder == nil {
		return a.ResponseWriter.Write(b)
	}
	if a.request.Method == http.MethodHead {
		return len(b), nil
	}
	return a.encoder.Write(b)
}

// decide ends the waiting.
func (a *answer) decide(compressed bool) error {
	a.send(compressed)
	held := a.held
	a.held = nil
	if len(held) == 0 {
		return nil
	}
	_, err := a.put(held)
	return err
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() }

// FlushError sends everything that was written on to the client.
func (a *answer) FlushError() error {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if !a.sent {
		if err := a.decide(true); err != nil {
			return err
		}
	}
	if a.encoder != nil && a.request.Method != http.MethodHead {
		if err := a.encoder.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// CopyFrom implements http1.Copier.
func (a *answer) CopyFrom(src io.Reader) (int64, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.sent && a.encoder == nil {
		return http1.Copy(a.ResponseWriter, src)
	}
	return http1.Copy(struct {
		http.ResponseWriter
		flusher
	}{a, a}, src)
}

type flusher interface{ FlushError() error }

// end is called when the handler has returned.
func (a *answer) end() {
	if a.status != 0 && !a.sent {
		_ = a.decide(false) // it was short; a client that is gone does not read it
	}
	if a.encoder != nil && a.request.Method != http.MethodHead {
		_ = a.encoder.Close() // the same
	}
}

// release gives the encoder back, also after a panic.
func (a *answer) release() {
	if a.encoder != nil {
		a.policy.pools.put(a.name, a.encoder)
	}
}
