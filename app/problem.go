package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/banyanhq/banyan"
)

// Problem is a problem details object (RFC 9457). Its type is "about:blank", so
// Title is the phrase of the status; Kind tells programs what happened. It is an
// error whose methods are also those that huma expects.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is for people. Of errors on the server's side it says only what to
	// do; the log has the text, under ID.
	Detail string `json:"detail,omitempty"`
	// Kind is one of conflict, not-found, exists, invalid, denied, gone,
	// unavailable, unknown-outcome, timeout, corrupt, internal.
	Kind string `json:"kind"`
	// Retryable: the same request, with the same idempotency key, may succeed.
	Retryable bool `json:"retryable"`
	// ID finds the log lines of this request.
	ID string `json:"id,omitempty"`

	retryAfter string
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of problem details.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders returns the headers that belong to the answer.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.retryAfter != "" {
		h.Set("Retry-After", p.retryAfter)
	}
	return h
}

// answer is how a kind of error appears to a client.
type answer struct {
	is     error
	status int
	kind   string
	detail string // instead of the error's own text
	after  string // Retry-After, in seconds
}

// answers in the order of matching: an unknown outcome stays unknown, whatever
// it wraps; an expired deadline is a timeout even where nothing was done.
//
// ErrInvalid is 422 and not 400: the request was understood and its content is
// refused. 400 is for what cannot be parsed, which the handler sees first.
func answers() []answer {
	return []answer{
		{banyan.ErrUnknown, http.StatusServiceUnavailable, "unknown-outcome", "It is not known whether this was done. Send the same request again with the same idempotency key: it is done once.", "1"},
		{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout", "It took too long. Send the same request again with the same idempotency key.", ""},
		{banyan.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "Something this service needs does not answer. Nothing was done; send the same request again.", "1"},
		{banyan.ErrClosed, http.StatusServiceUnavailable, "unavailable", "The service is stopping. Nothing was done; send the same request again.", "1"},
		{context.Canceled, http.StatusServiceUnavailable, "unavailable", "The request was cancelled. Send the same request again with the same idempotency key.", "1"},
		{banyan.ErrCorrupt, http.StatusInternalServerError, "corrupt", "Stored data is damaged. The log has more under this id.", ""},
		{banyan.ErrConflict, http.StatusConflict, "conflict", "", ""},
		{banyan.ErrExists, http.StatusConflict, "exists", "", ""},
		{banyan.ErrNotFound, http.StatusNotFound, "not-found", "", ""},
		{banyan.ErrGone, http.StatusGone, "gone", "", ""},
		{banyan.ErrDenied, http.StatusForbidden, "denied", "", ""},
		{banyan.ErrInvalid, http.StatusUnprocessableEntity, "invalid", "", ""},
	}
}

// Error answers a request with err as problem details and logs what the client
// is not told.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	p := Report(r.Context(), err)
	for key, values := range p.GetHeaders() {
		w.Header()[key] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client has gone
}

// Report turns err into problem details by its kind, and logs it when the fault
// is on this side (5xx), under the id that the client is given. Error is the
// usual way to call it; libraries with error types of their own call Report.
func Report(ctx context.Context, err error) *Problem {
	var own *Problem
	if errors.As(err, &own) {
		return own
	}
	req := requestFrom(ctx)
	p := &Problem{ID: req.id}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		p.fill(answer{status: http.StatusRequestEntityTooLarge, kind: "invalid"}, mask(err.Error()))
		return p
	}
	found := answer{status: http.StatusInternalServerError, kind: "internal", detail: "Something unexpected happened. The log has more under this id."}
	for _, a := range answers() {
		if errors.Is(err, a.is) {
			found = a
			break
		}
	}
	p.fill(found, req.secrets.hide(err.Error()))
	p.Retryable = p.Status >= 500 && found.kind != "internal" && found.kind != "corrupt"
	if p.Status < 500 {
		return p
	}
	if p.ID == "" {
		p.ID = banyan.NewID()
	}
	level := slog.LevelError
	if errors.Is(err, context.Canceled) {
		level = slog.LevelDebug // the client hung up
	}
	req.log.LogAttrs(ctx, level, "request failed", slog.String("id", p.ID), slog.String("kind", p.Kind), slog.Int("status", p.Status), slog.String("error", req.secrets.hide(err.Error())))
	return p
}

func (p *Problem) fill(a answer, text string) {
	p.Status, p.Title, p.Kind, p.retryAfter = a.status, http.StatusText(a.status), a.kind, a.after
	if p.Detail = a.detail; p.Detail == "" {
		p.Detail = text
	}
}
