package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/modernice/goes/backend/postgres"
	"github.com/modernice/goes/codec"
	"github.com/modernice/goes/event"
	"github.com/modernice/goes/event/query"
	"github.com/modernice/goes/helper/streams"
)

type goesSystem struct {
	store *postgres.EventStore
	pool  *pgxpool.Pool
}

// payload goes through the codec as it is. The codec wants Marshal on the value
// and Unmarshal on the pointer.
type payload []byte

func (p payload) Marshal() ([]byte, error) { return p, nil }

func (p *payload) Unmarshal(b []byte) error {
	*p = b
	return nil
}

// openGoes hands the store a pool: with a URL the store would make one of 4
// connections, and show the URL in its errors.
func openGoes(ctx context.Context, dsn string) (system, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = clients
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	registry := codec.New()
	codec.Register[payload](registry, "order.placed")
	g := &goesSystem{postgres.NewEventStore(registry, postgres.Pool(pool)), pool}
	if err := g.store.Connect(ctx); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *goesSystem) insert(ctx context.Context, rows []row) error {
	aggregate, err := uuid.Parse(rows[0].aggregate)
	if err != nil {
		return err
	}
	events := make([]event.Event, len(rows))
	for i, r := range rows {
		id, err := uuid.Parse(r.id)
		if err != nil {
			return err
		}
		events[i] = event.New[any](r.kind, payload(r.data), event.ID(id), event.Time(r.time), event.Aggregate(aggregate, "order", r.version))
	}
	return g.store.Insert(ctx, events...)
}

func (g *goesSystem) settle(context.Context) error { return nil }

func (g *goesSystem) readAll(ctx context.Context) (n int, err error) {
	events, errs, err := g.store.Query(ctx, query.New(query.SortByTime()))
	if err != nil {
		return 0, err
	}
	err = streams.Walk(ctx, func(event.Event) error { n++; return nil }, events, errs)
	return n, err
}

func (g *goesSystem) close() error {
	g.pool.Close()
	return nil
}
