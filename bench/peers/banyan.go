package main

import (
	"context"
	"errors"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

type banyanSystem struct {
	db *postgres.DB
	s  *store.Store
}

func openBanyan(ctx context.Context, dsn string) (system, error) {
	db, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	s, err := db.Store(nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &banyanSystem{db, s}, nil
}

func (b *banyanSystem) insert(ctx context.Context, rows []row) error {
	events := make([]banyan.Event, len(rows))
	for i, r := range rows {
		events[i] = banyan.Event{
			ID: r.id, Type: r.kind, Source: r.source, Time: r.time, Data: r.data,
			Meta: banyan.Metadata{Correlation: r.id, Causation: r.id},
		}
	}
	_, err := b.s.Append(ctx, "order-"+rows[0].aggregate, store.Exact(banyan.Revision(rows[0].version-1)), events...)
	return err
}

// settle has the store give positions to everything that was appended.
func (b *banyanSystem) settle(ctx context.Context) error {
	_, err := b.s.Head(ctx)
	return err
}

func (b *banyanSystem) readAll(ctx context.Context) (n int, err error) {
	for _, err := range b.s.All(ctx, 0, store.Filter{}) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (b *banyanSystem) close() error { return errors.Join(b.s.Close(), b.db.Close()) }
