package app

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan/projection"
)

// Project registers a projection of the service's own events into its read
// models. The runner advances it during Run, beside those of other processes; a
// query waits with it for what it has just written. A mistake in the definition
// is returned, and makes Run fail too.
func (a *App) Project(d *projection.Definition) (*projection.Runner, error) {
	return a.ProjectFrom(a.Store, d)
}

// ProjectFrom is Project for the events of another log, such as the store of
// another service: see App.Database.
func (a *App) ProjectFrom(log projection.Log, d *projection.Definition) (*projection.Runner, error) {
	r, err := projection.NewRunner(log, a.Views, d, &projection.RunnerOptions{Owner: a.owner(), Logger: a.Log})
	if err != nil {
		a.mistakes = append(a.mistakes, err)
		return nil, fmt.Errorf("app: %s: %w", a.Name, err)
	}
	a.Attach(r)
	return r, nil
}

// Attach has the service advance a runner that was made with options of its own,
// from any log into any database, and shows it in /health.
func (a *App) Attach(r *projection.Runner) {
	a.Go("projection "+r.Name(), r.Run)
	a.health.projections = append(a.health.projections, func(ctx context.Context) projectionReport {
		return reportOf(ctx, r)
	})
}

// reportOf turns a runner's status into a part of /health. A projection that has
// not begun has the whole log before it.
func reportOf(ctx context.Context, r *projection.Runner) projectionReport {
	s, err := r.Status(ctx)
	if err != nil {
		return projectionReport{Name: r.Name(), Error: err.Error()}
	}
	live := s.Active()
	report := projectionReport{
		Name: r.Name(), Owner: s.Owner, Generation: live.Number, LagEvents: live.Lag, LagSeconds: seconds(live.LagTime),
		ParkedKeys: live.ParkedKeys, Held: live.Held,
	}
	if live.Number == 0 {
		report.LagEvents = int64(s.Head)
	}
	return report
}
