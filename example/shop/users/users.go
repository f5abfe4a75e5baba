// Package users knows the customers of the shop: their names, and who may not
// order.
//
// A customer comes into being when somebody first orders under the number, not by
// registration: a number that nobody has registered is a stranger, who may order
// unless Options.RefuseStrangers is set. A blocked customer may not. Guests have no
// number and are not known here.
//
// Events are in the streams customer-NUMBER. What a customer is follows from them
// at once: who is blocked is refused from the next question on.
//
// Blocking is for the staff of the shop. The service asks nobody who they are: a
// gateway in front of it lets nobody but them do more than read.
package users

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/store"
)

// Types are the events of this service.
var Types = banyan.NewTypes(
	banyan.TypeOf[Registered]("customer.registered", 1),
	banyan.TypeOf[Blocked]("customer.blocked", 1),
	banyan.TypeOf[Unblocked]("customer.unblocked", 1),
)

// Registered says that a customer has a name now, for the first time or another.
type Registered struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Blocked says that a customer may not order any more, and why.
type Blocked struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Unblocked says that a customer may order again.
type Unblocked struct {
	ID string `json:"id"`
}

// Customer is what is known of a number.
type Customer struct {
	Name       string
	Registered bool
	Blocked    bool
	Reason     string // why blocked
}

// Apply counts an event in.
func (c Customer) Apply(event any) Customer {
	switch e := event.(type) {
	case Registered:
		c.Name, c.Registered = e.Name, true
	case Blocked:
		c.Blocked, c.Reason = true, e.Reason
	case Unblocked:
		c.Blocked, c.Reason = false, ""
	}
	return c
}

// Register decides that a customer has a name.
func Register(id, name string) aggregate.Decide[Customer] {
	return func(c Customer) ([]any, error) {
		if c.Registered && c.Name == name {
			return nil, nil
		}
		return []any{Registered{id, name}}, nil
	}
}

// Block decides that a customer may not order.
func Block(id, reason string) aggregate.Decide[Customer] {
	return func(c Customer) ([]any, error) {
		if c.Blocked && c.Reason == reason {
			return nil, nil
		}
		return []any{Blocked{id, reason}}, nil
	}
}

// Unblock decides that a customer may order again.
func Unblock(id string) aggregate.Decide[Customer] {
	return func(c Customer) ([]any, error) {
		if !c.Blocked {
			return nil, nil
		}
		return []any{Unblocked{id}}, nil
	}
}

// Options of a Service.
type Options struct {
	// RefuseStrangers lets only registered customers order. Default: everybody may
	// who is not blocked.
	RefuseStrangers bool
}

// Service knows customers. It may be used by any number of goroutines.
type Service struct {
	customers *aggregate.Aggregate[Customer]
	opts      Options
}

// New returns a service that keeps its events in st.
func New(st *store.Store, o *Options) (*Service, error) {
	customers, err := aggregate.New[Customer](st, "customer", Types, nil)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	s := &Service{customers: customers}
	if o != nil {
		s.opts = *o
	}
	return s, nil
}

// Standing is whether a customer may order.
type Standing struct {
	Customer string `json:"customer"`
	MayOrder bool   `json:"may_order"`
	Reason   string `json:"reason,omitempty" doc:"Why not, in words for the customer."`
}

// Standing answers whether a customer may order.
func (s *Service) Standing(ctx context.Context, id string) (Standing, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return Standing{}, err
	}
	reason := ""
	switch {
	case c.Blocked:
		reason = fmt.Sprintf("customer %.100q may not order: %s", id, c.Reason)
	case !c.Registered && s.opts.RefuseStrangers:
		reason = fmt.Sprintf("customer %.100q is not known", id)
	}
	return Standing{Customer: id, MayOrder: reason == "", Reason: reason}, nil
}

// Profile is a customer, as clients see one.
type Profile struct {
	ID         string `json:"id"`
	Name       string `json:"name,omitempty" doc:"Absent for one who was never registered."`
	Registered bool   `json:"registered"`
	Status     string `json:"status" enum:"active,blocked"`
	Reason     string `json:"reason,omitempty" doc:"Why blocked."`
}

// Profile returns a customer. One who is neither registered nor blocked is an
// error of kind banyan.ErrNotFound where strangers are refused, and has no name
// elsewhere.
func (s *Service) Profile(ctx context.Context, id string) (Profile, error) {
	c, err := s.find(ctx, id)
	if err != nil {
		return Profile{}, err
	}
	if s.opts.RefuseStrangers && !c.Registered && !c.Blocked {
		return Profile{}, fmt.Errorf("customer %q: %w", id, banyan.ErrNotFound)
	}
	return c.profile(id), nil
}

func (c Customer) profile(id string) Profile {
	p := Profile{ID: id, Name: c.Name, Registered: c.Registered, Status: "active"}
	if c.Blocked {
		p.Status, p.Reason = "blocked", c.Reason
	}
	return p
}

func (s *Service) find(ctx context.Context, id string) (Customer, error) {
	c, err := s.customers.Load(ctx, api.Key(id))
	return c.State, err
}

// Change makes one of the decisions of this package about a customer.
func (s *Service) Change(ctx context.Context, id string, decide aggregate.Decide[Customer]) (Profile, error) {
	a, err := s.customers.Do(ctx, api.Key(id), aggregate.Command{}, decide)
	return a.State.profile(id), err
}
