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
)

// opened is a store for limits and what it needs.
type opened interface {
	limit.Store
	Close() error
}

// openLimits returns the store of a URL. It is opened behind its back, and again
// until that succeeds: a database that is down must not keep a gateway from
// starting.
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
	ctx, stop := context.WithCancel(context.Background())
	s := &lateStore{stop: stop, ready: make(chan struct{})}
	s.running.Go(func() {
		s.open(ctx, func(ctx context.Context) (opened, error) { return open(ctx, text) }, report)
	})
	select {
	case <-s.ready:
	case <-time.After(patience):
	}
	return s, nil
}

// lateStore is a store that becomes one when it is open.
type lateStore struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	ready   chan struct{} // closed when store is set
	store   opened
}

// errNotOpen is why nothing could be taken.
var errNotOpen = fmt.Errorf("the store of the limits: %w: it could not be opened yet", banyan.ErrUnavailable)

// Take implements limit.Store.
func (s *lateStore) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	select {
	case <-s.ready:
		return s.store.Take(ctx, requests)
	default:
		return nil, errNotOpen
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

// open tries until it succeeds or ctx ends. It reports the first failure.
func (s *lateStore) open(ctx context.Context, open func(context.Context) (opened, error), report func(error)) {
	for n := 0; ctx.Err() == nil; n++ {
		once, cancel := context.WithTimeout(ctx, openingTimeout)
		store, err := open(once)
		cancel()
		if err == nil {
			s.store = store
			close(s.ready)
			return
		}
		if n == 0 && ctx.Err() == nil {
			report(err)
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
