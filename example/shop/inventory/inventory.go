// Package inventory knows how much of each product was sold and came back. It
// reads the log of the orders and keeps its own read model; it can be rebuilt from
// the log at any time.
package inventory

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// Stock is the movement of a product.
type Stock struct {
	SKU      string      `json:"sku"`
	Sold     api.Integer `json:"sold" doc:"Units that were ordered."`
	Returned api.Integer `json:"returned" doc:"Units that came back."`
}

// Clone lets a batch keep movements as Go values; see view.Collection.
func (s Stock) Clone() Stock { return s }

func newStock() *view.Collection[Stock] { return view.NewCollection[Stock]("stock") }

// Projection folds the log of the orders into the movements.
func Projection() *projection.Definition {
	stock := newStock()
	d := projection.Define("inventory", orders.Types, &projection.Options{Collections: []projection.Collection{stock}})
	move := func(ctx context.Context, b *projection.Batch, items []orders.Item, change func(*Stock, int64)) error {
		for _, item := range items {
			err := stock.Update(ctx, b.Writer(), orders.RowKey(item.StockCode), func(s *Stock) error {
				s.SKU = item.StockCode
				change(s, item.Quantity)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	projection.On(d, func(ctx context.Context, b *projection.Batch, p orders.Placed, _ banyan.Event) error {
		return move(ctx, b, p.Items, func(s *Stock, quantity int64) { s.Sold = s.Sold.Plus(quantity) })
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r orders.Returned, _ banyan.Event) error {
		return move(ctx, b, r.Items, func(s *Stock, quantity int64) { s.Returned = s.Returned.Minus(quantity) })
	})
	return d
}

// Service answers from the movements.
type Service struct {
	db    *view.DB
	upTo  api.Waiter
	stock *view.Collection[Stock]
}

// New returns a service that reads what Projection writes to db; upTo is its
// runner.
func New(db *view.DB, upTo api.Waiter) *Service {
	return &Service{db: db, upTo: upTo, stock: newStock()}
}

type getRequest struct {
	api.Fresh
	SKU string `path:"sku"`
}

type getAnswer struct{ Body Stock }

// Serve registers the operation of the service.
func (s *Service) Serve(a *api.API) {
	api.Handle(a, huma.Operation{
		OperationID: "get-stock", Method: http.MethodGet, Path: "/inventory/{sku}", Tags: []string{"inventory"},
		Summary: "How much of a product was sold and came back",
	}, func(ctx context.Context, in *getRequest) (*getAnswer, error) {
		if err := in.Await(ctx, s.upTo); err != nil {
			return nil, err
		}
		stock, found, err := s.stock.Get(ctx, s.db, orders.RowKey(in.SKU))
		if err == nil && !found {
			err = fmt.Errorf("product %q: %w", in.SKU, banyan.ErrNotFound)
		}
		return &getAnswer{stock}, err
	})
	api.Handle(a, huma.Operation{
		OperationID: "list-stock", Method: http.MethodGet, Path: "/stock", Tags: []string{"inventory"},
		Summary: "How much of several products was sold and came back",
	}, s.list)
}

type listRequest struct {
	api.Fresh
	IDs []string `query:"ids" required:"true" minItems:"1" maxItems:"100" doc:"Codes of products. Those that are not known are left out."`
}

// Movements are those of several products.
type Movements struct {
	Items []Stock `json:"items" doc:"In the order of the codes that were asked for, each once."`
}

type listAnswer struct{ Body Movements }

func (s *Service) list(ctx context.Context, in *listRequest) (*listAnswer, error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return nil, err
	}
	found, err := api.Pick(ctx, s.db, s.stock, in.IDs, orders.RowKey)
	return &listAnswer{Movements{found}}, err
}
