package resilience

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/priority"
)

// Priority of a call under load; the zero value is Normal.
type Priority int

// The priorities.
const (
	Lowest Priority = iota - 2
	Low
	Normal
	High
	Highest
)

func (p Priority) inner() priority.Priority {
	return priority.Priority(min(max(p, Lowest), Highest) - Lowest)
}

// WithPriority returns a context whose calls have priority p where calls are
// shed.
func WithPriority(ctx context.Context, p Priority) context.Context {
	return priority.ContextWithPriority(ctx, p.inner())
}

// calibrateEvery is how often the threshold of priorities is set anew.
const calibrateEvery = 100 * time.Millisecond

// shed is failsafe-go's adaptive limiter. Its prioritizer wants a goroutine that
// calibrates it; arriving calls do that here, so that a Policy needs no Close.
type shed struct {
	maxWait    time.Duration
	limiter    adaptivelimiter.PriorityLimiter[any]
	order      priority.Prioritizer
	start      time.Time
	calibrated atomic.Int64 // nanoseconds since start
}

func newShed(o *Shed) *shed {
	s := &shed{maxWait: o.MaxWait, order: adaptivelimiter.NewPrioritizer(), start: time.Now()}
	s.limiter = adaptivelimiter.NewBuilder[any]().
		WithLimits(uint(o.Min), uint(o.Max), uint(o.Initial)).
		WithQueueing(1, 3).
		BuildPrioritized(s.order)
	return s
}

func (s *shed) enter(ctx context.Context) (adaptivelimiter.Permit, error) {
	if priority.FromContext(ctx) < 0 {
		ctx = WithPriority(ctx, Normal) // failsafe-go takes none for the lowest
	}
	s.calibrate()
	return s.limiter.AcquirePermitWithMaxWait(ctx, s.maxWait)
}

func (s *shed) calibrate() {
	last, now := s.calibrated.Load(), int64(time.Since(s.start))
	if now-last >= int64(calibrateEvery) && s.calibrated.CompareAndSwap(last, now) {
		s.order.Calibrate()
	}
}

func isShed(err error) bool { return errors.Is(err, adaptivelimiter.ErrExceeded) }
