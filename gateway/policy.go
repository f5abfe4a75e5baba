package gateway

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

// Retry sends a call again that failed or was answered 502, 503 or 504: one whose
// method is idempotent, or that has an Idempotency-Key. Never another one.
type Retry struct {
	// Attempts are at most so many, the first included; default 3.
	Attempts int `yaml:"attempts"`
	// Timeout of each attempt; default: the route's alone.
	Timeout time.Duration `yaml:"timeout"`
	// Budget is what retries and hedges may add to the calls of the route, as a
	// share; default 0.2.
	Budget float64 `yaml:"budget"`
}

// Hedge sends a GET or HEAD a second time when the first is slow; the faster
// answer counts. It is paid from the budget of Retry.
type Hedge struct {
	// After is how long the first may take; with a Quantile, at least.
	After time.Duration `yaml:"after"`
	// Quantile of the latest latencies, between 0 and 1.
	Quantile float64 `yaml:"quantile"`
}

// Breaker stops calls to a target that fails.
type Breaker struct {
	// FailureRate opens it; default 0.5.
	FailureRate float64 `yaml:"failure_rate"`
	// MinCalls in Window are needed; default 20 in 10 s.
	MinCalls int           `yaml:"min_calls"`
	Window   time.Duration `yaml:"window"`
	// Open is how long until calls are tried again; default 5 s.
	Open time.Duration `yaml:"open"`
}

// Concurrency bounds the requests of a route, or the calls to a target, that are
// under way at once.
type Concurrency struct {
	// Max are under way at once.
	Max int `yaml:"max"`
	// Wait is how long more may wait for a place; default: not at all.
	Wait time.Duration `yaml:"wait"`
}

// Shed bounds the calls under way to what an upstream can do, which it learns from
// their latency. When more come, those of low priority are turned away first.
type Shed struct {
	// Min and Max of the bound; default 1 and 200.
	Min int `yaml:"min"`
	Max int `yaml:"max"`
	// Wait is how long a call may wait for a place; default 100 ms.
	Wait time.Duration `yaml:"wait"`
}

// priorities by their names in a file. It is read only.
var priorities = map[string]resilience.Priority{
	"": resilience.Normal, "lowest": resilience.Lowest, "low": resilience.Low, "normal": resilience.Normal, "high": resilience.High, "highest": resilience.Highest,
}

// policy of an upstream that sheds; nil: it does not.
func (s *Shed) policy(upstream string) (*resilience.Policy, error) {
	if s == nil {
		return nil, nil
	}
	return resilience.New(upstream, &resilience.Options{Shed: &resilience.Shed{
		Min: s.Min, Max: s.Max, MaxWait: s.Wait,
		Priority: func(r *http.Request) resilience.Priority { return priorities[arrivalOf(r.Context()).route.Priority] },
	}})
}

// policies of a route: round the handler, and round the calls.
type policies struct {
	handler *resilience.Policy
	calls   *resilience.Policy
}

func (r *Route) policies() (policies, error) {
	var p policies
	var err error
	if r.Concurrency != nil {
		if p.handler, err = resilience.New(r.Name, &resilience.Options{Bulkhead: r.Concurrency.bulkhead()}); err != nil {
			return p, err
		}
	}
	if r.Retry == nil && r.Hedge == nil {
		return p, nil
	}
	o := &resilience.Options{}
	if r.Retry != nil {
		o.Timeout = r.Retry.Timeout
		o.Retry = &resilience.Retry{MaxAttempts: r.Retry.Attempts}
		o.Budget = &resilience.Budget{Ratio: r.Retry.Budget}
	}
	if r.Hedge != nil {
		o.Hedge = &resilience.Hedge{Delay: r.Hedge.After, Quantile: r.Hedge.Quantile}
	}
	p.calls, err = resilience.New(r.Name, o)
	return p, err
}

func (c *Concurrency) bulkhead() *resilience.Bulkhead {
	return &resilience.Bulkhead{Max: c.Max, MaxWait: c.Wait}
}

// policy of the calls to one target; nil: there is none.
func (u *Upstream) policy(target string) (*resilience.Policy, error) {
	if u.Breaker == nil && u.Concurrency == nil {
		return nil, nil
	}
	o := &resilience.Options{}
	if b := u.Breaker; b != nil {
		// What ends a call that is late is a route's timeout, never an impatient client.
		o.Breaker = &resilience.Breaker{FailureRate: b.FailureRate, MinCalls: b.MinCalls, Window: b.Window, Open: b.Open, Patience: time.Nanosecond}
	}
	if u.Concurrency != nil {
		o.Bulkhead = u.Concurrency.bulkhead()
	}
	return resilience.New(target, o)
}

// checkPolicies reports what the policies say about themselves.
func checkPolicies(path string, err error, found *mistakes) {
	if err == nil {
		return
	}
	text := err.Error()
	if _, reason, ok := strings.Cut(text, banyan.ErrInvalid.Error()+": "); ok {
		text = reason
	}
	found.add(path, "%s", text)
}

// maxReplayed is how long a body may be that is kept to be sent again, in bytes.
const maxReplayed = 64 << 10

// replayable keeps a short body, so that the call can be sent again.
func replayable(out *http.Request) error {
	if out.ContentLength <= 0 || out.ContentLength > maxReplayed {
		return nil
	}
	text := make([]byte, out.ContentLength)
	if _, err := io.ReadFull(out.Body, text); err != nil {
		return err
	}
	_ = out.Body.Close()
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }
	out.Body, _ = out.GetBody()
	return nil
}
