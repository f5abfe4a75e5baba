package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// Log is what a runner reads; *store.Store is one.
type Log interface {
	ReadPage(ctx context.Context, after banyan.Position, f store.Filter, limit int) (store.Page, error)
	Wait(ctx context.Context, after banyan.Position) error
	Head(ctx context.Context) (banyan.Position, error)
	PositionOf(ctx context.Context, t store.Token) (banyan.Position, error)
	Lookup(ctx context.Context, ids ...string) ([]banyan.Event, error)
}

var _ Log = (*store.Store)(nil)

// RunnerOptions of a Runner. The zero value is good for production.
type RunnerOptions struct {
	// Owner names this runner to people who look at the lease. Default: a new id.
	Owner string
	// Lease is how long a runner must give no sign of life before another takes
	// over. A runner that stops orderly is followed within a tenth of it.
	// Default: 10 s.
	Lease time.Duration
	// Attempts is how often an event is tried before its key is parked. Default: 5.
	Attempts int
	// Backoff is the first pause before trying again; it doubles up to MaxBackoff,
	// and a random part of up to a half is taken off. Defaults: 50 ms and 5 s.
	Backoff, MaxBackoff time.Duration
	// Poll is how often Wait looks when another process advances the projection.
	// Default: 20 ms.
	Poll time.Duration
	// MaxWait is how long Consistent lets a request wait. Default: 5 s.
	MaxWait time.Duration
	// Logger says what a person should know. Default: silent.
	Logger *slog.Logger
	// Now is the clock of Status. Default: time.Now.
	Now func() time.Time
}

const defaultLease = 10 * time.Second

func (o *RunnerOptions) check() error {
	if o.Lease < 0 || o.Attempts < 0 || o.Backoff < 0 || o.MaxBackoff < 0 || o.Poll < 0 || o.MaxWait < 0 {
		return fmt.Errorf("projection: options: %w: counts and durations must not be negative", banyan.ErrInvalid)
	}
	return nil
}

func (o *RunnerOptions) defaults() {
	if o.Owner == "" {
		o.Owner = banyan.NewID()
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.Backoff == 0 {
		o.Backoff = 50 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 5 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 20 * time.Millisecond
	}
	if o.MaxWait == 0 {
		o.MaxWait = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Runner applies the log to a definition's read models.
type Runner struct {
	*records
	log    Log
	def    *Definition
	opts   RunnerOptions
	filter store.Filter

	running atomic.Bool

	mu    sync.Mutex
	known *state             // guarded by mu: the newest committed state seen; nil at first
	keys  map[int]parkedKeys // guarded by mu
	// rows are what is known of generations that are not live, as of the revision
	// written of the state; both guarded by mu.
	rows      map[int]*view.Writer
	written   int64
	moved     chan struct{}      // guarded by mu: closed when known changes
	interrupt func()             // guarded by mu: ends the idle wait; nil when there is none
	troubles  map[string]trouble // guarded by mu: what this runner tries again, by what it is
}

// NewRunner returns a runner of a definition: events from log, rows to db.
// Mistakes in the definition are errors of kind banyan.ErrInvalid.
func NewRunner(log Log, db *view.DB, d *Definition, o *RunnerOptions) (*Runner, error) {
	if log == nil || db == nil || d == nil {
		return nil, fmt.Errorf("projection: new runner: %w: a log, a database and a definition are needed", banyan.ErrInvalid)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	r := &Runner{
		records: newRecords(db, d.name), log: log, def: d, filter: d.filter(),
		keys: map[int]parkedKeys{}, rows: map[int]*view.Writer{}, moved: make(chan struct{}), troubles: map[string]trouble{},
	}
	if o != nil {
		r.opts = *o
	}
	if err := r.opts.check(); err != nil {
		return nil, err
	}
	r.opts.defaults()
	return r, nil
}

// Name returns the projection's name.
func (r *Runner) Name() string { return r.name }

// Run takes part in the competition for the lease and, while it holds it,
// advances the read models, until ctx ends; then it returns nil. A Runner runs
// once at a time: a second concurrent Run is an error.
func (r *Runner) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("projection: run %s: %w: this runner runs already", r.name, banyan.ErrExists)
	}
	defer r.running.Store(false)
	r.recovered("")
	err := r.persist(ctx, "prepare", func() error { return r.setup(ctx) })
	for err == nil && ctx.Err() == nil {
		var token int64
		if token, err = r.contend(ctx); err != nil {
			break
		}
		r.opts.Logger.Info("projection leads", "projection", r.name, "owner", r.opts.Owner, "token", token)
		l := &leader{r: r, token: token}
		err = l.lead(ctx)
		if errors.Is(err, errFenced) {
			r.opts.Logger.Warn("projection lost its lease to another runner", "projection", r.name, "owner", r.opts.Owner, "token", token)
			r.recovered("")
			err = nil
			continue
		}
		l.release(ctx, err)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	r.ail("run", err)
	return fmt.Errorf("projection: run %s: %w", r.name, err)
}

// nudge makes the running runner of this process look at the state now.
func (r *Runner) nudge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.interrupt != nil {
		r.interrupt()
	}
}

// current returns the newest state seen; it is not to be changed.
func (r *Runner) current() *state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known
}

// persist calls fn until it succeeds, fails for good, or ctx ends. A database
// that does not answer is no reason to stop: it will.
func (r *Runner) persist(ctx context.Context, doing string, fn func() error) error {
	for n := 0; ; n++ {
		err := fn()
		if err == nil || ctx.Err() != nil || fatal(err) {
			if n > 0 {
				r.recovered(doing)
			}
			return err
		}
		r.ail(doing, err)
		r.opts.Logger.Warn("projection tries again", "projection", r.name, "doing", doing, "attempt", n+1, "error", err)
		if err := r.pause(ctx, n); err != nil {
			return err
		}
	}
}

// fatal reports whether trying again cannot help: everything with a kind but
// those that say "again". An error without a kind is trouble of the technology.
func fatal(err error) bool {
	return errors.Is(err, errFenced) || errors.Is(err, errStale) || isPoison(err) ||
		(banyan.Kind(err) != nil && !banyan.Retryable(err))
}

// ail notes for Status what this runner cannot get done at the moment.
func (r *Runner) ail(doing string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, found := r.troubles[doing]
	if !found {
		t.Since = r.opts.Now()
	}
	t.Error = plain(doing+": "+err.Error(), maxError)
	r.troubles[doing] = t
}

// recovered takes back what ail noted; everything when doing is empty.
func (r *Runner) recovered(doing string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.troubles, doing); doing == "" {
		clear(r.troubles)
	}
}

// pause waits before attempt n+1, or returns ctx's error.
func (r *Runner) pause(ctx context.Context, n int) error { return sleep(ctx, r.backoff(n)) }

func (r *Runner) backoff(n int) time.Duration {
	d := min(r.opts.Backoff<<min(n, 20), r.opts.MaxBackoff)
	return d - rand.N(d/2+1)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
