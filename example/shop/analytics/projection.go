package analytics

import (
	"context"
	"time"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// totals is the one row of its collection.
type totals struct {
	Events           int64           `json:"events"`
	Orders           int64           `json:"orders"`
	Returns          int64           `json:"returns"`
	InvoicesRejected int64           `json:"invoices_rejected"`
	LinesAccepted    int64           `json:"lines_accepted"`
	LinesRejected    int64           `json:"lines_rejected"`
	Revenue          decimal.Decimal `json:"revenue"`
	Refunds          decimal.Decimal `json:"refunds"`
}

const theRow = "all"

// share is the part of the revenue that a country, day or customer has.
type share struct {
	ID      string          `json:"id"`
	Orders  int64           `json:"orders"`
	Revenue decimal.Decimal `json:"revenue"`
}

// sold is how much of a product was ordered.
type sold struct {
	ID    string      `json:"id"`
	Units api.Integer `json:"units"`
}

// Clone lets a batch keep these documents as Go values, which makes a rebuild half
// as fast again; see view.Collection. Numbers, text and decimals never change in
// place, so that the value is a copy already.
func (t totals) Clone() totals { return t }

// Clone is that of totals.
func (s share) Clone() share { return s }

// Clone is that of totals.
func (s sold) Clone() sold { return s }

// collections are the read models.
type collections struct {
	totals    *view.Collection[totals]
	countries *view.Collection[share]
	days      *view.Collection[share]
	customers *view.Collection[share]
	products  *view.Collection[sold]
}

// byAmount is the index of the top lists.
const byAmount = "amount"

func newCollections() collections {
	return collections{
		totals:    view.NewCollection[totals]("totals"),
		countries: view.NewCollection[share]("countries"),
		days:      view.NewCollection[share]("days"),
		customers: view.NewCollection("customers", view.IndexOf(byAmount, func(s share) string { return sortable(s.Revenue.String()) })),
		products:  view.NewCollection("products", view.IndexOf(byAmount, func(s sold) string { return sortable(s.Units.String()) })),
	}
}

// sortable cannot fail for the text of a decimal: only sums of accepted amounts
// come here, and those are digits.
func sortable(amount string) string {
	text, _ := view.Decimal(amount)
	return text
}

// Projection folds the log of the orders into the read models.
func Projection() *projection.Definition {
	c := newCollections()
	d := projection.Define("analytics", orders.Types, &projection.Options{
		Collections: []projection.Collection{c.totals, c.countries, c.days, c.customers, c.products},
	})
	projection.On(d, c.placed)
	projection.On(d, func(ctx context.Context, b *projection.Batch, r orders.Returned, _ banyan.Event) error {
		return c.count(ctx, b, func(t *totals) {
			t.Returns += once(r.Bill)
			t.Refunds = t.Refunds.Add(r.Refund())
			t.lines(len(r.Items), len(r.Refused))
		})
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r orders.Rejected, _ banyan.Event) error {
		return c.count(ctx, b, func(t *totals) {
			t.InvoicesRejected += once(r.Bill)
			t.lines(0, len(r.Refused))
		})
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r orders.Declined, _ banyan.Event) error {
		return c.count(ctx, b, func(t *totals) {
			t.InvoicesRejected += once(r.Bill)
			t.lines(0, len(r.Refused))
		})
	})
	return d
}

// once counts an invoice with its first event only.
func once(b orders.Bill) int64 {
	if b.First() {
		return 1
	}
	return 0
}

func (t *totals) lines(accepted, rejected int) {
	t.LinesAccepted += int64(accepted)
	t.LinesRejected += int64(rejected)
}

func (c collections) count(ctx context.Context, b *projection.Batch, change func(*totals)) error {
	return c.totals.Update(ctx, b.Writer(), theRow, func(t *totals) error {
		t.Events++
		change(t)
		return nil
	})
}

func (c collections) placed(ctx context.Context, b *projection.Batch, p orders.Placed, _ banyan.Event) error {
	total := p.Total()
	if err := c.count(ctx, b, func(t *totals) {
		t.Orders += once(p.Bill)
		t.Revenue = t.Revenue.Add(total)
		t.lines(len(p.Items), len(p.Refused))
	}); err != nil {
		return err
	}
	shares := map[*view.Collection[share]]string{c.countries: p.Country, c.days: p.Date.UTC().Format(time.DateOnly)}
	if p.Customer != "" {
		shares[c.customers] = p.Customer
	}
	for to, id := range shares {
		err := to.Update(ctx, b.Writer(), orders.RowKey(id), func(s *share) error {
			s.ID = id
			s.Orders += once(p.Bill)
			s.Revenue = s.Revenue.Add(total)
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, item := range p.Items {
		err := c.products.Update(ctx, b.Writer(), orders.RowKey(item.StockCode), func(s *sold) error {
			s.ID, s.Units = item.StockCode, s.Units.Plus(item.Quantity)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
