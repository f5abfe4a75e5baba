// Package shop puts the services of the reference system together: each alone in
// a process of its own, or all in one.
//
// Package orders takes orders and returns. Packages analytics, inventory and
// catalogue read its log and keep read models of their own. Packages users and
// payments are asked before an order is placed, over HTTP; each keeps a log of its
// own. Each service has its own database.
package shop

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop/analytics"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/catalogue"
	"github.com/banyanhq/banyan/example/shop/inventory"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// Orders sets up the service orders: its events and its lists are in the databases
// of the App. Its settings "users" and "payments" are the URLs of the services that
// it asks before it places an order; one without a URL is not asked. It waits for
// either as long as its setting "patience" says (default: 2s).
func Orders(a *app.App) error {
	v, err := vetting(a, nil)
	if err != nil {
		return err
	}
	return serveOrders(a, v, a.Project, api.New(a.Mux(), "orders"))
}

// project has an App run a projection, such as App.Project.
type project func(*projection.Definition) (*projection.Runner, error)

func serveOrders(a *app.App, v orders.Vetting, p project, to *api.API) error {
	desk, err := orders.New(a.Store, v)
	if err != nil {
		return err
	}
	upTo, err := p(orders.Projection())
	if err != nil {
		return err
	}
	desk.Serve(to)
	orders.NewRejects(a.Views, upTo).Serve(to)
	history := orders.NewHistory(a.Views, upTo)
	history.Serve(to)
	a.Go("validator", orders.NewValidator(desk, history, &orders.ValidatorOptions{Logger: a.Log}).Run)
	return nil
}

// reader is a service that reads the log of the orders.
type reader struct {
	projection func() *projection.Definition
	serve      func(*view.DB, api.Waiter, *api.API)
}

func readers() map[string]reader {
	return map[string]reader{
		"analytics": {analytics.Projection, func(db *view.DB, upTo api.Waiter, to *api.API) { analytics.New(db, upTo).Serve(to) }},
		"inventory": {inventory.Projection, func(db *view.DB, upTo api.Waiter, to *api.API) { inventory.New(db, upTo).Serve(to) }},
		"catalogue": {catalogue.Projection, func(db *view.DB, upTo api.Waiter, to *api.API) { catalogue.New(db, upTo).Serve(to) }},
	}
}

// Names are the services that read the log of the orders.
func Names() []string { return []string{"analytics", "inventory", "catalogue"} }

// Databases are the services, besides the orders, that All wants a database for.
func Databases() []string { return append(Names(), "users", "payments") }

// Reader returns the setup of a service that reads the log of the orders. Its read
// models are in the views of the App; its setting "orders" is the URL of the store
// of the orders.
func Reader(name string) func(*app.App) error {
	return func(a *app.App) error {
		r, ok := readers()[name]
		if !ok {
			return fmt.Errorf("shop: service %q: %w: known are %s", name, banyan.ErrNotFound, strings.Join(Names(), ", "))
		}
		source := a.Setting("orders")
		if source == "" {
			return fmt.Errorf("shop: service %s: %w: say where the orders are with --set orders=URL", name, banyan.ErrInvalid)
		}
		db, err := a.Database(context.Background(), source)
		if err != nil {
			return err
		}
		log, err := db.Store(nil)
		if err != nil {
			return err
		}
		fromOrders := func(d *projection.Definition) (*projection.Runner, error) { return a.ProjectFrom(log, d) }
		return r.setUp(a.Views, fromOrders, api.New(a.Mux(), name))
	}
}

// All sets up all services in one process and behind one OpenAPI document. The
// orders use the databases of the App; database has the URL of that of each of the
// others. Users and payments are called in the process, unless the settings "users"
// and "payments" have URLs.
func All(a *app.App, database func(service string) string) error {
	to := api.New(a.Mux(), "shop")
	for name, serve := range map[string]func(*app.App, *store.Store, *api.API) error{"users": serveUsers, "payments": servePayments} {
		db, err := a.Database(context.Background(), database(name))
		if err != nil {
			return err
		}
		st, err := db.Store(nil)
		if err != nil {
			return err
		}
		if err := serve(a, st, to); err != nil {
			return err
		}
	}
	v, err := vetting(a, a.Mux())
	if err != nil {
		return err
	}
	if err := serveOrders(a, v, into(a, a.Views), to); err != nil {
		return err
	}
	for _, name := range Names() {
		db, err := a.Database(context.Background(), database(name))
		if err != nil {
			return err
		}
		rows, err := db.Views()
		if err != nil {
			return err
		}
		if err := readers()[name].setUp(rows, into(a, rows), to); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) setUp(db *view.DB, p project, to *api.API) error {
	upTo, err := p(r.projection())
	if err != nil {
		return err
	}
	r.serve(db, upTo, to)
	return nil
}

// lease is short, because there is nobody to compete with but a process that was
// killed.
const lease = 2 * time.Second

// into has an App run projections of its own log into any database.
func into(a *app.App, db *view.DB) project {
	return func(d *projection.Definition) (*projection.Runner, error) {
		runner, err := projection.NewRunner(a.Store, db, d, &projection.RunnerOptions{Logger: a.Log, Lease: lease})
		if err != nil {
			return nil, err
		}
		a.Attach(runner)
		return runner, nil
	}
}

// URLFor returns the URL of one service's database, derived from that of the whole
// shop: a file beside the given one, a schema of its own in PostgreSQL.
func URLFor(shop, service string) (string, error) {
	scheme, rest, _ := strings.Cut(shop, ":")
	switch strings.ToLower(scheme) {
	case "mem":
		return shop, nil
	case "sqlite":
		file, options, _ := strings.Cut(rest, "?")
		if options != "" {
			options = "?" + options
		}
		if file == "" || strings.HasSuffix(file, "/") {
			return scheme + ":" + file + service + ".db" + options, nil
		}
		ext := path.Ext(file)
		return scheme + ":" + strings.TrimSuffix(file, ext) + "-" + service + ext + options, nil
	case "postgres", "postgresql":
		base, query, _ := strings.Cut(shop, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			return "", fmt.Errorf("shop: the options of the store's URL: %w: want key=value&key=value", banyan.ErrInvalid)
		}
		schema := values.Get("schema")
		if schema == "" {
			schema = "shop"
		}
		values.Set("schema", schema+"_"+service)
		return base + "?" + values.Encode(), nil
	default:
		return "", fmt.Errorf("shop: %w: the store's URL %q: want mem:, sqlite:PATH or postgres://HOST/DATABASE", banyan.ErrInvalid, app.Redact(shop))
	}
}
