package analytics

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/view"
)

// Service answers from the read models.
type Service struct {
	db   *view.DB
	upTo api.Waiter
	rows collections
}

// New returns a service that reads what Projection writes to db; upTo is its
// runner.
func New(db *view.DB, upTo api.Waiter) *Service {
	return &Service{db: db, upTo: upTo, rows: newCollections()}
}

// Summary is the shop at a glance.
type Summary struct {
	Orders           int64  `json:"orders"`
	Returns          int64  `json:"returns"`
	InvoicesRejected int64  `json:"invoices_rejected"`
	LinesAccepted    int64  `json:"lines_accepted"`
	LinesRejected    int64  `json:"lines_rejected"`
	Revenue          string `json:"revenue" doc:"What orders brought in, exactly." example:"823746.14"`
	Refunds          string `json:"refunds" doc:"What was paid back, exactly and above 0." example:"74789.12"`
	Events           int64  `json:"events" doc:"How many events this counts."`
}

// Share is the part of the revenue that a country, day or customer has.
type Share struct {
	ID      string `json:"id"`
	Orders  int64  `json:"orders"`
	Revenue string `json:"revenue"`
}

// Units is how much of a product was ordered.
type Units struct {
	ID    string      `json:"id"`
	Units api.Integer `json:"units"`
}

// Shares is a page of them.
type Shares struct {
	Items []Share `json:"items"`
	Next  string  `json:"next,omitempty" doc:"Send it as after for the next page; absent at the end."`
}

// UnitsPage is a page of products with their units.
type UnitsPage struct {
	Items []Units `json:"items"`
	Next  string  `json:"next,omitempty" doc:"Send it as after for the next page; absent at the end."`
}

// Serve registers the operations of the service.
func (s *Service) Serve(a *api.API) {
	get := func(path, id, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: "/analytics" + path, Summary: summary, Tags: []string{"analytics"}}
	}
	api.Handle(a, get("/summary", "summary", "The totals"), s.summary)
	api.Handle(a, get("/countries", "countries", "Revenue by country, in order of names"), s.shares(s.rows.countries, ""))
	api.Handle(a, get("/days", "days", "Revenue by day, in order of time"), s.shares(s.rows.days, ""))
	api.Handle(a, get("/customers/top", "top-customers", "Customers by revenue, the highest first, equal ones in order of their ids"), s.shares(s.rows.customers, byAmount))
	api.Handle(a, get("/products/top", "top-products", "Products by units, the most first, equal ones in order of their codes"), s.topProducts)
}

type summaryAnswer struct{ Body Summary }

func (s *Service) summary(ctx context.Context, in *api.Fresh) (*summaryAnswer, error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return nil, err
	}
	t, _, err := s.rows.totals.Get(ctx, s.db, theRow)
	if err != nil {
		return nil, err
	}
	return &summaryAnswer{Summary{
		Orders: t.Orders, Returns: t.Returns, InvoicesRejected: t.InvoicesRejected,
		LinesAccepted: t.LinesAccepted, LinesRejected: t.LinesRejected,
		Revenue: t.Revenue.String(), Refunds: t.Refunds.String(), Events: t.Events,
	}}, nil
}

type pageRequest struct {
	api.Fresh
	api.Page
}

type sharesAnswer struct{ Body Shares }

// shares lists a collection: by an index from the top, or by key.
func (s *Service) shares(c *view.Collection[share], index string) func(context.Context, *pageRequest) (*sharesAnswer, error) {
	return func(ctx context.Context, in *pageRequest) (*sharesAnswer, error) {
		page, err := read(ctx, s, in, c, index)
		if err != nil {
			return nil, err
		}
		out := &sharesAnswer{Shares{Items: []Share{}, Next: api.Next(page.Next)}}
		for _, item := range page.Items {
			out.Body.Items = append(out.Body.Items, Share{item.Value.ID, item.Value.Orders, item.Value.Revenue.String()})
		}
		return out, nil
	}
}

type unitsAnswer struct{ Body UnitsPage }

func (s *Service) topProducts(ctx context.Context, in *pageRequest) (*unitsAnswer, error) {
	page, err := read(ctx, s, in, s.rows.products, byAmount)
	if err != nil {
		return nil, err
	}
	out := &unitsAnswer{UnitsPage{Items: []Units{}, Next: api.Next(page.Next)}}
	for _, item := range page.Items {
		out.Body.Items = append(out.Body.Items, Units{item.Value.ID, item.Value.Units})
	}
	return out, nil
}

func read[T any](ctx context.Context, s *Service, in *pageRequest, c *view.Collection[T], index string) (view.PageOf[T], error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return view.PageOf[T]{}, err
	}
	q, err := in.Query(index, index != "")
	if err != nil {
		return view.PageOf[T]{}, err
	}
	return c.Scan(ctx, s.db, q)
}
