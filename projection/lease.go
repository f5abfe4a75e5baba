package projection

import (
	"context"
	"time"

	"github.com/banyanhq/banyan"
)

// process tells runners of this process from those of earlier ones. It is an
// identity, not state: nothing ever changes it.
var process = banyan.NewID()

// sign is a sign of life of the owner.
type sign struct{ token, beat int64 }

// contend waits until this runner may lead, and returns its token. The rule
// needs no agreement about time: who has seen the same sign for as long as the
// lease, on its own monotonic clock, takes over. The sign is looked at again
// inside the batch that takes over, so an owner who wrote meanwhile stays.
func (r *Runner) contend(ctx context.Context) (int64, error) {
	var seen sign
	var since time.Time
	for {
		var token int64
		err := r.persist(ctx, "take the lease", func() error {
			s, found, err := r.states.Get(ctx, r.db, r.name)
			if err != nil {
				return err
			}
			now := sign{s.Token, s.Beat}
			if found && (since.IsZero() || now != seen) {
				seen, since = now, time.Now()
			}
			if !r.mayTake(&s, found && time.Since(since) >= r.opts.Lease) {
				return nil
			}
			token, err = r.take(ctx, now)
			return err
		})
		if err != nil || token > 0 {
			return token, err
		}
		if err := sleep(ctx, max(r.opts.Lease/10, time.Millisecond)); err != nil {
			return 0, err
		}
	}
}

// mayTake reports whether the lease is free for this runner: nobody has it, its
// owner is silent, or runs older code; or its owner was a process that must have
// ended, because the database belongs to one process at a time.
func (r *Runner) mayTake(s *state, silent bool) bool {
	return s.Owner == "" || silent || s.Version < r.def.opts.Version ||
		(s.Process != process && !r.db.Promises().Shared)
}

// take makes this runner the owner if the sign is still the one seen; otherwise
// it returns 0.
func (r *Runner) take(ctx context.Context, seen sign) (int64, error) {
	var token int64
	err := r.change(ctx, noToken, func(c *change) error {
		token = 0
		if (sign{c.state.Token, c.state.Beat}) != seen {
			return errLeave
		}
		token = c.state.Token + 1
		c.state.Token, c.state.Beat = token, 0
		c.state.Owner, c.state.Process, c.state.Version = r.opts.Owner, process, r.def.opts.Version
		c.sign()
		return nil
	})
	return token, err
}
