package mem

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// DB is a database in memory. The Stores it hands out share its events, as two
// connections of a real database would.
type DB struct {
	events events
	views  views
}

// Open returns an empty database.
func Open() *DB {
	db := &DB{}
	db.events.init()
	db.views.init()
	return db
}

// Store returns a store of the events of the DB; nil options mean the defaults.
// Closing it leaves the events where they are.
func (db *DB) Store(o *store.Options) (*store.Store, error) {
	return store.New(db.Backend(), o)
}

// Backend returns the events of the DB as a store.Backend: the reference that
// other back ends are compared with. Users want Store.
func (db *DB) Backend() store.Backend { return role{&db.events} }

// Views returns the read models of the DB. Closing them leaves them where they
// are.
func (db *DB) Views() (*view.DB, error) { return view.New(db.ViewBackend()), nil }

// ViewBackend returns the read models of the DB as a view.Backend: the reference
// that other back ends are compared with. Users want Views.
func (db *DB) ViewBackend() view.Backend { return viewRole{&db.views} }

// Close forgets everything. Later calls, also of Stores, fail with
// banyan.ErrClosed; closing twice is allowed.
func (db *DB) Close() error {
	db.events.close()
	db.views.close()
	return nil
}

// ready refuses a call whose context has ended; nothing was done then.
func ready(ctx context.Context, closed bool) error {
	if closed {
		return fmt.Errorf("the database is %w", banyan.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", banyan.ErrUnavailable, err)
	}
	return nil
}

// role is one store's handle on the events: its Close must not close the DB.
type role struct{ *events }

func (role) Close() error { return nil }

// viewRole is one view.DB's handle on the read models.
type viewRole struct{ *views }

func (viewRole) Close() error { return nil }

var (
	_ store.Backend     = role{}
	_ store.Snapshotter = role{}
)
