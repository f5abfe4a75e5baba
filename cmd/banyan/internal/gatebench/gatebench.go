// Package gatebench measures the gateway beside the proxies that people use. Each
// side is a process of its own; the load generator, the server behind and the
// proxy share the machine, so figures mean something only beside each other in
// one run.
//
// # Fairness
//
// Every side speaks HTTP/1.1 with connections that are kept on both sides, has
// room for all of them, tells the server behind the client's address and the host,
// writes no access log unless the case is about it, and gets the same bytes within
// a case. All programs in Go run with GOGC=400, which "banyan run" sets. An access
// log goes to /dev/null as a file, one write a line: what programs have for
// discarding leaves out the work of making the line. Otherwise each has its own
// defaults. What each side has in the case policies is in Result.Policies: no free build of
// the others has all of it, so they do less than Banyan. Each connection has a token
// of its own there, which Banyan verifies once and then finds in its cache.
//
// Before the first round each side gets warm, for a third of a round. Rounds are
// interleaved, in a changing order. Latency is measured from when a request was
// due, and all that were due count, so that a pause of a side cannot hide itself
// (coordinated omission); "added" is the difference of two quantiles. Nothing is
// pinned to a core: load, proxy and the server behind compete for all of them.
// An answer that fails or differs ends the run.
//
// The case routes asks for 50 routes in turn, whatever the table has, so it tells
// how the search grows and not what memory that no cache of the processor holds
// costs: asked for thousands of 10,000 routes in turn it takes several times as long.
//
// Memory of idle connections is that of the processes after the connections less
// that before. nginx reserves all of its connections when it starts, so part of
// what they cost is not in the difference.
//
// # Concurrency and failure
//
// Run may be called by many, but they would disturb each other. A program that the
// machine does not have is in Report.Missing; one that does not answer as it
// should ends the run with an error. All processes have ended when Run returns.
package gatebench

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

// answer is the small JSON that everybody serves, at path.
const (
	path   = "/orders/536365"
	answer = `{"number":"536365","customer":"17850","country":"United Kingdom","lines":7,"total":"139.12"}`
)

// The cases.
const (
	CaseProxy    = "proxy"    // everything off, with added latency
	CasePolicies = "policies" // authentication, limits, metrics and access log on
	CaseCache    = "cache"    // hits
	CaseRoutes   = "routes"   // lookup of a route among 10 and among 10,000
	CaseIdle     = "idle"     // memory of idle connections
)

// Cases returns all cases, in the order of their results.
func Cases() []string {
	return []string{CaseProxy, CasePolicies, CaseCache, CaseRoutes, CaseIdle}
}

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
	// Idle connections of the case idle. Default 10,000, or what the limit of open
	// files allows.
	Idle int
	// Settle is how long connections are idle before memory is read. Default 2 s.
	Settle time.Duration
	// Peers says whether Caddy, Traefik and the engine of KrakenD are measured.
	Peers bool
	// PeersDir is where programs are looked for, before the PATH. Default: nowhere.
	PeersDir string
	// Cases to measure. Default: all.
	Cases []string
	// Only are the sides to measure. Default: all that this machine has.
	Only []string
	// Progress is told what is measured; default: nobody.
	Progress func(string)
}

func (o *Options) defaults() {
	o.Rounds = orElse(o.Rounds, 3)
	o.Round = orElse(o.Round, 3*time.Second)
	o.Connections = orElse(o.Connections, 64)
	o.Rate = orElse(o.Rate, 2000)
	o.Idle = orElse(o.Idle, 10_000)
	o.Settle = orElse(o.Settle, 2*time.Second)
	if len(o.Cases) == 0 {
		o.Cases = Cases()
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

func orElse[T int | time.Duration](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}

// Result is what one side reached in one case.
type Result struct {
	Case string `json:"case"`
	Name string `json:"name"`
	// Rate is answers (of case routes: lookups) in a second, the median of all
	// rounds.
	Rate float64 `json:"ops_per_s"`
	// Ratio is to nginx, or to the first side where there is none; of case routes to
	// 10 routes; of case idle the bytes to nginx's.
	Ratio float64 `json:"ratio"`
	// RatioBare is to the same program with everything off, 0 if that is not known.
	RatioBare float64 `json:"ratio_bare,omitempty"`
	// P50MS and P99MS are latencies in milliseconds at the fixed rate, less those
	// of the server behind.
	P50MS float64 `json:"added_p50_ms"`
	P99MS float64 `json:"added_p99_ms"`
	// BytesEach is resident memory for each idle connection, Connections how many
	// there were.
	BytesEach   float64 `json:"bytes_per_connection,omitempty"`
	Connections int     `json:"connections,omitempty"`
	// Policies are what the side does beside forwarding.
	Policies string `json:"policies,omitempty"`
}

// Missing is a program that this machine does not have.
type Missing struct {
	Name string `json:"name"`
	// How to get it.
	How string `json:"how"`
}

// Report is what a run found.
type Report struct {
	Results []Result  `json:"results"`
	Missing []Missing `json:"missing,omitempty"`
}

// bench is one run.
type bench struct {
	Options
	self    string // this program
	dir     string // of the run's files
	behind  string // address
	missing []Missing
	stops   []func()
}

// Run measures.
func Run(ctx context.Context, options Options) (_ *Report, err error) {
	options.defaults()
	b := &bench{Options: options}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "banyan-bench"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	defer b.end(0)
	r := &Report{}
	for _, part := range []func(context.Context) ([]Result, error){b.loads, b.lookups, b.idles} {
		results, err := part(ctx)
		if err != nil {
			return nil, err
		}
		r.Results = append(r.Results, results...)
	}
	r.Missing = b.missing
	return r, nil
}

// wants says whether a side is asked for.
func (b *bench) wants(s side) bool {
	return slices.Contains(b.Cases, s.in) && (b.Peers || !s.peer) && (len(b.Only) == 0 || slices.Contains(b.Only, s.name))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// end stops what runs, the last first, but for so many of the first.
func (b *bench) end(keep int) {
	keep = min(keep, len(b.stops))
	for _, stop := range slices.Backward(b.stops[keep:]) {
		stop()
	}
	b.stops = b.stops[:keep]
}
