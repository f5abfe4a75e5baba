package orders

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/projection"
)

// Receipt is what became of an invoice, as clients see it.
type Receipt struct {
	Number        string    `json:"number"`
	Status        Status    `json:"status" enum:"accepted,rejected,PENDING_VALIDATION" doc:"PENDING_VALIDATION: the order was taken while a service that has to agree could not be asked; it is accepted or rejected later, and counts nowhere until then."`
	Total         string    `json:"total" doc:"The exact sum of the accepted lines: what an order costs, what is paid back for a return." example:"139.12"`
	LinesAccepted int       `json:"lines_accepted"`
	LinesRejected int       `json:"lines_rejected"`
	Reason        string    `json:"reason,omitempty" doc:"Why the whole invoice was rejected."`
	RejectedBy    string    `json:"rejected_by,omitempty" doc:"The service that said no to an order that is valid by itself: users or payments."`
	Rejected      []Refused `json:"rejected,omitempty" doc:"The rejected lines."`
}

// Refused says why a line was rejected.
type Refused struct {
	Row    int    `json:"row"`
	Reason string `json:"reason"`
}

// Receipt describes the order to clients.
func (o Order) Receipt() Receipt {
	return Receipt{o.Number, o.Status, o.Total().String(), len(o.Items), len(o.Refused), o.Reason, o.By, refusedLines(o.Refused)}
}

// Receipt describes the return to clients.
func (r Return) Receipt() Receipt {
	return Receipt{r.Number, r.Status, r.Refund().String(), len(r.Items), len(r.Refused), r.Reason, "", refusedLines(r.Refused)}
}

func refusedLines(lines []Refusal) []Refused {
	refused := make([]Refused, len(lines))
	for i, l := range lines {
		refused[i] = Refused{l.Row, l.Reason}
	}
	return refused
}

// maxBody bounds a posted invoice: about 100,000 lines.
const maxBody = 16 << 20

// Desk takes invoices: a *Service, or another application with the same HTTP
// interface.
type Desk interface {
	// Post handles an invoice, see Service.Post.
	Post(ctx context.Context, inv Invoice) (Answer, error)
	// Find returns what became of one, see Service.Find.
	Find(ctx context.Context, number string) (Receipt, error)
}

var _ Desk = (*Service)(nil)

// Serve registers the operations of the service.
func (s *Service) Serve(a *api.API) {
	ServeDesk(a, s)
	op := huma.Operation{OperationID: "get-log", Method: http.MethodGet, Path: "/log", Summary: "Where the log of orders and returns ends", Tags: []string{"orders"}}
	api.Handle(a, op, func(ctx context.Context, _ *struct{}) (*endAnswer, error) {
		end, err := s.End(ctx)
		return &endAnswer{Body: end}, err
	})
}

// ServeDesk registers the operations for orders and returns.
func ServeDesk(a *api.API, d Desk) {
	post := func(path, id, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodPost, Path: path, Summary: summary, Tags: []string{"orders"},
			Description:   "Safe to repeat for ever: the same invoice again is answered with 200 and has no second effect.",
			DefaultStatus: http.StatusCreated, MaxBodyBytes: maxBody,
			Errors: []int{http.StatusPaymentRequired, http.StatusConflict, http.StatusUnprocessableEntity},
		}
	}
	get := func(path, id, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{"orders"}}
	}
	api.Handle(a, post("/orders", "place-order", "Place an order"), takeAt(d, "/orders"))
	api.Handle(a, post("/returns", "accept-return", "Send goods back"), takeAt(d, "/returns"))
	api.Handle(a, get("/orders/{number}", "get-order", "What became of an order"), findAt(d, AnOrder))
	api.Handle(a, get("/returns/{number}", "get-return", "What became of a return"), findAt(d, AReturn))
}

type postRequest struct {
	Key  string `header:"Idempotency-Key" doc:"The invoice number, percent-encoded where it has other characters than a URL's path may have."`
	Body Invoice
}

type postAnswer struct {
	Status int
	Token  string `header:"Banyan-Token" doc:"Send it with a later GET to see what follows from this invoice."`
	Body   Receipt
}

type getRequest struct {
	Number string `path:"number"`
}

type getAnswer struct{ Body Receipt }

type endAnswer struct{ Body End }

func takeAt(d Desk, path string) func(context.Context, *postRequest) (*postAnswer, error) {
	return func(ctx context.Context, in *postRequest) (*postAnswer, error) {
		if err := in.check(path); err != nil {
			return nil, err
		}
		answer, err := d.Post(ctx, in.Body)
		if err != nil {
			return nil, err
		}
		if answer.Receipt.Status == StatusRejected {
			headers := http.Header{projection.TokenHeader: {api.Token(answer.Token)}}
			return nil, huma.ErrorWithHeaders(rejection(answer.Receipt, in.Body), headers)
		}
		out := &postAnswer{Status: http.StatusCreated, Token: api.Token(answer.Token), Body: answer.Receipt}
		if answer.Repeated {
			out.Status = http.StatusOK
		}
		return out, nil
	}
}

// check finds requests that are mistakes of the client and no invoices.
func (in *postRequest) check(path string) error {
	key, err := url.PathUnescape(in.Key)
	if err != nil || key != in.Body.Number {
		return fmt.Errorf("%w: the header Idempotency-Key is %q, it has to be the invoice number %q, percent-encoded", banyan.ErrInvalid, in.Key, in.Body.Number)
	}
	switch kind := KindOf(in.Body.Number); {
	case kind == AReturn && path == "/orders":
		return fmt.Errorf("%w: %q is the number of a return: post it to /returns", banyan.ErrInvalid, in.Body.Number)
	case kind == AnOrder && path == "/returns":
		return fmt.Errorf("%w: %q is the number of an order: post it to /orders", banyan.ErrInvalid, in.Body.Number)
	}
	return nil
}

// RejectedType is the type of the problem that answers a rejected invoice: it was
// recorded, and posting it again gives the same answer.
const RejectedType = "urn:banyan:shop:invoice-rejected"

func rejection(r Receipt, inv Invoice) error {
	status := http.StatusUnprocessableEntity
	if r.RejectedBy == "payments" {
		status = http.StatusPaymentRequired
	}
	problem := &huma.ErrorModel{
		Type: RejectedType, Title: "Invoice rejected", Status: status,
		Detail: fmt.Sprintf("invoice %q was rejected: %s", r.Number, r.Reason),
	}
	for i, line := range r.Rejected {
		detail := &huma.ErrorDetail{Message: line.Reason, Location: fmt.Sprintf("body.lines[%d]", i)}
		if i < len(inv.Lines) {
			detail.Value = inv.Lines[i]
		}
		problem.Errors = append(problem.Errors, detail)
	}
	return problem
}

func findAt(d Desk, kind Kind) func(context.Context, *getRequest) (*getAnswer, error) {
	return func(ctx context.Context, in *getRequest) (*getAnswer, error) {
		if KindOf(in.Number) != kind {
			return nil, fmt.Errorf("%q: %w: it is a number of another kind", in.Number, banyan.ErrNotFound)
		}
		receipt, err := d.Find(ctx, in.Number)
		return &getAnswer{Body: receipt}, err
	}
}
