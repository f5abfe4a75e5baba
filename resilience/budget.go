package resilience

import (
	"sync"
	"time"
)

// budgetSlots of a second each are the window of a budget.
const budgetSlots = 10

// budget counts calls and extra calls in a rolling window. Extra calls leave the
// window not before the calls that paid for them, so the bound that holds in
// each window holds over all time. failsafe-go's budget bounds the share of the
// calls under way instead, which says nothing about a failure that comes fast.
type budget struct {
	ratio float64
	floor int // extra calls in a window that are always allowed
	start time.Time

	mu            sync.Mutex // guards what follows
	slots         [budgetSlots]struct{ calls, extras int }
	last          int64 // the newest slot, counted from start
	calls, extras int   // sums over slots
}

func newBudget(o *Budget) *budget {
	return &budget{ratio: o.Ratio, floor: max(0, o.MinPerSecond) * budgetSlots, start: time.Now()}
}

// call counts a call that its caller made.
func (b *budget) call() {
	b.mu.Lock()
	b.roll()
	b.slots[b.last%budgetSlots].calls++
	b.calls++
	b.mu.Unlock()
}

// take asks for an extra one.
func (b *budget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	if float64(b.extras+1) > max(b.ratio*float64(b.calls), float64(b.floor)) {
		return false
	}
	b.slots[b.last%budgetSlots].extras++
	b.extras++
	return true
}

// roll empties the slots whose time is over; mu is held.
func (b *budget) roll() {
	now := int64(time.Since(b.start) / time.Second)
	for range min(now-b.last, budgetSlots) {
		b.last++
		slot := &b.slots[b.last%budgetSlots]
		b.calls -= slot.calls
		b.extras -= slot.extras
		slot.calls, slot.extras = 0, 0
	}
	b.last = max(b.last, now)
}
