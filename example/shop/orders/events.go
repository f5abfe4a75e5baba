package orders

import (
	"time"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
)

// Types are the events of this service, for those who read its log.
var Types = banyan.NewTypes(
	banyan.TypeOf[Placed]("order.placed", 1),
	banyan.TypeOf[Returned]("return.accepted", 1),
	banyan.TypeOf[Rejected]("invoice.rejected", 1),
	banyan.TypeOf[Pending]("order.validation_pending", 1),
	banyan.TypeOf[Declined]("order.rejected", 1),
)

// Bill is the head of an invoice; every event has it.
type Bill struct {
	Number string `json:"number"`
	// Customer is empty for a guest.
	Customer string `json:"customer,omitempty"`
	Country  string `json:"country"`
	// Date is zero when it could not be read.
	Date time.Time `json:"date,omitzero"`
	// Source is the file that the invoice was read from, if it was.
	Source string `json:"source,omitempty"`
	// Content identifies what the invoice said, to recognise it.
	Content string `json:"content"`
	// Before is how many lines of the invoice are in the events before this one. It
	// is 0 in the first event, which is the only one unless the invoice is very long.
	Before int `json:"before,omitempty"`
}

// First reports whether this is the first event of its invoice.
func (b Bill) First() bool { return b.Before == 0 }

// Placed says that a customer ordered. The Items of the first event are never
// empty.
type Placed struct {
	Bill
	Items   []Item    `json:"items"`
	Refused []Refusal `json:"refused,omitempty"`
}

// Returned says that goods came back. The Items of the first event are never empty;
// their quantities are below 0.
type Returned struct {
	Bill
	Items   []Item    `json:"items"`
	Refused []Refusal `json:"refused,omitempty"`
}

// Rejected says that nothing of an invoice was accepted, and why.
type Rejected struct {
	Bill
	Reason  string    `json:"reason"`
	Refused []Refusal `json:"refused,omitempty"`
}

// Pending says that a customer ordered while a service that has to be asked could
// not be. A Placed or a Declined with the same lines follows in the same stream;
// until then the order counts nowhere.
type Pending struct {
	Bill
	Items   []Item    `json:"items"`
	Refused []Refusal `json:"refused,omitempty"`
	// Unasked is the service that could not be asked: "users" or "payments".
	Unasked string `json:"unasked"`
}

// Declined says that a valid order is not accepted because a service said no, at
// once or after it was Pending. Refused are all its lines.
type Declined struct {
	Bill
	// By is the service that said no: "users" or "payments".
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	Refused []Refusal `json:"refused"`
}

// Item is an accepted line.
type Item struct {
	Row         int             `json:"row"`
	StockCode   string          `json:"stock_code"`
	Description string          `json:"description,omitempty"`
	Quantity    int64           `json:"quantity"`
	UnitPrice   decimal.Decimal `json:"unit_price"`
}

// Refusal is a line that was not accepted, as it was written, and why.
type Refusal struct {
	Line
	Reason string `json:"reason"`
}

// Total returns what the items cost.
func (p Placed) Total() decimal.Decimal { return total(p.Items) }

// Refund returns what the customer gets back for the items, above 0.
func (r Returned) Refund() decimal.Decimal { return total(r.Items).Neg() }

func total(items []Item) decimal.Decimal {
	sum := decimal.Zero
	for _, item := range items {
		sum = sum.Add(item.UnitPrice.Mul(decimal.NewFromInt(item.Quantity)))
	}
	return sum
}
