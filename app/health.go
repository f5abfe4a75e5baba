package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/view"
)

const (
	checkEvery   = time.Second     // so that probes do not hammer dependencies
	checkTimeout = 2 * time.Second // probes usually give up after some seconds
)

// The states in the JSON of /health.
const (
	statusOK       = "ok"
	statusWarning  = "warning"
	statusFailing  = "failing"
	statusDraining = "draining"
	statusStarting = "starting"
)

// healthReport is the answer of /health.
type healthReport struct {
	Name        string             `json:"name"`
	Status      string             `json:"status"`
	UptimeS     float64            `json:"uptime_seconds"`
	Checks      []checkReport      `json:"checks"`
	Warnings    []string           `json:"warnings"`
	Projections []projectionReport `json:"projections"`
}

type checkReport struct {
	Name       string  `json:"name"`
	Status     string  `json:"status"`
	DurationMS float64 `json:"duration_ms"`
	Error      string  `json:"error,omitempty"`
}

// projectionReport shows how far a projection is behind the log.
type projectionReport struct {
	Name       string  `json:"name"`
	Owner      string  `json:"owner,omitempty"` // the process that advances it
	Generation int     `json:"generation"`
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
	ParkedKeys int     `json:"parked_keys"`
	Held       string  `json:"held,omitempty"` // why this process does not advance it
	Error      string  `json:"error,omitempty"`
}

// health answers the probes.
type health struct {
	app *App

	// Before Run only.
	checks      []check
	projections []projectionState

	mu     sync.Mutex
	phase  string    // guarded by mu: "", statusDraining, statusStarting
	since  time.Time // guarded by mu: start of Run
	refill sync.Mutex
	last   *healthReport // guarded by refill
	at     time.Time     // guarded by refill
}

type check struct {
	name string
	run  func(context.Context) error
}

// projectionState asks a runner for its state.
type projectionState func(context.Context) projectionReport

func newHealth(a *App) *health {
	h := &health{app: a, phase: statusStarting}
	h.add("store", func(ctx context.Context) error {
		_, err := a.Store.Head(ctx)
		return err
	})
	// A lookup in a collection that nobody has: "not found" is an answer.
	probe := view.NewCollection[struct{}]("banyan_health")
	h.add("views", func(ctx context.Context) error {
		_, _, err := probe.Get(ctx, a.Views, "probe")
		if errors.Is(err, banyan.ErrNotFound) {
			return nil
		}
		return err
	})
	return h
}

func (h *health) add(name string, run func(context.Context) error) {
	h.checks = append(h.checks, check{name, run})
}

func (h *health) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase, h.since = "", time.Now()
}

func (h *health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.phase = statusDraining
}

func (h *health) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": statusOK})
	})
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /health", h.full)
}

// readyz is red while starting and draining, and when a check fails. It names
// the checks but not their errors: it may be open to more people than /health.
func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	report := h.report(r.Context())
	body := map[string]any{"status": report.Status}
	if report.Status == statusWarning {
		body["status"] = statusOK
	}
	var failing []string
	for _, c := range report.Checks {
		if c.Status == statusFailing {
			failing = append(failing, c.Name)
		}
	}
	if failing != nil {
		body["failing"] = failing
	}
	writeJSON(w, report.code(), body)
}

func (h *health) full(w http.ResponseWriter, r *http.Request) {
	report := h.report(r.Context())
	writeJSON(w, report.code(), report)
}

func (r healthReport) code() int {
	if r.Status == statusOK || r.Status == statusWarning {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// report returns the state of now, with checks that are at most checkEvery old.
func (h *health) report(ctx context.Context) healthReport {
	report := h.checked(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.since.IsZero() {
		report.UptimeS = seconds(time.Since(h.since))
	}
	if h.phase != "" {
		report.Status = h.phase
	}
	return report
}

func (h *health) checked(ctx context.Context) healthReport {
	h.refill.Lock() // probes that come meanwhile wait for the same answer
	defer h.refill.Unlock()
	if h.last != nil && time.Since(h.at) < checkEvery {
		return *h.last
	}
	report := healthReport{
		Name: h.app.Name, Status: statusOK, Warnings: h.warnings(),
		Checks: make([]checkReport, len(h.checks)), Projections: make([]projectionReport, len(h.projections)),
	}
	// Not bound to the probe's own context: its answer is for others too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	var wait sync.WaitGroup
	for i, c := range h.checks {
		wait.Go(func() { report.Checks[i] = h.run(ctx, c) })
	}
	for i, p := range h.projections {
		wait.Go(func() {
			report.Projections[i] = p(ctx)
			report.Projections[i].Error = h.app.secrets.hide(report.Projections[i].Error)
		})
	}
	wait.Wait()
	report.judge()
	h.last, h.at = &report, time.Now()
	return report
}

func (r *healthReport) judge() {
	parked := slices.ContainsFunc(r.Projections, func(p projectionReport) bool { return p.ParkedKeys > 0 || p.Error != "" })
	if len(r.Warnings) > 0 || parked {
		r.Status = statusWarning
	}
	if slices.ContainsFunc(r.Checks, func(c checkReport) bool { return c.Status == statusFailing }) {
		r.Status = statusFailing
	}
}

// run runs one check. A check that ignores its context is left behind when its
// time is over, so that one bad check cannot hang the probes.
func (h *health) run(ctx context.Context, c check) checkReport {
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("no answer within " + checkTimeout.String())
	}
	report := checkReport{Name: c.name, Status: statusOK, DurationMS: float64(time.Since(start).Microseconds()) / 1000}
	if err != nil {
		report.Status = statusFailing
		report.Error = h.app.secrets.hide(err.Error())
	}
	return report
}

// warnings says what is weaker than the default; the result is not nil, so that
// the JSON has a list in any case.
func (h *health) warnings() []string {
	all := []string{}
	for _, db := range h.app.databases {
		for _, w := range db.Warnings() {
			all = append(all, db.URL()+": "+w)
		}
	}
	return all
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	_ = out.Encode(body) // the client has gone
}
