package users

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan/example/shop/api"
)

type standingRequest struct {
	Customer string `query:"customer" required:"true" minLength:"1" maxLength:"1000" doc:"The customer's number." example:"17850"`
}

type standingAnswer struct{ Body Standing }

type idRequest struct {
	ID string `path:"id" minLength:"1" maxLength:"1000" example:"17850"`
}

type registerRequest struct {
	ID   string `path:"id" minLength:"1" maxLength:"1000" example:"17850"` // huma does not see into an unexported part
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"200" example:"Ada Lovelace"`
	}
}

type blockRequest struct {
	ID   string `path:"id" minLength:"1" maxLength:"1000" example:"17850"` // huma does not see into an unexported part
	Body struct {
		Reason string `json:"reason" minLength:"1" maxLength:"200" doc:"In words for the customer." example:"three invoices are not paid"`
	}
}

type profileAnswer struct{ Body Profile }

// Serve registers the operations of the service.
func (s *Service) Serve(a *api.API) {
	op := func(method, path, id, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"users"}}
	}
	api.Handle(a, op(http.MethodGet, "/standing", "get-standing", "Whether a customer may order"),
		func(ctx context.Context, in *standingRequest) (*standingAnswer, error) {
			standing, err := s.Standing(ctx, in.Customer)
			return &standingAnswer{standing}, err
		})
	api.Handle(a, op(http.MethodGet, "/users/{id}", "get-user", "A customer"),
		func(ctx context.Context, in *idRequest) (*profileAnswer, error) {
			p, err := s.Profile(ctx, in.ID)
			return &profileAnswer{p}, err
		})
	api.Handle(a, op(http.MethodPut, "/users/{id}", "register-user", "Register or rename a customer"),
		func(ctx context.Context, in *registerRequest) (*profileAnswer, error) {
			p, err := s.Change(ctx, in.ID, Register(in.ID, in.Body.Name))
			return &profileAnswer{p}, err
		})
	api.Handle(a, op(http.MethodPut, "/users/{id}/block", "block-user", "Let a customer order no more"),
		func(ctx context.Context, in *blockRequest) (*profileAnswer, error) {
			p, err := s.Change(ctx, in.ID, Block(in.ID, in.Body.Reason))
			return &profileAnswer{p}, err
		})
	unblock := op(http.MethodDelete, "/users/{id}/block", "unblock-user", "Let a customer order again")
	unblock.DefaultStatus = http.StatusOK
	api.Handle(a, unblock, func(ctx context.Context, in *idRequest) (*profileAnswer, error) {
		p, err := s.Change(ctx, in.ID, Unblock(in.ID))
		return &profileAnswer{p}, err
	})
}
