package http1

import (
	"sync"
	"time"
)

// deadline of a connection, set only when it would change by much: setting it
// costs more than most of what happens between two requests.
type deadline struct {
	set func(time.Time) error

	mu      sync.Mutex
	latest  time.Time // guarded by mu
	expired bool      // guarded by mu; for good
}

// within sets the deadline to now + d, give or take an eighth.
func (d *deadline) within(t time.Duration) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if left := d.latest.Sub(now); d.expired || left <= t && left >= t-t/8 {
		return
	}
	d.latest = now.Add(t)
	_ = d.set(d.latest) // a dead connection shows when it is used
}

// at sets the deadline; the zero time is none.
func (d *deadline) at(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.expired || t.Equal(d.latest) {
		return
	}
	d.latest = t
	_ = d.set(t) // a dead connection shows when it is used
}

// expire ends what waits for the connection, and everything later.
func (d *deadline) expire() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expired = true
	_ = d.set(time.Unix(1, 0)) // long ago; a dead connection shows when it is used
}
