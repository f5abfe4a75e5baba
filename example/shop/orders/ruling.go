package orders

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/banyanhq/banyan"
)

// Ruling is what other services say about an order. The zero value is a yes.
type Ruling struct {
	// By is the service that says no: "users" or "payments"; empty: nobody does.
	By string
	// Reason is for the customer.
	Reason string
}

// Vetting says whether orders may be placed, by asking other services.
type Vetting interface {
	// Vet asks about an order that is valid by itself. An *UnaskedError says that
	// a service could not be asked now; any other error is a mistake that asking
	// later does not mend. It may be asked about the same order again.
	Vet(ctx context.Context, p Placed) (Ruling, error)
}

// UnaskedError says that a service could not be asked, or did not answer. Its kind
// is banyan.ErrUnavailable: asking again is safe.
type UnaskedError struct {
	Service string // "users" or "payments"
	Err     error
}

func (e *UnaskedError) Error() string { return "ask " + e.Service + ": " + e.Err.Error() }

// Unwrap returns the kind and the cause.
func (e *UnaskedError) Unwrap() []error { return []error{banyan.ErrUnavailable, e.Err} }

// on returns what follows for an order: it is placed, or declined with every line.
func (r Ruling) on(p Placed) any {
	if r.By == "" {
		return p
	}
	d := Declined{Bill: p.Bill, By: r.By, Reason: r.Reason}
	for _, item := range p.Items {
		d.Refused = append(d.Refused, Refusal{Line: item.line(), Reason: r.Reason})
	}
	d.Refused = slices.Concat(d.Refused, p.Refused)
	return d
}

// line writes an item as a line.
func (i Item) line() Line {
	return Line{i.Row, i.StockCode, i.Description, strconv.FormatInt(i.Quantity, 10), i.UnitPrice.String()}
}

// vetted is a verdict after others were asked: the order is placed, declined, or
// pending because somebody could not be asked.
func (v Verdict) vetted(ctx context.Context, by Vetting) (Verdict, error) {
	placed, order := v.Fact.(Placed)
	if !order || by == nil {
		return v, nil
	}
	ruling, err := by.Vet(ctx, placed)
	var unasked *UnaskedError
	switch {
	case err == nil:
		v.Fact = ruling.on(placed)
	case errors.As(err, &unasked) && ctx.Err() == nil: // else the customer has gone
		v.Fact = Pending{Bill: placed.Bill, Items: placed.Items, Refused: placed.Refused, Unasked: unasked.Service}
	default:
		return v, err
	}
	return v, nil
}
