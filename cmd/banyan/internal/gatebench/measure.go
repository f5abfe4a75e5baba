package gatebench

import (
	"context"
	"fmt"
	"slices"
)

// running is a side whose process runs.
type running struct {
	side
	target *target
	rates  []float64
	slow   []*sample
}

// loads measures the cases that are about requests.
func (b *bench) loads(ctx context.Context) ([]Result, error) {
	if err := b.startBehind(ctx); err != nil {
		return nil, err
	}
	var all []*running
	for i, s := range sides() {
		if i == 0 && !b.wantsLoads() || i > 0 && !b.wants(s) {
			continue
		}
		r, err := b.start(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if r != nil {
			all = append(all, r)
		}
	}
	if err := b.measure(ctx, all); err != nil {
		return nil, err
	}
	b.end(1) // the others need the server behind
	return results(all), nil
}

// wantsLoads says whether a case is asked for that the server behind alone is the
// base of.
func (b *bench) wantsLoads() bool {
	return slices.ContainsFunc(b.Cases, func(name string) bool { return name != CaseRoutes && name != CaseIdle })
}

// startBehind starts the server that everybody forwards to.
func (b *bench) startBehind(ctx context.Context) (err error) {
	if b.behind, err = freeAddress(); err != nil {
		return err
	}
	command, err := b.command(sides()[0], b.behind)
	if err != nil {
		return err
	}
	p, err := spawn(ctx, command, b.behind)
	if err != nil {
		return fmt.Errorf("%s: %w", behindName, err)
	}
	b.stops = append(b.stops, p.stop)
	return nil
}

// start starts a side, and returns when it answers as it should. nil: its program
// is missing.
func (b *bench) start(ctx context.Context, s side) (*running, error) {
	r := &running{side: s, target: newTarget(b.behind)}
	if s.name == behindName {
		return r, r.target.ready(ctx)
	}
	p, listen, err := b.launch(ctx, s)
	if p == nil || err != nil {
		return nil, err
	}
	b.stops = append(b.stops, p.stop)
	var headers []string
	if s.setup.Policies {
		if headers, err = tokens(b.Connections); err != nil {
			return nil, err
		}
	}
	r.target = newTarget(listen, headers...)
	if err := r.target.ready(ctx); err != nil {
		return nil, fmt.Errorf("%w: %s", err, p.output())
	}
	return r, nil
}

// launch starts the process of a side. nil: its program is missing.
func (b *bench) launch(ctx context.Context, s side) (p *process, listen string, err error) {
	if listen, err = freeAddress(); err != nil {
		return nil, "", err
	}
	command, err := b.command(s, listen)
	if command == nil || err != nil {
		return nil, "", err
	}
	p, err = spawn(ctx, command, listen)
	return p, listen, err
}

// measure gives each side its turn in each round, so that what else the machine
// does hits all of them; the order differs, so that none comes always behind the
// same other. Before that each gets warm: heaps grow, connections to the server
// behind are opened, caches filled.
func (b *bench) measure(ctx context.Context, all []*running) error {
	for _, r := range all {
		b.Progress("warming up: " + r.name)
		if _, err := r.target.load(ctx, b.Connections, b.Round/3, 0); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	for round := range b.Rounds {
		for i := range all {
			r := all[(i+round)%len(all)]
			b.Progress(fmt.Sprintf("round %d of %d: %s", round+1, b.Rounds, r.name))
			full, err := r.target.load(ctx, b.Connections, b.Round, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			slow, err := r.target.load(ctx, b.Connections, b.Round, b.Rate)
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			r.rates, r.slow = append(r.rates, full.rate), append(r.slow, slow)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

func results(all []*running) []Result {
	if len(all) == 0 {
		return nil
	}
	rates := map[string]float64{}
	for _, r := range all {
		rates[r.name] = median(r.rates)
	}
	base := rates["nginx"]
	if base == 0 {
		base = rates[all[0].name]
	}
	var out []Result
	for _, r := range all {
		result := Result{
			Case: r.in, Name: r.name, Rate: rates[r.name], Ratio: rates[r.name] / base, Policies: r.policies,
			P50MS: added(r, all[0], 0.5), P99MS: added(r, all[0], 0.99),
		}
		if bare := rates[r.bare]; bare > 0 {
			result.RatioBare = rates[r.name] / bare
		}
		out = append(out, result)
	}
	return out
}

// added is how much longer a side takes than the server behind, in milliseconds.
func added(r, behind *running, q float64) float64 {
	return quantileOf(r, q) - quantileOf(behind, q)
}

func quantileOf(r *running, q float64) float64 {
	var values []float64
	for _, s := range r.slow {
		values = append(values, float64(s.quantile(q).Microseconds())/1000)
	}
	return median(values)
}
