package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

type placed struct {
	Country string `json:"country"`
	Poison  bool   `json:"poison"`
}

type count struct {
	Orders int `json:"orders"`
}

func countries(types *banyan.Types) (*projection.Definition, *view.Collection[count]) {
	rows := view.NewCollection[count]("countries")
	d := projection.Define("countries", types, &projection.Options{Collections: []projection.Collection{rows}})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p placed, _ banyan.Event) error {
		if p.Poison {
			return errors.New("bad luck")
		}
		return rows.Update(ctx, b.Writer(), p.Country, func(c *count) error { c.Orders++; return nil })
	})
	return d, rows
}

// The projection of one service reads its own log, and that of another service
// through its database; rows and health follow.
func TestProject(t *testing.T) {
	t.Parallel()
	types := banyan.NewTypes(banyan.TypeOf[placed]("order.placed", 1))
	place := func(a *app.App, stream string, p placed) store.Token {
		t.Helper()
		e, err := types.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Store.Append(t.Context(), stream, store.NoStream, e)
		if err != nil {
			t.Fatal(err)
		}
		return r.Token()
	}
	dir := t.TempDir()
	orders, _ := setup(t, func(c *app.Config) { c.StoreURL, c.Dir = "sqlite:orders.db", dir })
	own, rows := countries(types)
	runner, err := orders.Project(own)
	if err != nil {
		t.Fatal(err)
	}
	analytics, _ := setup(t, func(c *app.Config) { c.Name, c.StoreURL, c.Dir = "analytics", "sqlite:analytics.db", dir })
	db, err := analytics.Database(t.Context(), "sqlite:orders.db")
	if err != nil {
		t.Fatal(err)
	}
	log, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, otherRows := countries(types)
	otherRunner, err := analytics.ProjectFrom(log, other)
	if err != nil {
		t.Fatal(err)
	}
	start(t, orders)
	start(t, analytics)

	token := place(orders, "order-1", placed{Country: "Eire"})
	for _, side := range []struct {
		a      *app.App
		runner *projection.Runner
		rows   *view.Collection[count]
	}{{orders, runner, rows}, {analytics, otherRunner, otherRows}} {
		if err := side.runner.Wait(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		got, found, err := side.rows.Get(t.Context(), side.a.Views, "Eire")
		if err != nil || !found || got.Orders != 1 {
			t.Errorf("%s: Eire = %+v, %v, %v; want one order", side.a.Name, got, found, err)
		}
	}
	place(orders, "order-2", placed{Poison: true})
	eventually(t, "a parked key shows in /health", func() bool {
		h := decode[health](t, get(t, orders, "/health").body)
		return h.Status == "warning" && len(h.Projections) == 1 && h.Projections[0]["parked_keys"] == 1.0
	})
	h := decode[health](t, get(t, orders, "/health").body)
	p := h.Projections[0]
	if owner, _ := p["owner"].(string); p["name"] != "countries" || p["lag_events"] != 0.0 || p["lag_seconds"] != 0.0 || p["generation"] != 1.0 || !strings.HasPrefix(owner, "orders/") {
		t.Errorf("projection in /health = %v", p)
	}
	if got := get(t, orders, "/readyz"); got.code != http.StatusOK {
		t.Errorf("/readyz = %+v: a parked key must not take the service out", got)
	}
}

func TestProjectRefusesABadDefinition(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, nil)
	if _, err := a.Project(projection.Define("Bad Name", nil, nil)); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("Project = %v, want kind invalid", err)
	}
	// A caller that ignores the error does not run without the projection.
	if err := a.Run(t.Context()); !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), "Bad Name") {
		t.Errorf("Run = %v, want the mistake", err)
	}
}
