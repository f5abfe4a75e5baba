// Package payments authorises what orders cost.
//
// A payment is authorised or refused once, for ever: the same request under the
// same id is answered like the first time, other content under a known id is
// refused. An amount is refused only if it is above the limit of its customer, or
// above Options.Limit for those who have none; without limits every amount is
// authorised. Nothing is ever booked: an authorisation that no order follows
// lapses by itself.
//
// Events are in the streams payment-ID and limit-CUSTOMER. Amounts are exact
// decimals.
//
// Limits are for the staff of the shop. The service asks nobody who they are: a
// gateway in front of it lets only orders and the staff in.
package payments

import (
	"context"
	"fmt"
	"regexp"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/store"
)

// Types are the events of this service.
var Types = banyan.NewTypes(
	banyan.TypeOf[Authorised]("payment.authorised", 1),
	banyan.TypeOf[Refused]("payment.refused", 1),
	banyan.TypeOf[LimitSet]("limit.set", 1),
	banyan.TypeOf[LimitLifted]("limit.lifted", 1),
)

// Charge is what is to be paid.
type Charge struct {
	ID    string `json:"id"`
	Order string `json:"order"`
	// Customer is empty for a guest.
	Customer string          `json:"customer,omitempty"`
	Amount   decimal.Decimal `json:"amount"`
}

func (c Charge) equal(d Charge) bool {
	return c.ID == d.ID && c.Order == d.Order && c.Customer == d.Customer && c.Amount.Equal(d.Amount)
}

// Authorised says that a charge may be booked.
type Authorised struct{ Charge }

// Refused says that it may not, and why.
type Refused struct {
	Charge
	Reason string `json:"reason"`
}

// LimitSet says how much a customer may spend with one payment.
type LimitSet struct {
	Customer string          `json:"customer"`
	Amount   decimal.Decimal `json:"amount"`
}

// LimitLifted says that a customer has no limit of their own any more.
type LimitLifted struct {
	Customer string `json:"customer"`
}

// Payment is the state of a payment: none, authorised or refused.
type Payment struct {
	Charge
	Status Status
	Reason string
}

// Status is what became of a payment. One that nobody asked for has none.
type Status string

// The statuses.
const (
	StatusAuthorised Status = "authorised"
	StatusRefused    Status = "refused"
)

// Apply counts an event in.
func (p Payment) Apply(event any) Payment {
	switch e := event.(type) {
	case Authorised:
		p = Payment{Charge: e.Charge, Status: StatusAuthorised}
	case Refused:
		p = Payment{Charge: e.Charge, Status: StatusRefused, Reason: e.Reason}
	}
	return p
}

// Limit is what a payment may be at most; nil: anything.
type Limit struct{ Amount *decimal.Decimal }

// Apply counts an event in.
func (l Limit) Apply(event any) Limit {
	switch e := event.(type) {
	case LimitSet:
		l.Amount = &e.Amount
	case LimitLifted:
		l.Amount = nil
	}
	return l
}

// Authorise decides on a charge, under a limit.
func Authorise(c Charge, l Limit) aggregate.Decide[Payment] {
	return func(p Payment) ([]any, error) {
		switch {
		case p.Status != "" && !p.equal(c):
			return nil, fmt.Errorf("payment %q %w for something else: an id is for one payment only", c.ID, banyan.ErrExists)
		case p.Status != "":
			return nil, nil
		case l.Amount != nil && c.Amount.GreaterThan(*l.Amount):
			return []any{Refused{c, fmt.Sprintf("the payment of %s is above the limit of %s", c.Amount, l.Amount)}}, nil
		default:
			return []any{Authorised{c}}, nil
		}
	}
}

// SetLimit decides what a customer may spend with one payment; nil: no limit of
// their own.
func SetLimit(customer string, amount *decimal.Decimal) aggregate.Decide[Limit] {
	return func(l Limit) ([]any, error) {
		switch {
		case amount == nil && l.Amount == nil, amount != nil && l.Amount != nil && amount.Equal(*l.Amount):
			return nil, nil
		case amount == nil:
			return []any{LimitLifted{customer}}, nil
		default:
			return []any{LimitSet{customer, *amount}}, nil
		}
	}
}

// Options of a Service.
type Options struct {
	// Limit of payments of customers who have no limit of their own, and of
	// guests, in plain digits. Default: none.
	Limit string
}

// Service authorises payments. It may be used by any number of goroutines.
type Service struct {
	payments *aggregate.Aggregate[Payment]
	limits   *aggregate.Aggregate[Limit]
	limit    Limit
}

// New returns a service that keeps its events in st.
func New(st *store.Store, o *Options) (*Service, error) {
	s := &Service{}
	if o != nil && o.Limit != "" {
		limit, err := Amount(o.Limit)
		if err != nil {
			return nil, fmt.Errorf("payments: limit: %w", err)
		}
		s.limit = Limit{&limit}
	}
	var err error
	if s.payments, err = aggregate.New[Payment](st, "payment", Types, nil); err != nil {
		return nil, fmt.Errorf("payments: %w", err)
	}
	if s.limits, err = aggregate.New[Limit](st, "limit", Types, nil); err != nil {
		return nil, fmt.Errorf("payments: %w", err)
	}
	return s, nil
}

// An exponent makes a short text of a number that fills the memory.
var plainDigits = regexp.MustCompile(`^[0-9]{1,150}(\.[0-9]{1,150})?$`)

// Amount reads an exact amount of 0 or more, in plain digits.
func Amount(text string) (decimal.Decimal, error) {
	if !plainDigits.MatchString(text) {
		return decimal.Decimal{}, fmt.Errorf("amount %.100q: %w: want plain digits, such as 139.12", text, banyan.ErrInvalid)
	}
	return decimal.NewFromString(text)
}

// Authorise handles a charge; repeated says that it was known. A refusal is an
// answer and no error; another charge under a known id is an error of kind
// banyan.ErrExists.
func (s *Service) Authorise(ctx context.Context, c Charge) (p Payment, repeated bool, err error) {
	limit, err := s.limitOf(ctx, c.Customer)
	if err != nil {
		return Payment{}, false, err
	}
	a, err := s.payments.Do(ctx, api.Key(c.ID), aggregate.Command{}, Authorise(c, limit))
	return a.State, len(a.Events) == 0, err
}

func (s *Service) limitOf(ctx context.Context, customer string) (Limit, error) {
	if customer == "" {
		return s.limit, nil
	}
	own, err := s.limits.Load(ctx, api.Key(customer))
	if err != nil || own.State.Amount != nil {
		return own.State, err
	}
	return s.limit, nil
}

// Find returns a payment, or an error of kind banyan.ErrNotFound.
func (s *Service) Find(ctx context.Context, id string) (Payment, error) {
	p, err := s.payments.Load(ctx, api.Key(id))
	if err == nil && !p.Exists {
		err = fmt.Errorf("payment %q: %w", id, banyan.ErrNotFound)
	}
	return p.State, err
}

// Limit sets what a customer may spend with one payment; nil lifts it.
func (s *Service) Limit(ctx context.Context, customer string, amount *decimal.Decimal) error {
	_, err := s.limits.Do(ctx, api.Key(customer), aggregate.Command{}, SetLimit(customer, amount))
	return err
}
