// Command quickstart is the code of the README: a service that takes orders,
// keeps them as events, and serves a read model of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

type Placed struct{ Customer string } // an event: what happened, in the past tense

type Order struct{ Placed bool } // the state that decisions need

func (o Order) Apply(event any) Order { _, o.Placed = event.(Placed); return o }

func Place(p Placed) aggregate.Decide[Order] { // a decision: state in, events out
	return func(o Order) ([]any, error) {
		if o.Placed {
			return nil, errors.New("the order is placed already")
		}
		return []any{p}, nil
	}
}

func Count(ctx context.Context, b *projection.Batch, p Placed, _ banyan.Event) error { // a fold over events
	return counts.Update(ctx, b.Writer(), p.Customer, func(n *int) error { *n++; return nil })
}

func run(a *app.App) error {
	orders, err := aggregate.New[Order](a.Store, "order", types, nil)
	if err != nil {
		return err
	}
	projection.On(byCustomer, Count)
	reader, err := a.Project(byCustomer)
	if err != nil {
		return err
	}
	a.Handle("POST /orders/{id}", place(orders))
	a.Handle("GET /customers/{id}", projection.Consistent(count(a.Views), reader)) // reads your writes
	return nil
}

var (
	types      = banyan.NewTypes(banyan.TypeOf[Placed]("order.placed", 1))
	counts     = view.NewCollection[int]("orders_by_customer")
	byCustomer = projection.Define("by_customer", types, &projection.Options{Collections: []projection.Collection{counts}})
)

func main() { app.Main("orders", run) }

// place answers POST /orders/{id}?customer=… The order's id is the command's
// too, so that a request sent twice is one order.
func place(orders *aggregate.Aggregate[Order]) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		answer, err := orders.Do(r.Context(), id, aggregate.Command{ID: id}, Place(Placed{r.FormValue("customer")}))
		if err != nil {
			app.Error(w, r, err)
			return
		}
		projection.SetToken(w, answer.Result)
		w.WriteHeader(http.StatusCreated)
	})
}

// count answers GET /customers/{id} with the number of orders.
func count(views *view.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _, err := counts.Get(r.Context(), views, r.PathValue("id"))
		if err != nil {
			app.Error(w, r, err)
			return
		}
		_ = json.NewEncoder(w).Encode(n) // the client has gone
	})
}
