package orders

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// Reject is a line that was not accepted, as clients see it.
type Reject struct {
	Source  string `json:"source,omitempty" doc:"The file that it was read from."`
	Invoice string `json:"invoice"`
	Line
	Reason string `json:"reason"`
}

// byPlace is the index by source and row.
const byPlace = "place"

func newRejects() *view.Collection[Reject] {
	return view.NewCollection("rejects", view.IndexOf(byPlace, func(r Reject) string {
		// Tab sorts before everything that a file's name may go on with.
		return RowKey(r.Source) + "\t" + view.Int(int64(r.Row))
	}))
}

// reject adds the lines of an event that were refused.
func (l lists) reject(ctx context.Context, b *projection.Batch, bill Bill, refused []Refusal) error {
	for i, r := range refused {
		key := fmt.Sprintf("%s/%06d", Key(bill.Number), bill.Before+i)
		if err := l.rejects.Put(ctx, b.Writer(), key, Reject{bill.Source, bill.Number, r.Line, r.Reason}); err != nil {
			return err
		}
	}
	return nil
}

// Rejects answers from the list of rejected lines.
type Rejects struct {
	db   *view.DB
	upTo api.Waiter
	rows *view.Collection[Reject]
}

// NewRejects returns what reads the rows that Projection writes to db; upTo is its
// runner.
func NewRejects(db *view.DB, upTo api.Waiter) *Rejects {
	return &Rejects{db: db, upTo: upTo, rows: newRejects()}
}

// RejectsPage is a page of rejected lines.
type RejectsPage struct {
	Items []Reject `json:"items"`
	Next  string   `json:"next,omitempty" doc:"Send it as after for the next page; absent at the end."`
}

// Serve registers the operation.
func (s *Rejects) Serve(a *api.API) {
	api.Handle(a, huma.Operation{
		OperationID: "rejects", Method: http.MethodGet, Path: "/rejects", Tags: []string{"orders"},
		Summary: "All rejected lines with their reasons, in order of source and row",
	}, s.list)
}

type rejectsRequest struct {
	api.Fresh
	api.Page
	Invoice string `query:"invoice" doc:"Only those of the invoice with this number, in its own order."`
}

type rejectsAnswer struct{ Body RejectsPage }

func (s *Rejects) list(ctx context.Context, in *rejectsRequest) (*rejectsAnswer, error) {
	if err := in.Await(ctx, s.upTo); err != nil {
		return nil, err
	}
	index := byPlace
	if in.Invoice != "" {
		index = "" // by key, which begins with the invoice
	}
	q, err := in.Query(index, false)
	if err != nil {
		return nil, err
	}
	if in.Invoice != "" {
		q.From, q.To = Key(in.Invoice)+"/", Key(in.Invoice)+"0" // "0" follows "/"
	}
	page, err := s.rows.Scan(ctx, s.db, q)
	if err != nil {
		return nil, err
	}
	out := &rejectsAnswer{RejectsPage{Items: []Reject{}, Next: api.Next(page.Next)}}
	for _, item := range page.Items {
		out.Body.Items = append(out.Body.Items, item.Value)
	}
	return out, nil
}
