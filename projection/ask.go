package projection

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// ask leaves a request in the state and waits for its answer.
func (r *Remote) ask(ctx context.Context, q request) (answer, error) {
	if _, err := r.known(ctx); err != nil {
		return answer{}, err
	}
	q.ID, q.At = banyan.NewID(), r.opts.Now()
	err := r.edit(ctx, func(_ view.Tx, own *view.Writer, s *state) error {
		if s.Active == 0 {
			return errNeverRun
		}
		if len(s.Requests) >= maxRequests {
			return fmt.Errorf("%w: %d requests wait for the owner already", banyan.ErrUnavailable, len(s.Requests))
		}
		s.Requests = append(s.Requests, q)
		return r.checkKey(ctx, own, s, q)
	})
	var a answer
	if err == nil {
		a, err = r.await(ctx, q.ID)
	}
	late, done, failed := r.tidy(ctx, q.ID)
	switch {
	case err == nil:
		return a, a.err()
	case done:
		return late, late.err()
	case failed != nil:
		return a, fmt.Errorf("%w; the request could not be withdrawn and may be done later: %w", err, failed)
	default:
		return a, err
	}
}

// checkKey refuses to retry a key that is not parked, which only means "done" to
// an owner that takes over in the middle.
func (r *Remote) checkKey(ctx context.Context, own *view.Writer, s *state, q request) error {
	if q.Op != opRetry || q.All {
		return nil
	}
	for _, g := range s.Generations {
		page, err := r.parked.Scan(ctx, own, exactly("parked_key", parkedOwner(r.name, g.Number)+"/"+q.Key, 1))
		if err != nil || len(page.Items) > 0 {
			return err
		}
	}
	return fmt.Errorf("%w: no event is parked under this key", banyan.ErrNotFound)
}

// await looks for the answer as long as an owner gives signs of life, or may
// still take over. Like a contender it goes by its own clock alone.
func (r *Remote) await(ctx context.Context, id string) (answer, error) {
	var seen sign
	since := time.Now()
	for {
		s, _, err := r.states.Get(ctx, r.db, r.name)
		switch {
		case err != nil && !banyan.Retryable(err):
			return answer{}, err
		case err == nil:
			if a, ok := s.answered(id); ok {
				return a, nil
			}
			if !s.pending(id) {
				return answer{}, fmt.Errorf("%w: the request was taken, and many others after it; look at the status", banyan.ErrUnknown)
			}
			if now := (sign{s.Token, s.Beat}); now != seen {
				seen, since = now, time.Now()
			}
		}
		if quiet := time.Since(since); quiet > s.patience() {
			if err != nil {
				return answer{}, err
			}
			return answer{}, nobody(&s, quiet)
		}
		if err := sleep(ctx, r.opts.Poll); err != nil {
			return answer{}, err
		}
	}
}

// patience is how long an owner may be silent before there is none: a contender
// takes over after the lease and a tenth of it, and at once when it is free.
func (s *state) patience() time.Duration {
	lease := s.Lease
	if lease == 0 {
		lease = defaultLease
	}
	if s.Owner == "" {
		return lease / 2
	}
	return lease * 3 / 2
}

func nobody(s *state, quiet time.Duration) error {
	who := "nobody holds its lease"
	if s.Owner != "" {
		who = fmt.Sprintf("its last owner %s gave no sign of life for %v", s.Owner, quiet.Round(time.Second))
	}
	why := ""
	if s.Trouble != nil {
		why = "; its last error: " + s.Trouble.Error
	}
	return fmt.Errorf("%w: no process runs this projection (%s): start the service, then ask again%s", banyan.ErrUnavailable, who, why)
}

// tidy takes an answer that was read out of the state, or a request back that
// nobody waits for any more. One that was done meanwhile is done.
func (r *Remote) tidy(ctx context.Context, id string) (a answer, done bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = r.edit(ctx, func(_ view.Tx, _ *view.Writer, s *state) error {
		if a, done = s.answered(id); !done && !s.pending(id) {
			return errLeave
		}
		s.withdraw(id)
		s.Answers = slices.DeleteFunc(s.Answers, func(a answer) bool { return a.ID == id })
		return nil
	})
	if err == errLeave { //nolint:errorlint // the value itself comes back
		err = nil
	}
	return a, done, err
}
