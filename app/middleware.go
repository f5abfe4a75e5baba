package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/banyanhq/banyan"
)

// request is what the middleware knows about a request.
type request struct {
	id      string
	log     *slog.Logger
	secrets secrets
}

type requestKey struct{}

// requestFrom returns the request of ctx. Outside of an App's handlers it logs to
// slog's default.
func requestFrom(ctx context.Context) request {
	if r, ok := ctx.Value(requestKey{}).(request); ok {
		return r
	}
	return request{log: slog.Default()}
}

// Handler returns everything that the App serves: the registered handlers behind
// the middleware, /livez, /readyz and /health. Run serves it; tests and other
// servers may too.
//
// Each request has an id: X-Request-Id if the client sent a sane one. It goes
// back in the answer, into the log, and into the metadata of events as
// Correlation, unless X-Correlation-Id or traceparent name a larger process. The
// actor is never taken from headers: authentication knows it.
func (a *App) Handler() http.Handler {
	probes := http.NewServeMux()
	a.health.register(probes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := probes.Handler(r); pattern != "" {
			probes.ServeHTTP(w, r)
			return
		}
		a.handle(w, r)
	})
}

func (a *App) handle(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	id := headerID(r, "X-Request-Id")
	if id == "" {
		id = banyan.NewID()
	}
	w.Header().Set("X-Request-Id", id)
	ctx := context.WithValue(r.Context(), requestKey{}, request{id: id, log: a.Log, secrets: a.secrets})
	ctx = banyan.WithMetadata(ctx, metadata(r, id))
	answer := &response{ResponseWriter: w}
	defer func() {
		a.recovered(answer, r.WithContext(ctx), recover())
		a.Log.DebugContext(ctx, "request", "id", id, "method", r.Method, "path", r.URL.Path, "status", answer.status, "took_ms", time.Since(start).Milliseconds())
	}()
	a.mux.ServeHTTP(answer, r.WithContext(ctx))
}

// recovered answers for a handler that panicked, if it has not answered yet.
func (a *App) recovered(w *response, r *http.Request, p any) {
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it this way too
		panic(p)
	}
	a.Log.ErrorContext(r.Context(), "panic", "id", requestFrom(r.Context()).id, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
	Error(w, r, fmt.Errorf("app: handler of %s %s: panic: %v", r.Method, r.URL.Path, p))
}

var (
	idRule = regexp.MustCompile(`^[A-Za-z0-9._:/+=@-]{1,200}$`)
	// W3C Trace Context: version, trace id, parent id, flags.
	traceRule = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// headerID returns an id that a client sent, if it may go into logs and events.
func headerID(r *http.Request, header string) string {
	if v := r.Header.Get(header); idRule.MatchString(v) {
		return v
	}
	return ""
}

func metadata(r *http.Request, id string) banyan.Metadata {
	m := banyan.Metadata{Correlation: headerID(r, "X-Correlation-Id")}
	if trace := traceRule.FindStringSubmatch(r.Header.Get("Traceparent")); trace != nil {
		m.TraceParent = trace[0]
		if m.Correlation == "" {
			m.Correlation = trace[1]
		}
	}
	if m.Correlation == "" {
		m.Correlation = id
	}
	return m
}

// response knows whether an answer has begun.
type response struct {
	http.ResponseWriter
	status int // 0: not yet
}

func (w *response) WriteHeader(code int) {
	if w.status == 0 && code >= 200 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
