package app_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan/app"
)

type health struct {
	Name, Status string
	Checks       []struct {
		Name, Status, Error string
		DurationMS          *float64 `json:"duration_ms"`
	}
	Warnings    []string
	Projections []map[string]any
}

func TestHealthOfADurableService(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, func(c *app.Config) { c.StoreURL = "sqlite:orders.db" })
	start(t, a)
	got := get(t, a, "/health")
	h := decode[health](t, got.body)
	if got.code != http.StatusOK || h.Status != "ok" || h.Name != "orders" || len(h.Warnings) != 0 || h.Warnings == nil {
		t.Errorf("/health = %d %s", got.code, got.body)
	}
	if len(h.Checks) != 2 || h.Checks[0].Name != "store" || h.Checks[1].Name != "views" || h.Checks[0].DurationMS == nil {
		t.Errorf("checks = %+v, want store and views with durations", h.Checks)
	}
}

func TestHealthShowsWeakDurability(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"mem:", "sqlite:orders.db?unsafe=no-sync"} {
		a, out := setup(t, func(c *app.Config) { c.StoreURL = url })
		start(t, a)
		h := decode[health](t, get(t, a, "/health").body)
		if h.Status != "warning" || len(h.Warnings) != 1 || !strings.HasPrefix(h.Warnings[0], url+": ") {
			t.Errorf("%s: /health = %+v, want one warning", url, h)
		}
		if got := get(t, a, "/readyz"); got.code != http.StatusOK || !strings.Contains(got.body, `"ok"`) {
			t.Errorf("%s: /readyz = %+v: a warning must not take the service out", url, got)
		}
		if !strings.Contains(out.String(), "weaker than the default") {
			t.Errorf("%s: the log does not warn:\n%s", url, out)
		}
	}
}

// A failing dependency makes the service unready but not dead, its text is in
// /health only, and never with the password.
func TestFailingCheck(t *testing.T) {
	t.Parallel()
	a, out := setup(t, nil)
	var fail atomic.Bool
	fail.Store(true)
	a.Check("payments", func(context.Context) error {
		if fail.Load() {
			return errors.New("dial postgres://pay:" + secret + "@pay/db: refused")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, "the check fails", func() bool { return strings.Contains(get(t, a, "/readyz").body, `"failing":["payments"]`) })
	ready, full := get(t, a, "/readyz"), get(t, a, "/health")
	if ready.code != http.StatusServiceUnavailable || strings.Contains(ready.body, "refused") {
		t.Errorf("/readyz = %+v", ready)
	}
	if full.code != http.StatusServiceUnavailable || !strings.Contains(full.body, "dial postgres://pay:xxxxx@pay/db: refused") {
		t.Errorf("/health = %+v", full)
	}
	if strings.Contains(full.body+ready.body+out.String(), secret) {
		t.Error("the password is shown")
	}
	if got := get(t, a, "/livez"); got.code != http.StatusOK {
		t.Errorf("/livez = %+v: a failing dependency is no reason to restart", got)
	}
	fail.Store(false)
	eventually(t, "recovery", func() bool { return get(t, a, "/readyz").code == http.StatusOK })
}

// Many probes at once cost one look at the dependency.
func TestProbesAreCached(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, nil)
	var calls atomic.Int32
	a.Check("payments", func(context.Context) error { calls.Add(1); return nil })
	start(t, a)
	before := calls.Load()
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() { get(t, a, "/readyz") })
	}
	wait.Wait()
	if n := calls.Load() - before; n > 2 { // 2: the second may end in between
		t.Errorf("50 probes made %d calls", n)
	}
}
