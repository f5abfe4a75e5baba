package shop

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/payments"
	"github.com/banyanhq/banyan/example/shop/users"
	"github.com/banyanhq/banyan/resilience"
	"github.com/banyanhq/banyan/store"
)

// Users sets up the service users; its events are in the store of the App. Its
// setting "refuse-strangers" is "true" where only registered customers may order.
func Users(a *app.App) error { return serveUsers(a, a.Store, api.New(a.Mux(), "users")) }

func serveUsers(a *app.App, st *store.Store, to *api.API) error {
	o := &users.Options{}
	if text := a.Setting("refuse-strangers"); text != "" {
		var err error
		if o.RefuseStrangers, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("shop: setting refuse-strangers: %w: want true or false", banyan.ErrInvalid)
		}
	}
	s, err := users.New(st, o)
	if err != nil {
		return err
	}
	s.Serve(to)
	return nil
}

// Payments sets up the service payments; its events are in the store of the App.
// Its setting "limit" is the most that one payment may be for who has no limit of
// their own, such as "1000.00".
func Payments(a *app.App) error { return servePayments(a, a.Store, api.New(a.Mux(), "payments")) }

func servePayments(a *app.App, st *store.Store, to *api.API) error {
	s, err := payments.New(st, &payments.Options{Limit: a.Setting("limit")})
	if err != nil {
		return err
	}
	s.Serve(to)
	return nil
}

// vetting returns how the orders of an App ask others: at the URLs in its settings
// "users" and "payments" or, where inProcess is not nil and there is no URL, there.
// "patience" says how long an order waits for either, such as "2s".
func vetting(a *app.App, inProcess http.Handler) (orders.Vetting, error) {
	o := &orders.ServicesOptions{Users: a.Setting("users"), Payments: a.Setting("payments"), Hooks: &resilience.Hooks{
		OnBreaker: func(policy string, from, to resilience.State) {
			a.Log.Warn("breaker", slog.String("service", policy), slog.String("from", from.String()), slog.String("to", to.String()))
		},
	}}
	if text := a.Setting("patience"); text != "" {
		var err error
		if o.Patience, err = time.ParseDuration(text); err != nil || o.Patience <= 0 {
			return nil, fmt.Errorf("shop: setting patience: %w: want a duration above 0, such as 2s", banyan.ErrInvalid)
		}
	}
	if inProcess != nil && o.Users == "" && o.Payments == "" {
		o.Users, o.Payments, o.Transport = "http://users", "http://payments", local{inProcess}
	}
	for name, url := range map[string]string{"users": o.Users, "payments": o.Payments} {
		if url == "" {
			a.Log.Warn("orders are placed without asking " + name + "; say where it is with --set " + name + "=URL")
		}
	}
	s, err := orders.NewServices(o)
	if err != nil {
		return nil, err
	}
	a.Go("connections", func(ctx context.Context) error {
		<-ctx.Done()
		s.Close()
		return nil
	})
	return s, nil
}
