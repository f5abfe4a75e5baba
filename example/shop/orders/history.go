package orders

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// past is an order in the list of orders.
type past struct {
	Number   string          `json:"number"`
	Customer string          `json:"customer,omitempty"`
	Country  string          `json:"country"`
	Date     time.Time       `json:"date,omitzero"`
	Status   Status          `json:"status"`
	Total    decimal.Decimal `json:"total"`
	Lines    int             `json:"lines"`
	Reason   string          `json:"reason,omitempty"`
}

// Clone lets a batch keep orders as Go values; see view.Collection.
func (p past) Clone() past { return p }

// The indexes. Values end with the date.
const (
	byCustomer = "customer"
	byStatus   = "status"
)

func newHistory() *view.Collection[past] {
	return view.NewCollection("order_history",
		view.IndexOf(byCustomer, func(p past) string { return Key(p.Customer) + "/" + view.Time(p.Date) }),
		view.IndexOf(byStatus, func(p past) string { return string(p.Status) + "/" + view.Time(p.Date) }))
}

// count counts an event of an order in.
func (l lists) count(ctx context.Context, b *projection.Batch, bill Bill, s Status, reason string, items []Item) error {
	if KindOf(bill.Number) != AnOrder {
		return nil
	}
	return l.history.Update(ctx, b.Writer(), Key(bill.Number), func(p *past) error {
		if bill.First() { // also of what follows after it was pending
			*p = past{Number: bill.Number, Customer: bill.Customer, Country: bill.Country, Date: bill.Date, Status: s, Reason: reason}
		}
		p.Total, p.Lines = p.Total.Add(total(items)), p.Lines+len(items)
		return nil
	})
}

// History answers from the list of orders.
type History struct {
	db   *view.DB
	upTo api.Waiter
	rows *view.Collection[past]
}

// NewHistory returns what reads the rows that Projection writes to db; upTo is its
// runner.
func NewHistory(db *view.DB, upTo api.Waiter) *History {
	return &History{db: db, upTo: upTo, rows: newHistory()}
}

// pending returns the numbers of orders that wait, the oldest first.
func (h *History) pending(ctx context.Context, after *view.Cursor) (view.PageOf[past], error) {
	return h.rows.Scan(ctx, h.db, view.Query{Index: byStatus, From: string(StatusPending) + "/", To: string(StatusPending) + "0", Limit: 100, After: after})
}

// PastOrder is an order in the list of orders.
type PastOrder struct {
	Number   string `json:"number"`
	Customer string `json:"customer,omitempty"`
	Country  string `json:"country"`
	Date     string `json:"date,omitempty" doc:"When it was written, as RFC 3339; absent where that could not be read." example:"2010-12-01T08:26:00Z"`
	Status   Status `json:"status" enum:"accepted,rejected,PENDING_VALIDATION"`
	Total    string `json:"total" doc:"The exact sum of the accepted lines; of an order that is pending, what it will be if it is accepted." example:"139.12"`
	Lines    int    `json:"lines" doc:"How many lines are in the total."`
	Reason   string `json:"reason,omitempty" doc:"Why it was rejected."`
}

// PastOrders is a page of them.
type PastOrders struct {
	Items []PastOrder `json:"items"`
	Next  string      `json:"next,omitempty" doc:"Send it as after for the next page; absent at the end."`
}

// Serve registers the operation.
func (h *History) Serve(a *api.API) {
	api.Handle(a, huma.Operation{
		OperationID: "list-orders", Method: http.MethodGet, Path: "/orders", Tags: []string{"orders"},
		Summary:     "Orders, the latest first",
		Description: "All, or those of a customer, or those with a status; not both at once.",
		Errors:      []int{http.StatusUnprocessableEntity},
	}, h.list)
}

type historyRequest struct {
	api.Fresh
	api.Page
	Customer string `query:"customer" doc:"Only those of this customer." example:"17850"`
	Status   string `query:"status" enum:"accepted,rejected,PENDING_VALIDATION" doc:"Only those with this status."`
}

type historyAnswer struct{ Body PastOrders }

func (h *History) list(ctx context.Context, in *historyRequest) (*historyAnswer, error) {
	if in.Customer != "" && in.Status != "" {
		return nil, huma.Error422UnprocessableEntity("ask for a customer or for a status, not for both")
	}
	if err := in.Await(ctx, h.upTo); err != nil {
		return nil, err
	}
	index, prefix := "", ""
	switch {
	case in.Customer != "":
		index, prefix = byCustomer, Key(in.Customer)
	case in.Status != "":
		index, prefix = byStatus, in.Status
	}
	q, err := in.Query(index, true)
	if err != nil {
		return nil, err
	}
	if index != "" {
		q.From, q.To = prefix+"/", prefix+"0" // "0" follows "/"
	}
	page, err := h.rows.Scan(ctx, h.db, q)
	if err != nil {
		return nil, err
	}
	out := &historyAnswer{PastOrders{Items: []PastOrder{}, Next: api.Next(page.Next)}}
	for _, item := range page.Items {
		out.Body.Items = append(out.Body.Items, item.Value.order())
	}
	return out, nil
}

func (p past) order() PastOrder {
	o := PastOrder{Number: p.Number, Customer: p.Customer, Country: p.Country, Status: p.Status, Total: p.Total.String(), Lines: p.Lines, Reason: p.Reason}
	if !p.Date.IsZero() {
		o.Date = p.Date.Format(time.RFC3339Nano)
	}
	return o
}
