package orders

import (
	"context"
	"errors"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

// lists are the read models of this service.
type lists struct {
	rejects *view.Collection[Reject]
	history *view.Collection[past]
}

// Projection folds the log into the list of rejected lines and that of orders. It
// is one, because each more costs a commit for every few orders.
func Projection() *projection.Definition {
	l := lists{newRejects(), newHistory()}
	d := projection.Define("rejects", Types, &projection.Options{
		Version:     2, // 1 had no list of orders
		Collections: []projection.Collection{l.rejects, l.history},
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p Placed, _ banyan.Event) error {
		return errors.Join(l.reject(ctx, b, p.Bill, p.Refused), l.count(ctx, b, p.Bill, StatusAccepted, "", p.Items))
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p Pending, _ banyan.Event) error {
		return l.count(ctx, b, p.Bill, StatusPending, "", p.Items) // what is refused follows with the outcome
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r Declined, _ banyan.Event) error {
		return errors.Join(l.reject(ctx, b, r.Bill, r.Refused), l.count(ctx, b, r.Bill, StatusRejected, r.Reason, nil))
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r Rejected, _ banyan.Event) error {
		return errors.Join(l.reject(ctx, b, r.Bill, r.Refused), l.count(ctx, b, r.Bill, StatusRejected, r.Reason, nil))
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, r Returned, _ banyan.Event) error {
		return l.reject(ctx, b, r.Bill, r.Refused)
	})
	return d
}
