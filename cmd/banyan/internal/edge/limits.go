package edge

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
	"github.com/banyanhq/banyan/postgres"
)

const (
	// openingTimeout is how long opening a store may take.
	openingTimeout = 10 * time.Second
	// reopening is the pause after opening failed.
	reopening = 2 * time.Second
	// patience is how long the start waits for the store, so that the first
	// requests are counted there.
	patience = 2 * time.Second
	// outage is how many calls in a row fail before an open store counts as down,
	// which is when a limit.Cluster leaves it alone for a moment.
	outage = 3
	// tellEvery bounds how often a store is told to be down.
	tellEvery = time.Minute
)

// opened is a store for limits and what it needs.
type opened interface {
	limit.Store
	Close() error
}

// openLimits returns the store of a URL. It is opened behind its back, and again
// until that succeeds: a database that is down must not keep a gateway from
// starting. A URL that no store can have is an error. report is told when the
// store cannot be opened, and later when it does not answer any more.
func openLimits(text string, report func(error)) (gateway.LimitStore, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the store of the limits is not a URL", banyan.ErrInvalid) // nothing of it: it may hold a password
	}
	open, ok := map[string]func(context.Context, string) (opened, error){
		"postgres": openPostgres, "postgresql": openPostgres, "redis": openRedis, "rediss": openRedis,
	}[u.Scheme]
	if !ok {
		return nil, fmt.Errorf("%w: limits cannot be stored in %q; want a URL such as postgres://host/database or redis://host:6379", banyan.ErrInvalid, u.Scheme)
	}
	return openLate(func(ctx context.Context) (opened, error) { return open(ctx, text) }, report)
}

// openLate opens a store behind its back. It waits a while for that.
func openLate(open func(context.Context) (opened, error), report func(error)) (gateway.LimitStore, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &lateStore{stop: stop, ready: make(chan struct{}), wrong: make(chan error), late: make(chan struct{}), report: report}
	s.running.Go(func() { s.open(ctx, open) })
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.ready:
	case err := <-s.wrong:
		return nil, errors.Join(err, s.Close())
	case <-timer.C:
		close(s.late)
	}
	return s, nil
}

// lateStore is a store that becomes one when it is open.
type lateStore struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	ready   chan struct{} // closed when store is set
	store   opened
	wrong   chan error    // why it can never be opened
	late    chan struct{} // closed when nobody waits for wrong any more
	report  func(error)

	mu     sync.Mutex // guards the fields below
	failed int        // calls in a row
	told   time.Time  // when report was last told that the store is down
}

// errNotOpen is why nothing could be taken.
var errNotOpen = fmt.Errorf("the store of the limits: %w: it could not be opened yet", banyan.ErrUnavailable)

// Take implements limit.Store.
func (s *lateStore) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	select {
	case <-s.ready:
		results, err := s.store.Take(ctx, requests)
		s.watch(err)
		return results, err
	default:
		return nil, errNotOpen
	}
}

// watch tells of a store that was open and does not answer any more: requests go on
// meanwhile, each gateway by its share, and nobody else would say so.
func (s *lateStore) watch(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.failed = 0
		return
	}
	if s.failed++; s.failed == outage && time.Since(s.told) >= tellEvery {
		s.told = time.Now()
		s.report(fmt.Errorf("it was open, and does not answer any more: %w", err))
	}
}

// Close ends the opening, or closes the store.
func (s *lateStore) Close() error {
	s.stop()
	s.running.Wait()
	if s.store == nil {
		return nil
	}
	return s.store.Close()
}

// open tries until it succeeds, cannot ever, or ctx ends. It reports the first
// failure.
func (s *lateStore) open(ctx context.Context, open func(context.Context) (opened, error)) {
	for n := 0; ctx.Err() == nil; n++ {
		once, cancel := context.WithTimeout(ctx, openingTimeout)
		store, err := open(once)
		cancel()
		if err == nil {
			s.store = store
			close(s.ready)
			return
		}
		if n == 0 && errors.Is(err, banyan.ErrInvalid) {
			select {
			case s.wrong <- err:
				return
			case <-s.late: // the server has said so, and may say something else later
			}
		}
		if n == 0 && ctx.Err() == nil {
			s.report(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(reopening):
		}
	}
}

func openRedis(ctx context.Context, url string) (opened, error) {
	return redislimit.Open(ctx, url, nil)
}

// postgresLimits are limits with their database.
type postgresLimits struct {
	*postgres.Limits
	db *postgres.DB
}

func openPostgres(ctx context.Context, dsn string) (opened, error) {
	db, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	l, err := db.Limits(ctx)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &postgresLimits{l, db}, nil
}

// Close closes the limits, and then the database.
func (p *postgresLimits) Close() error { return errors.Join(p.Limits.Close(), p.db.Close()) }
