package orders

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/store"
)

// Service takes invoices. It may be used by any number of goroutines.
type Service struct {
	log     *store.Store
	orders  *aggregate.Aggregate[Order]
	strays  *aggregate.Aggregate[Order] // of neither kind: rejected, each under its number
	returns *aggregate.Aggregate[Return]
	vetting Vetting // nil: nobody is asked
}

// New returns a service that keeps its events in st and asks v before it places
// an order; with nil it asks nobody.
func New(st *store.Store, v Vetting) (*Service, error) {
	s := &Service{log: st, vetting: v}
	var err error
	if s.orders, err = aggregate.New[Order](st, "order", Types, nil); err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	if s.strays, err = aggregate.New[Order](st, "rejection", Types, nil); err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	if s.returns, err = aggregate.New[Return](st, "return", Types, nil); err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	return s, nil
}

// Answer is what became of an invoice that was posted.
type Answer struct {
	Receipt
	// Repeated: the same invoice was posted before; this is the answer of then.
	Repeated bool
	// Token names the event, for readers of the log to wait for.
	Token store.Token
}

// Post handles an invoice. A rejected one is an answer too, and no error; other
// content under a known number is an error of kind banyan.ErrExists.
func (s *Service) Post(ctx context.Context, inv Invoice) (Answer, error) {
	if field := inv.unstorable(); field != "" {
		return Answer{}, fmt.Errorf("invoice %q: %w: %s contains NUL", inv.Number, banyan.ErrInvalid, field)
	}
	verdict, key := Judge(inv), Key(inv.Number)
	// The content is part of the command's id: the same invoice is a repetition,
	// another one under the same number is a new command, which Place refuses.
	command := aggregate.Command{ID: verdict.Content, Time: verdict.Date}
	switch KindOf(inv.Number) {
	case AReturn:
		a, err := s.returns.Do(ctx, key, command, Accept(verdict))
		return Answer{a.State.Receipt(), a.Repeated, a.Token()}, err
	case AnOrder:
		verdict, err := s.vet(ctx, key, verdict)
		if err != nil {
			return Answer{}, fmt.Errorf("invoice %q: %w", inv.Number, err)
		}
		a, err := s.orders.Do(ctx, key, command, Place(verdict))
		return Answer{a.State.Receipt(), a.Repeated, a.Token()}, err
	default:
		a, err := s.strays.Do(ctx, key, command, Place(verdict))
		return Answer{a.State.Receipt(), a.Repeated, a.Token()}, err
	}
}

// vet asks others about an order that is not known yet. They are not asked again
// about one that is: it has its outcome, or will have it from the Validator.
func (s *Service) vet(ctx context.Context, key string, v Verdict) (Verdict, error) {
	known, err := s.orders.Load(ctx, key)
	if err != nil || known.Exists {
		return v, err
	}
	return v.vetted(ctx, s.vetting)
}

// settling is the command that settles an order; every process uses it.
const settling = "settle"

// Settle asks again about an order that is pending and records its outcome. It
// does nothing to any other. An *UnaskedError leaves the order pending.
func (s *Service) Settle(ctx context.Context, number string) error {
	key := Key(number)
	known, err := s.orders.Load(ctx, key)
	if err != nil || known.State.Status != StatusPending {
		return err
	}
	var ruling Ruling
	if s.vetting != nil {
		if ruling, err = s.vetting.Vet(ctx, known.State.placed()); err != nil {
			return fmt.Errorf("invoice %q: %w", number, err)
		}
	}
	_, err = s.orders.Do(ctx, key, aggregate.Command{ID: settling, Time: known.State.Date}, Settle(ruling))
	return err
}

// Find returns what became of the invoice with a number, or an error of kind
// banyan.ErrNotFound.
func (s *Service) Find(ctx context.Context, number string) (Receipt, error) {
	var receipt Receipt
	var exists bool
	switch KindOf(number) {
	case AReturn:
		l, err := s.returns.Load(ctx, Key(number))
		if err != nil {
			return Receipt{}, err
		}
		receipt, exists = l.State.Receipt(), l.Exists
	case AnOrder:
		l, err := s.orders.Load(ctx, Key(number))
		if err != nil {
			return Receipt{}, err
		}
		receipt, exists = l.State.Receipt(), l.Exists
	default:
		l, err := s.strays.Load(ctx, Key(number))
		if err != nil {
			return Receipt{}, err
		}
		receipt, exists = l.State.Receipt(), l.Exists
	}
	if !exists {
		return Receipt{}, fmt.Errorf("invoice %q: %w", number, banyan.ErrNotFound)
	}
	return receipt, nil
}

// End is where the log ends.
type End struct {
	// Events is the position of the last event.
	Events int64 `json:"events" doc:"The position of the last event in the log."`
	// Token names it: a reader that has waited for it has seen everything that
	// was acknowledged before End was asked for.
	Token string `json:"token,omitempty" doc:"Send it to another service to read what follows from all events up to here."`
}

// End returns where the log ends now.
func (s *Service) End(ctx context.Context) (End, error) {
	head, err := s.log.Head(ctx)
	if err != nil || head == 0 {
		return End{}, err
	}
	for e, err := range s.log.All(ctx, head-1, store.Filter{}) {
		if err != nil {
			return End{}, err
		}
		return End{Events: int64(e.Position), Token: api.Token(store.Token(e.ID))}, nil
	}
	return End{Events: int64(head)}, nil
}
