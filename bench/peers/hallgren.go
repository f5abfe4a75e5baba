package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hallgren/eventsourcing/core"
	eventstore "github.com/hallgren/eventsourcing/eventstore/sql"
	"github.com/lib/pq"
)

// hallgrenSystem has no contexts: neither Save nor All takes one.
type hallgrenSystem struct {
	store *eventstore.Postgres
	db    *sql.DB
}

func openHallgren(ctx context.Context, dsn string) (system, error) {
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return nil, errors.New("the driver lib/pq does not understand the URL")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(clients)
	db.SetMaxIdleConns(clients)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	store, err := eventstore.NewPostgres(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &hallgrenSystem{store, db}, nil
}

func (h *hallgrenSystem) insert(ctx context.Context, rows []row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	events := make([]core.Event, len(rows))
	for i, r := range rows {
		events[i] = core.Event{
			AggregateID: r.aggregate, AggregateType: "order", Version: core.Version(r.version),
			Reason: r.kind, Timestamp: r.time, Data: r.data, Metadata: r.meta,
		}
	}
	return h.store.Save(events)
}

func (h *hallgrenSystem) settle(context.Context) error { return nil }

// readAll relies on its caller to compare the number: the iterator ends without
// an error when the connection breaks.
func (h *hallgrenSystem) readAll(ctx context.Context) (n int, err error) {
	events, err := h.store.All(0)()
	if err != nil {
		return 0, err
	}
	defer events.Close()
	for events.Next() {
		if _, err := events.Value(); err != nil {
			return n, err
		}
		n++
	}
	return n, ctx.Err()
}

func (h *hallgrenSystem) close() error { return h.db.Close() }
