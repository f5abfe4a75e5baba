package gateway

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// verdict on a target.
type verdict int

const (
	well  verdict = iota
	aside         // calls failed; it is tried again after a time
	down          // the health check says so
)

func (v verdict) String() string { return [...]string{"well", "aside", "down"}[v] }

const (
	// failuresAside in a row put a target aside.
	failuresAside = 5
	// asideAtFirst is for how long; it doubles each time, up to asideAtMost.
	asideAtFirst = time.Second
	asideAtMost  = 30 * time.Second
)

// health of a target: what its calls and its checks show.
type health struct {
	config Health

	mu       sync.Mutex
	row      int           // guarded by mu; calls that failed one after the other
	until    time.Time     // guarded by mu; put aside until then
	pause    time.Duration // guarded by mu; of the last time
	answers  int           // guarded by mu; checks in a row that disagree with the verdict
	isDown   bool          // guarded by mu; by checks
	returned time.Time     // guarded by mu; since when it is well again
}

func (h *health) init(config *Upstream) { h.config = config.Health }

func (h *health) verdict(now time.Time) verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.isDown:
		return down
	case now.Before(h.until):
		return aside
	}
	return well
}

// share is how much of its due a target gets, from a tenth to 1.
func (h *health) share(now time.Time, slowStart time.Duration) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.returned.IsZero() || slowStart <= 0 {
		return 1
	}
	return min(1, 0.1+0.9*float64(now.Sub(h.returned))/float64(slowStart))
}

func (h *health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.until.IsZero() {
		h.until, h.pause, h.returned = time.Time{}, 0, time.Now()
	}
	h.row = 0
}

func (h *health) failed(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.row++; h.row < failuresAside || now.Before(h.until) {
		return
	}
	h.pause = min(max(2*h.pause, asideAtFirst), asideAtMost)
	h.until = now.Add(h.pause)
}

// checked takes the answer of a health check.
func (h *health) checked(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok != h.isDown {
		h.answers = 0
		return
	}
	h.answers++
	limit := h.config.Fall
	if ok {
		limit = h.config.Rise
	}
	if h.answers < limit {
		return
	}
	h.answers, h.isDown = 0, !ok
	if ok {
		h.row, h.until, h.returned = 0, time.Time{}, time.Now()
	}
}

// watch asks a target again and again, at slightly irregular times so that many
// gateways do not ask at once.
func (t *target) watch(ctx context.Context) {
	every := t.health.config.Every
	timer := time.NewTimer(time.Duration(rand.Int64N(int64(every))))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		t.health.checked(t.ask(ctx))
		timer.Reset(every - every/10 + time.Duration(rand.Int64N(int64(every/5))))
	}
}

// ask sends one health check.
func (t *target) ask(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, t.health.config.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.Scheme+"://"+t.url.Host+t.health.config.Path, http.NoBody)
	if err != nil {
		return false
	}
	r.Header.Set("User-Agent", "banyan-health")
	resp, err := t.client.RoundTrip(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return err == nil && resp.StatusCode >= 200 && resp.StatusCode < 400
}
