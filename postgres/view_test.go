package postgres_test

import (
	"testing"

	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/view"
	"github.com/banyanhq/banyan/view/viewtest"
)

func (p *places) views(t testing.TB, schema string) view.Backend {
	return p.open(t, schema, func(db *postgres.DB) any { return db.ViewBackend() }).(view.Backend)
}

func TestViews(t *testing.T) {
	t.Parallel()
	p := newPlaces(t)
	viewtest.Run(t, viewtest.Harness{
		Open:   func(t testing.TB) view.Backend { return p.views(t, p.fresh(t)) },
		Reopen: func(t testing.TB, b view.Backend) view.Backend { return p.views(t, p.shut(t, b)) },
	})
}
