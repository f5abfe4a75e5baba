package orders

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
)

// Status is what became of an invoice.
type Status string

// The statuses. An invoice that nobody posted has none.
const (
	StatusAccepted Status = "accepted"
	StatusRejected Status = "rejected"
	// StatusPending is an order that was taken, but waits for a service to be asked.
	StatusPending Status = "PENDING_VALIDATION"
)

// Order is an order, or what was meant to be one.
type Order struct {
	Bill
	Status  Status
	Items   []Item
	Refused []Refusal
	Reason  string // why it was rejected
	By      string // the service that said no, if one did
}

// Apply counts an event in.
func (o Order) Apply(event any) Order {
	switch e := event.(type) {
	case Placed:
		if e.First() {
			o = Order{Bill: e.Bill, Status: StatusAccepted}
		}
		o.Items, o.Refused = slices.Concat(o.Items, e.Items), slices.Concat(o.Refused, e.Refused)
	case Rejected:
		if e.First() {
			o = Order{Bill: e.Bill, Status: StatusRejected, Reason: e.Reason}
		}
		o.Refused = slices.Concat(o.Refused, e.Refused)
	case Pending:
		if e.First() {
			o = Order{Bill: e.Bill, Status: StatusPending}
		}
		o.Items, o.Refused = slices.Concat(o.Items, e.Items), slices.Concat(o.Refused, e.Refused)
	case Declined:
		if e.First() {
			o = Order{Bill: e.Bill, Status: StatusRejected, Reason: e.Reason, By: e.By}
		}
		o.Refused = slices.Concat(o.Refused, e.Refused)
	}
	return o
}

// Total returns what the order costs.
func (o Order) Total() decimal.Decimal { return total(o.Items) }

// Place decides on the verdict about an order: it happens, unless the number is
// taken by other content.
func Place(v Verdict) aggregate.Decide[Order] {
	return func(o Order) ([]any, error) { return once(o.Bill, v) }
}

// Settle decides on an order that waits: it is placed, or declined if a service
// said no. Nothing happens to an order that does not wait, so that each has one
// outcome, whoever settles it and however often.
func Settle(r Ruling) aggregate.Decide[Order] {
	return func(o Order) ([]any, error) {
		if o.Status != StatusPending {
			return nil, nil
		}
		return events(r.on(o.placed())), nil
	}
}

// placed is what the order is if nobody says no.
func (o Order) placed() Placed { return Placed{Bill: o.Bill, Items: o.Items, Refused: o.Refused} }

// Return is goods that came back, or what was meant to be that.
type Return struct {
	Bill
	Status  Status
	Items   []Item // with quantities below 0
	Refused []Refusal
	Reason  string // why it was rejected
}

// Apply counts an event in.
func (r Return) Apply(event any) Return {
	switch e := event.(type) {
	case Returned:
		if e.First() {
			r = Return{Bill: e.Bill, Status: StatusAccepted}
		}
		r.Items, r.Refused = slices.Concat(r.Items, e.Items), slices.Concat(r.Refused, e.Refused)
	case Rejected:
		if e.First() {
			r = Return{Bill: e.Bill, Status: StatusRejected, Reason: e.Reason}
		}
		r.Refused = slices.Concat(r.Refused, e.Refused)
	}
	return r
}

// Refund returns what the customer gets back, above 0.
func (r Return) Refund() decimal.Decimal { return total(r.Items).Neg() }

// Accept decides on the verdict about a return, like Place.
func Accept(v Verdict) aggregate.Decide[Return] {
	return func(r Return) ([]any, error) { return once(r.Bill, v) }
}

// once lets the fact happen if nothing is known under the number yet, and nothing
// if the same content is.
func once(known Bill, v Verdict) ([]any, error) {
	switch known.Content {
	case "":
		return events(v.Fact), nil
	case v.Content:
		return nil, nil
	default:
		return nil, fmt.Errorf("invoice %q %w with other content: a number is for one invoice only", v.Number, banyan.ErrExists)
	}
}
