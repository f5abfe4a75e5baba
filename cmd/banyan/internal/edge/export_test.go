package edge

import (
	"context"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/gateway/limit"
)

// OpenLimits is openLimits.
func OpenLimits(url string, report func(error)) (gateway.LimitStore, error) {
	return openLimits(url, report)
}

// Opening is a store of limits that open opens.
func Opening(open func(context.Context) (limit.Store, error), report func(error)) (gateway.LimitStore, error) {
	return openLate(func(ctx context.Context) (opened, error) {
		s, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return closing{s}, nil
	}, report)
}

type closing struct{ limit.Store }

func (closing) Close() error { return nil }
