package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/cache"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
)

// purger removes from the cache what events make old.
type purger struct {
	log *slog.Logger

	// For one goroutine.
	events []gateway.CacheEvents
	cache  *cache.Cache
	stop   context.CancelFunc
	all    *sync.WaitGroup
}

// follow begins to read the logs that a configuration names, if it does not
// already.
func (p *purger) follow(ctx context.Context, events []gateway.CacheEvents, c *cache.Cache) {
	if c == p.cache && reflect.DeepEqual(events, p.events) {
		return
	}
	p.end()
	p.events, p.cache, p.all = events, c, new(sync.WaitGroup)
	ctx, p.stop = context.WithCancel(ctx)
	for i := range events {
		p.all.Go(func() { (&source{CacheEvents: &events[i], cache: c, log: p.log}).run(ctx) })
	}
}

// end stops reading.
func (p *purger) end() {
	if p.stop != nil {
		p.stop()
		p.all.Wait()
	}
}

// source is a log that is followed.
type source struct {
	*gateway.CacheEvents
	cache *cache.Cache
	log   *slog.Logger
	at    banyan.Position // of the last event that was handled; 0 at first
	said  bool            // that there is something wrong
}

const (
	// again is the pause after something went wrong.
	again = 2 * time.Second
	// glance is how often projections are asked how far they are.
	glance = 25 * time.Millisecond
)

// run follows the log until ctx ends, whatever happens to the database.
func (s *source) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.once(ctx)
		if err != nil && ctx.Err() == nil && !s.said {
			s.said = true
			s.log.Error("events that purge the cache cannot be read; answers may be old until they can", "error", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// once follows the log until something is wrong.
func (s *source) once(ctx context.Context) (err error) {
	purge, err := s.Invalidator(s.cache)
	if err != nil {
		return err
	}
	db, err := app.OpenExisting(ctx, s.Store, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	events, err := db.Store(nil)
	if err != nil {
		return err
	}
	ready, closeViews, err := s.projections(ctx, events, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeViews()) }()
	if s.at == 0 { // what was stored before this moment may be older than the log's end
		if s.at, err = events.Head(ctx); err != nil {
			return err
		}
		if _, err := s.cache.Purge(cache.Purge{All: true}); err != nil {
			return err
		}
	}
	if s.said {
		s.said = false
		s.log.Info("events that purge the cache are read again")
	}
	for e, err := range events.Follow(ctx, s.at, store.Filter{}) {
		if err != nil {
			return err
		}
		if err := ready(ctx, e.Position); err != nil {
			return err
		}
		if err := purge.Handle(ctx, e); err != nil {
			s.log.Warn("an event does not say what it makes old", "event", e.ID, "type", e.Type, "error", err.Error())
		}
		s.at = e.Position
	}
	return ctx.Err()
}

// projections returns what waits until they have handled an event, and what closes
// their database.
func (s *source) projections(ctx context.Context, events *store.Store, db *app.Database) (ready func(context.Context, banyan.Position) error, end func() error, err error) {
	end = func() error { return nil }
	if s.Views != "" && s.Views != s.Store {
		if db, err = app.OpenExisting(ctx, s.Views, ""); err != nil {
			return nil, nil, err
		}
		end = db.Close
	}
	views, err := db.Views()
	var all []*projection.Remote
	for _, name := range s.Behind {
		var r *projection.Remote
		if err == nil {
			r, err = projection.NewRemote(events, views, name, nil)
		}
		all = append(all, r)
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	var handled banyan.Position // by all
	return func(ctx context.Context, at banyan.Position) error {
		for handled < at {
			if handled, err = least(ctx, all); err != nil || handled >= at {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(glance):
			}
		}
		return nil
	}, end, nil
}

// least returns how far all projections are.
func least(ctx context.Context, all []*projection.Remote) (banyan.Position, error) {
	at := banyan.Position(math.MaxInt64)
	for _, r := range all {
		status, err := r.Status(ctx)
		if err != nil {
			return 0, fmt.Errorf("a projection that the cache is purged behind: %w", err)
		}
		at = min(at, status.Active().Position)
	}
	return at, nil
}
