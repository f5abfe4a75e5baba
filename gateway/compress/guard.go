package compress

import (
	"errors"
	"io"
	"maps"
	"net/http"

	"github.com/banyanhq/banyan/internal/http1"
)

// guard answers in place of a handler whose request turned out to be refused: how
// it takes an error of its body is not left to chance.
type guard struct {
	http.ResponseWriter
	body    *plain
	before  http.Header // what others had set before
	begun   bool
	refused bool
}

// Unwrap is for http.ResponseController.
func (g *guard) Unwrap() http.ResponseWriter { return g.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (g *guard) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		if !g.refused {
			g.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if g.begin() {
		g.ResponseWriter.WriteHeader(status)
	}
}

// begin reports whether the handler's answer is the one that counts.
func (g *guard) begin() bool {
	if g.begun || g.refused {
		return !g.refused
	}
	why := g.body.refused.Load()
	if why == nil {
		g.begun = true
		return true
	}
	g.refused = true
	h := g.Header()
	clear(h)
	maps.Copy(h, g.before)
	h.Set("Connection", "close") // the rest of the body is not worth reading
	http1.Problem(g.ResponseWriter, why.Status, why.Reason)
	return false
}

// Write implements http.ResponseWriter.
func (g *guard) Write(b []byte) (int, error) {
	if !g.begin() {
		return len(b), nil
	}
	return g.ResponseWriter.Write(b)
}

// Flush implements http.Flusher.
func (g *guard) Flush() { _ = g.FlushError() }

// FlushError implements what http.ResponseController looks for.
func (g *guard) FlushError() error {
	g.begin()
	return http.NewResponseController(g.ResponseWriter).Flush()
}

// CopyFrom implements http1.Copier.
func (g *guard) CopyFrom(src io.Reader) (int64, error) {
	if !g.begin() {
		return 0, nil
	}
	return http1.Copy(g.ResponseWriter, src)
}

// end answers for a handler that said nothing.
func (g *guard) end() {
	if g.body.refused.Load() != nil {
		g.begin()
	}
}

// settle keeps the answer of a handler that gave up because of the body.
func (g *guard) settle() {
	if g.body.refused.Load() == nil || g.begun {
		return
	}
	if v := recover(); v != nil {
		if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			panic(v)
		}
		g.begin()
	}
}
