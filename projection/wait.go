package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// Wait returns once the live generation has handled the append of a token, so
// that a reader sees what it wrote. It waits as long as ctx allows, whichever
// process advances the projection. When the event of the token is parked, it
// returns an error of kind banyan.ErrUnavailable at once; a token of no stored
// event is banyan.ErrNotFound.
func (r *Runner) Wait(ctx context.Context, t store.Token) error {
	if err := r.wait(ctx, t); err != nil {
		return fmt.Errorf("projection: wait for %s: %w", r.def.name, err)
	}
	return nil
}

func (r *Runner) wait(ctx context.Context, t store.Token) error {
	at, err := r.log.PositionOf(ctx, t)
	if err != nil || at == 0 {
		return err
	}
	for {
		r.mu.Lock()
		s, moved := r.known, r.moved
		r.mu.Unlock()
		if !s.handled(at) {
			// This process may not be the one that advances it.
			s, err = r.look(ctx)
			if err != nil && !errors.Is(err, banyan.ErrNotFound) {
				return err
			}
		}
		if s.handled(at) {
			return r.parkedAt(ctx, s, at)
		}
		if err := waitFor(ctx, moved, r.opts.Poll); err != nil {
			return fmt.Errorf("append at position %d: %w", at, err)
		}
	}
}

// handled reports whether the live generation is at a position or beyond.
func (s *state) handled(at banyan.Position) bool {
	if s == nil {
		return false
	}
	live := s.generation(s.Active)
	return live != nil && live.Position >= at
}

// parkedAt returns an error when the event at a position is parked.
func (r *Runner) parkedAt(ctx context.Context, s *state, at banyan.Position) error {
	if s.generation(s.Active).ParkedEvents == 0 {
		return nil
	}
	row, found, err := r.parked.Get(ctx, r.db, parkedID(r.def.name, s.Active, at))
	if err != nil || !found {
		return err
	}
	return fmt.Errorf("event %s: %w: it is parked under key %s; see Parked and Retry: %s", row.EventID, banyan.ErrUnavailable, row.Key, row.Error)
}

// waitFor returns nil when moved is closed or d has passed.
func waitFor(ctx context.Context, moved <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-moved:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TokenHeader carries the token of an append: in the answer to a command, and in
// a query that must see what the command did. Its value is percent-encoded.
const TokenHeader = "Banyan-Token"

// SetToken puts the token of an append into an answer.
func SetToken(w http.ResponseWriter, result store.Result) {
	if t := result.Token(); t != "" {
		w.Header().Set(TokenHeader, url.PathEscape(string(t)))
	}
}

// Consistent lets a request with a token through when all runners have handled
// its append, and others at once. A runner is waited for as long as its MaxWait
// says; then the answer is 504 with problem details (RFC 9457) and Retry-After.
// It is 503 when the event is parked or a database does not answer, and 400 when
// no event has the token.
func Consistent(next http.Handler, runners ...*Runner) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for _, value := range q.Header.Values(TokenHeader) {
			token, err := url.PathUnescape(value)
			if err != nil {
				problem(w, http.StatusBadRequest, "the header "+TokenHeader+" is not percent-encoded text")
				return
			}
			for _, r := range runners {
				if err := r.waitBounded(q.Context(), store.Token(token)); err != nil {
					r.refuse(w, q, err)
					return
				}
			}
		}
		next.ServeHTTP(w, q)
	})
}

func (r *Runner) waitBounded(ctx context.Context, t store.Token) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.MaxWait)
	defer cancel()
	return r.Wait(ctx, t)
}

// refuse answers a request that could not be made consistent. The client learns
// the kind of trouble; its text goes to the log.
func (r *Runner) refuse(w http.ResponseWriter, q *http.Request, err error) {
	if q.Context().Err() != nil {
		return // nobody listens any more
	}
	switch {
	case errors.Is(err, banyan.ErrNotFound):
		problem(w, http.StatusBadRequest, "no event has the token in the header "+TokenHeader)
	case banyan.Stopped(err):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(r.opts.MaxWait.Seconds()))))
		problem(w, http.StatusGatewayTimeout, "the read model "+r.def.name+" has not handled your last write yet; ask again")
	default:
		r.opts.Logger.Warn("projection cannot answer consistently", "projection", r.def.name, "error", err)
		problem(w, http.StatusServiceUnavailable, "the read model "+r.def.name+" cannot show your last write at the moment")
	}
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct { // an error here means that nobody listens any more
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}
