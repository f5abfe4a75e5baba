// Package catalogue knows the products that were ever sold, by the descriptions on
// the invoices. It reads the log of the orders and keeps its own read model; it
// can be rebuilt from the log at any time.
package catalogue

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

// Product is what is known of a product.
type Product struct {
	SKU         string `json:"sku"`
	Description string `json:"description,omitempty" doc:"The latest that was written on an order."`
	UnitPrice   string `json:"unit_price" doc:"The latest that was asked." example:"2.55"`
}

// listed is a product with the stamps of what is known, because orders may be
// imported in any order: the latest is what has the highest stamp.
type listed struct {
	SKU         string `json:"sku"`
	Description string `json:"description,omitempty"`
	Described   string `json:"described,omitempty"`
	UnitPrice   string `json:"unit_price"`
	Priced      string `json:"priced"`
}

// Clone lets a batch keep products as Go values; see view.Collection.
func (l listed) Clone() listed { return l }

// stamp is text that sorts lines by time, then by invoice, then by place in it.
func stamp(p orders.Placed, line int) string {
	return fmt.Sprintf("%s %s %06d", p.Date.UTC().Format("2006-01-02T15:04:05.000000"), p.Number, p.Before+line)
}

// seen returns the product after one more line.
func (l listed) seen(item orders.Item, at string) listed {
	l.SKU = item.StockCode
	if item.Description != "" && at >= l.Described {
		l.Description, l.Described = item.Description, at
	}
	if at >= l.Priced {
		l.UnitPrice, l.Priced = item.UnitPrice.String(), at
	}
	return l
}

func newProducts() *view.Collection[listed] { return view.NewCollection[listed]("catalogue") }

// Projection folds the log of the orders into the products.
func Projection() *projection.Definition {
	products := newProducts()
	d := projection.Define("catalogue", orders.Types, &projection.Options{Collections: []projection.Collection{products}})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p orders.Placed, _ banyan.Event) error {
		for i, item := range p.Items {
			err := products.Update(ctx, b.Writer(), orders.RowKey(item.StockCode), func(l *listed) error {
				*l = l.seen(item, stamp(p, i))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return d
}

// Service answers from the products.
type Service struct {
	db       *view.DB
	upTo     api.Waiter
	products *view.Collection[listed]
}

// New returns a service that reads what Projection writes to db; upTo is its
// runner.
func New(db *view.DB, upTo api.Waiter) *Service {
	return &Service{db: db, upTo: upTo, products: newProducts()}
}

// Products is a page of products.
type Products struct {
	Items []Product `json:"items"`
	Next  string    `json:"next,omitempty" doc:"Send it as after for the next page; absent at the end."`
}

// Serve registers the operations of the service.
func (s *Service) Serve(a *api.API) {
	get := func(path, id, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{"catalogue"}}
	}
	api.Handle(a, get("/products", "products", "All products in order of their codes, or those with given codes"), s.list)
	api.Handle(a, get("/products/{sku}", "get-product", "One product"), s.get)
}

type listRequest struct {
	api.Fresh
	api.Page
	IDs []string `query:"ids" maxItems:"100" doc:"Only the products with these codes, in this order, each once; without pages. Those that are not known are left out."`
}

type listAnswer struct{ Body Products }

func (s *Service) list(ctx context.Context, in *listRequest) (*listAnswer, error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return nil, err
	}
	if len(in.IDs) > 0 {
		return s.pick(ctx, in.IDs)
	}
	q, err := in.Query("", false)
	if err != nil {
		return nil, err
	}
	page, err := s.products.Scan(ctx, s.db, q)
	if err != nil {
		return nil, err
	}
	out := &listAnswer{Products{Items: []Product{}, Next: api.Next(page.Next)}}
	for _, item := range page.Items {
		out.Body.Items = append(out.Body.Items, item.Value.product())
	}
	return out, nil
}

func (s *Service) pick(ctx context.Context, ids []string) (*listAnswer, error) {
	found, err := api.Pick(ctx, s.db, s.products, ids, orders.RowKey)
	out := &listAnswer{Products{Items: []Product{}}}
	for _, l := range found {
		out.Body.Items = append(out.Body.Items, l.product())
	}
	return out, err
}

type getRequest struct {
	api.Fresh
	SKU string `path:"sku"`
}

type getAnswer struct{ Body Product }

func (s *Service) get(ctx context.Context, in *getRequest) (*getAnswer, error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return nil, err
	}
	l, found, err := s.products.Get(ctx, s.db, orders.RowKey(in.SKU))
	if err == nil && !found {
		err = fmt.Errorf("product %q: %w", in.SKU, banyan.ErrNotFound)
	}
	return &getAnswer{l.product()}, err
}

func (l listed) product() Product {
	return Product{SKU: l.SKU, Description: l.Description, UnitPrice: l.UnitPrice}
}
