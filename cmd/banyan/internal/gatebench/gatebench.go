// Package gatebench measures the gateway beside the proxies that people use. Each
// side is a process of its own; the load generator, the server behind and the
// proxy share the machine, so figures mean something only beside each other in
// one run.
package gatebench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// answer is the small JSON that everybody serves, at path.
const (
	path   = "/orders/536365"
	answer = `{"number":"536365","customer":"17850","country":"United Kingdom","lines":7,"total":"139.12"}`
)

// Options of a run. The zero value of each field is its default.
type Options struct {
	// Rounds that each side has; the median counts. Default 3.
	Rounds int
	// Round is how long each lasts. Default 3 s.
	Round time.Duration
	// Connections at once. Default 64.
	Connections int
	// Rate of requests in a second at which latency is measured. Default 2000.
	Rate int
	// Only are the sides to measure. Default: all that this machine has.
	Only []string
	// Progress is told what is measured; default: nobody.
	Progress func(string)
}

func (o *Options) defaults() {
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Round == 0 {
		o.Round = 3 * time.Second
	}
	if o.Connections == 0 {
		o.Connections = 64
	}
	if o.Rate == 0 {
		o.Rate = 2000
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// Result is what one side reached.
type Result struct {
	Name string `json:"name"`
	// Rate is answers in a second, the median of all rounds.
	Rate float64 `json:"ops_per_s"`
	// Ratio is to nginx, or to the first side where there is none.
	Ratio float64 `json:"ratio"`
	// P50MS and P99MS are latencies in milliseconds at the fixed rate, less those
	// of the server behind.
	P50MS float64 `json:"added_p50_ms"`
	P99MS float64 `json:"added_p99_ms"`
}

// side is one of those that are measured.
type side struct {
	name    string
	needs   string // a program; "": none
	command func(b *bench, listen string) (*exec.Cmd, error)
	header  func() string // of each request
}

// sides are in the order of a table. The first is the server behind, alone.
func sides() []side {
	self := func(kind string) func(*bench, string) (*exec.Cmd, error) {
		return func(b *bench, listen string) (*exec.Cmd, error) {
			return exec.Command(b.self, "bench", "gateway-server", kind, listen, b.behind), nil
		}
	}
	none := func() string { return "" }
	return []side{
		{"server behind", "", self(kindServer), none},
		{"nginx", "nginx", (*bench).nginx, none},
		{"haproxy", "haproxy", (*bench).haproxy, none},
		{"banyan", "", self(kindGateway), none},
		{"banyan, policies", "", self(kindPolicies), policyHeader},
		{"banyan, cache hits", "", self(kindCache), none},
		{"nginx, cache hits", "nginx", (*bench).nginxCache, none},
		{"httputil.ReverseProxy", "", self(kindReverseProxy), none},
	}
}

// bench is one run.
type bench struct {
	Options
	self   string // this program
	dir    string
	behind string // address
	stops  []func()
}

// Run measures. The results are in the order of their names above.
func Run(ctx context.Context, options Options) ([]Result, error) {
	options.defaults()
	b := &bench{Options: options}
	defer b.end()
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "banyan-bench"); err != nil {
		return nil, err
	}
	running, err := b.start()
	if err != nil {
		return nil, err
	}
	return b.measure(ctx, running)
}

// running is a side whose process runs.
type running struct {
	name   string
	target *target
	rates  []float64
	slow   []*sample
}

// start starts all sides.
func (b *bench) start() ([]*running, error) {
	var all []*running
	for i, s := range sides() {
		if i > 0 && len(b.Only) > 0 && !slices.Contains(b.Only, s.name) {
			continue
		}
		if s.needs != "" {
			if _, err := exec.LookPath(s.needs); err != nil {
				b.Progress(s.name + ": there is no " + s.needs + " on this machine")
				continue
			}
		}
		listen, err := freeAddress()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			b.behind = listen
		}
		command, err := s.command(b, listen)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if err := b.spawn(command, listen); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		t, err := probe(listen, s.header())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, &running{name: s.name, target: t})
	}
	return all, nil
}

// measure gives each side its turn in each round, so that what else the machine
// does hits all of them.
func (b *bench) measure(ctx context.Context, all []*running) ([]Result, error) {
	for round := range b.Rounds {
		for _, r := range all {
			b.Progress(fmt.Sprintf("round %d of %d: %s", round+1, b.Rounds, r.name))
			full, err := r.target.load(ctx, b.Connections, b.Round, 0)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			slow, err := r.target.load(ctx, b.Connections, b.Round, b.Rate)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			r.rates, r.slow = append(r.rates, full.rate), append(r.slow, slow)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	return results(all), nil
}

func results(all []*running) []Result {
	base := all[0]
	for _, r := range all {
		if r.name == "nginx" {
			base = r
		}
	}
	var out []Result
	for _, r := range all {
		out = append(out, Result{
			Name: r.name, Rate: median(r.rates), Ratio: median(r.rates) / median(base.rates),
			P50MS: added(r, all[0], 0.5), P99MS: added(r, all[0], 0.99),
		})
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

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func (b *bench) end() {
	for _, stop := range slices.Backward(b.stops) {
		stop()
	}
	if strings.HasPrefix(filepath.Base(b.dir), "banyan-bench") {
		_ = os.RemoveAll(b.dir)
	}
}
