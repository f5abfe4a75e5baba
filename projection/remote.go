package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// RemoteOptions of a Remote. The zero value is good for production.
type RemoteOptions struct {
	// Poll is how often it looks for the owner's answer. Default: 100 ms.
	Poll time.Duration
	// Now is the clock of Status. Default: time.Now.
	Now func() time.Time
}

// Remote looks at a projection and gives it orders without its definition: for
// tools that run beside the services. Status and ParkedKeys read what the owner
// of the projection has left in the database.
//
// The other methods write a request into the projection's state, where the
// process that holds the lease finds it with its next batch or sign of life,
// within a third of the lease; they return when it is done. It is done once, also
// when several people ask at the same time, or when that process dies and another
// takes over. When no process gives a sign of life for longer than a takeover
// takes, or ctx ends, the request is withdrawn; the error is then of kind
// banyan.ErrUnavailable, or that of ctx. A refusal has the kind it had in the
// owner's process.
type Remote struct {
	*records
	log  Log
	opts RemoteOptions
}

// NewRemote returns a Remote of the projection of a name in db. log is the log
// that the projection reads, to measure how far it is behind.
func NewRemote(log Log, db *view.DB, name string, o *RemoteOptions) (*Remote, error) {
	if log == nil || db == nil {
		return nil, fmt.Errorf("projection: new remote: %w: a log and a database are needed", banyan.ErrInvalid)
	}
	r := &Remote{records: newRecords(db, name), log: log}
	if o != nil {
		r.opts = *o
	}
	if r.opts.Poll < 0 {
		return nil, fmt.Errorf("projection: remote options: %w: Poll must not be negative", banyan.ErrInvalid)
	}
	r.opts.Poll = cmp.Or(r.opts.Poll, 100*time.Millisecond)
	if r.opts.Now == nil {
		r.opts.Now = time.Now
	}
	return r, nil
}

// Names returns the names of the projections that were ever run into a database.
func Names(ctx context.Context, db *view.DB) ([]string, error) {
	states := stateCollection()
	var names []string
	q := view.Query{Limit: 1000}
	for {
		page, err := states.Scan(ctx, db, q)
		if errors.Is(err, banyan.ErrNotFound) {
			return nil, nil // nobody has made the table yet
		}
		if err != nil {
			return nil, fmt.Errorf("projection: names: %w", err)
		}
		for _, item := range page.Items {
			names = append(names, item.Key)
		}
		if q.After = page.Next; q.After == nil {
			return names, nil
		}
	}
}

// Status reads how the projection is. As it is not known here which events concern
// the projection, LagTime is about the oldest event of any type.
func (r *Remote) Status(ctx context.Context) (Status, error) {
	s, err := r.known(ctx)
	status := Status{Name: r.name}
	if err == nil {
		status = s.status(r.name)
		err = status.measure(ctx, r.log, store.Filter{}, r.opts.Now())
	}
	if err != nil {
		return status, fmt.Errorf("projection: status of %s: %w", r.name, err)
	}
	return status, nil
}

// known is peek with an error that helps when there is no such projection.
func (r *Remote) known(ctx context.Context) (*state, error) {
	s, err := r.peek(ctx)
	if s != nil || err != nil {
		return s, err
	}
	names, err := Names(ctx, r.db)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w: no projection has ever run in this database", banyan.ErrNotFound)
	}
	return nil, fmt.Errorf("%w: there is no projection of this name; there are %s", banyan.ErrNotFound, strings.Join(names, ", "))
}

// ParkedKeys returns the first event of each parked key, which is the one that
// failed, in every generation, the live one first; at most 1,000.
func (r *Remote) ParkedKeys(ctx context.Context) ([]ParkedEvent, error) {
	s, err := r.known(ctx)
	if err != nil {
		return nil, fmt.Errorf("projection: parked keys of %s: %w", r.name, err)
	}
	var all []ParkedEvent
	for _, number := range s.liveFirst() {
		for from := ""; len(all) < 1000; {
			row, err := r.nextKey(ctx, number, from)
			if err != nil {
				return nil, fmt.Errorf("projection: parked keys of %s: %w", r.name, err)
			}
			if row == nil {
				break
			}
			all, from = append(all, row.event()), behind(row.Key)
		}
	}
	return all, nil
}

// Rebuild is Runner.Rebuild. It returns when the owner has begun to build.
func (r *Remote) Rebuild(ctx context.Context, o *RebuildOptions) (int, error) {
	a, err := r.ask(ctx, request{Op: opRebuild, Hold: o != nil && o.Hold})
	if err != nil {
		return 0, fmt.Errorf("projection: rebuild %s: %w", r.name, err)
	}
	return a.Generation, nil
}

// Switch is Runner.Switch, but refuses a generation that is far behind the live
// one with banyan.ErrConflict: the owner would have to stop for it.
func (r *Remote) Switch(ctx context.Context, generation int, o *SwitchOptions) error {
	if _, err := r.ask(ctx, request{Op: opSwitch, Generation: generation, Force: o != nil && o.Force}); err != nil {
		return fmt.Errorf("projection: switch %s: %w", r.name, err)
	}
	return nil
}

// Drop is Runner.Drop.
func (r *Remote) Drop(ctx context.Context, generation int) error {
	if _, err := r.ask(ctx, request{Op: opDrop, Generation: generation}); err != nil {
		return fmt.Errorf("projection: drop a generation of %s: %w", r.name, err)
	}
	return nil
}

// Retry is Runner.Retry.
func (r *Remote) Retry(ctx context.Context, key string) (Retried, error) {
	a, err := r.ask(ctx, request{Op: opRetry, Key: key})
	if err != nil {
		return a.Retried, fmt.Errorf("projection: retry %s of %s: %w", key, r.name, err)
	}
	return a.Retried, nil
}

// RetryAll retries every parked key. That some fail again is no error: the result
// says how many.
func (r *Remote) RetryAll(ctx context.Context) (Retried, error) {
	a, err := r.ask(ctx, request{Op: opRetry, All: true})
	if err != nil {
		return a.Retried, fmt.Errorf("projection: retry all of %s: %w", r.name, err)
	}
	return a.Retried, nil
}
