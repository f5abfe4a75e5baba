package orders

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

// ValidatorOptions of a Validator.
type ValidatorOptions struct {
	// Every is the pause between two rounds. Default: 1 s.
	Every time.Duration
	// Logger hears of orders that cannot be settled for another reason than that a
	// service does not answer. Default: nothing is logged.
	Logger *slog.Logger
}

// Validator gives orders that are pending their outcome, once the services that
// have to agree answer again. It finds them in the read model of the orders' own
// log, so it needs no memory: what a killed process leaves is found by the next.
//
// Any number of them may run, in any number of processes. Two that settle the same
// order ask twice and record once: an order has one outcome, because only one that
// is still pending gets one (Settle) and the stream takes one append at a time.
//
// While a service fails, its breaker turns most calls away, so that waiting orders
// do not keep it down. An order that cannot be settled does not hold up others.
type Validator struct {
	desk    *Service
	history *History
	opts    ValidatorOptions
}

// NewValidator returns a Validator of the orders of desk; history lists them.
func NewValidator(desk *Service, history *History, o *ValidatorOptions) *Validator {
	v := &Validator{desk: desk, history: history}
	if o != nil {
		v.opts = *o
	}
	if v.opts.Every <= 0 {
		v.opts.Every = time.Second
	}
	if v.opts.Logger == nil {
		v.opts.Logger = slog.New(slog.DiscardHandler)
	}
	return v
}

// Run settles orders until ctx ends; then it returns nil.
func (v *Validator) Run(ctx context.Context) error {
	tick := time.NewTicker(v.opts.Every)
	defer tick.Stop()
	for {
		// Before the read model is first built nothing can be pending in it.
		if err := v.Round(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, banyan.ErrNotFound) {
			v.opts.Logger.Warn("pending orders cannot be listed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Round tries to settle each order that is pending now, the oldest first. Those
// that stay pending are no error.
func (v *Validator) Round(ctx context.Context) error {
	for after := (*view.Cursor)(nil); ; {
		page, err := v.history.pending(ctx, after)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			v.settle(ctx, item.Value.Number)
		}
		if after = page.Next; after == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (v *Validator) settle(ctx context.Context, number string) {
	err := v.desk.Settle(ctx, number)
	var unasked *UnaskedError
	if err != nil && !errors.As(err, &unasked) && ctx.Err() == nil {
		v.opts.Logger.Error("a pending order cannot be settled", "error", err)
	}
}
