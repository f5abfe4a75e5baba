package payments

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan/example/shop/api"
)

// Request asks for the authorisation of a payment.
type Request struct {
	Order    string `json:"order" doc:"What is paid for." maxLength:"1000" example:"536365"`
	Customer string `json:"customer,omitempty" doc:"Who pays; absent for a guest." maxLength:"1000" example:"17850"`
	Amount   string `json:"amount" doc:"An exact decimal number in plain digits." example:"139.12"`
}

// Decision is what became of a payment, as clients see it.
type Decision struct {
	ID string `json:"id"`
	Request
	Status Status `json:"status" enum:"authorised,refused"`
	Reason string `json:"reason,omitempty" doc:"Why it was refused."`
}

// RefusedType is the type of the problem that answers a refused payment: it was
// recorded, and asking again gives the same answer.
const RefusedType = "urn:banyan:shop:payment-refused"

func (p Payment) decision() Decision {
	return Decision{p.ID, Request{p.Order, p.Customer, p.Amount.String()}, p.Status, p.Reason}
}

type putRequest struct {
	ID   string `path:"id" minLength:"1" maxLength:"200" doc:"Chosen by the caller, for this payment only."`
	Body Request
}

type putAnswer struct {
	Status int
	Body   Decision
}

type getRequest struct {
	ID string `path:"id"`
}

type getAnswer struct{ Body Decision }

// LimitAmount is the limit of a customer, as clients see it.
type LimitAmount struct {
	Amount string `json:"amount" doc:"The most that one payment may be. Each above it is refused." example:"1000.00"`
}

type customerRequest struct {
	Customer string `path:"customer" minLength:"1" maxLength:"1000" example:"17850"`
}

type limitRequest struct {
	Customer string `path:"customer" minLength:"1" maxLength:"1000" example:"17850"` // huma does not see into an unexported part
	Body     LimitAmount
}

type limitAnswer struct{ Body LimitAmount }

// Serve registers the operations of the service.
func (s *Service) Serve(a *api.API) {
	op := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"payments"}}
	}
	put := op(http.MethodPut, "/payments/{id}", "authorise-payment", "Authorise a payment")
	put.Description = "Safe to repeat for ever: the same payment again is answered with 200 and has no second effect. 402 is a refusal, which is recorded too."
	put.DefaultStatus, put.Errors = http.StatusCreated, []int{http.StatusPaymentRequired, http.StatusConflict, http.StatusUnprocessableEntity}
	api.Handle(a, put, s.put)
	api.Handle(a, op(http.MethodGet, "/payments/{id}", "get-payment", "What became of a payment"),
		func(ctx context.Context, in *getRequest) (*getAnswer, error) {
			p, err := s.Find(ctx, in.ID)
			return &getAnswer{p.decision()}, err
		})
	api.Handle(a, op(http.MethodPut, "/limits/{customer}", "set-limit", "Bound what a customer may spend with one payment"), s.setLimit)
	api.Handle(a, op(http.MethodDelete, "/limits/{customer}", "lift-limit", "Lift the limit of a customer"),
		func(ctx context.Context, in *customerRequest) (*struct{}, error) {
			return nil, s.Limit(ctx, in.Customer, nil)
		})
}

func (s *Service) put(ctx context.Context, in *putRequest) (*putAnswer, error) {
	amount, err := Amount(in.Body.Amount)
	if err != nil {
		return nil, err
	}
	p, repeated, err := s.Authorise(ctx, Charge{ID: in.ID, Order: in.Body.Order, Customer: in.Body.Customer, Amount: amount})
	switch {
	case err != nil:
		return nil, err
	case p.Status == StatusRefused:
		return nil, &huma.ErrorModel{Type: RefusedType, Title: "Payment refused", Status: http.StatusPaymentRequired, Detail: p.Reason}
	case repeated:
		return &putAnswer{http.StatusOK, p.decision()}, nil
	}
	return &putAnswer{http.StatusCreated, p.decision()}, nil
}

func (s *Service) setLimit(ctx context.Context, in *limitRequest) (*limitAnswer, error) {
	amount, err := Amount(in.Body.Amount)
	if err != nil {
		return nil, err
	}
	return &limitAnswer{LimitAmount{amount.String()}}, s.Limit(ctx, in.Customer, &amount)
}
