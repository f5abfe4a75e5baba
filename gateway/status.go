package gateway

import (
	"maps"
	"slices"
	"time"

	"github.com/banyanhq/banyan/resilience"
)

// Status is what a gateway is doing.
type Status struct {
	Routes    []RouteStatus    `json:"routes"`
	Upstreams []UpstreamStatus `json:"upstreams"`
	// Catalogue is where its documents come from.
	Catalogue []SourceStatus `json:"catalogue,omitempty"`
}

// RouteStatus is a route, and its requests since the gateway started.
type RouteStatus struct {
	Name  string `json:"name"`
	Match string `json:"match"`
	// To names the upstream, or those of a composed answer, or has the status of a
	// redirect and where it leads.
	To string `json:"to"`
	// InFlight are requests under way.
	InFlight int64 `json:"in_flight"`
	Requests int64 `json:"requests"`
	// Refused are those with a status of 4xx, Failed with 5xx, and Broken those
	// whose connection ended before an answer.
	Refused int64 `json:"refused"`
	Failed  int64 `json:"failed"`
	Broken  int64 `json:"broken"`
	// Fallbacks are those that the route's fallback answered, with any status.
	Fallbacks int64 `json:"fallbacks"`
	// P50MS and P99MS are how long requests took to the last byte, in
	// milliseconds, at most a quarter too high.
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
}

// UpstreamStatus is an upstream and its targets.
type UpstreamStatus struct {
	Name    string         `json:"name"`
	Targets []TargetStatus `json:"targets"`
}

// TargetStatus is a target and what its calls have shown.
type TargetStatus struct {
	URL string `json:"url"`
	// Health is "well", "aside" (calls failed; it is tried again), "down" (health
	// checks fail) or "open" (its breaker lets nothing through, or trials only).
	Health string `json:"health"`
	// InFlight are calls under way.
	InFlight int64 `json:"in_flight"`
	// Calls and Failures are since the upstream was configured. What a client
	// breaks is no failure.
	Calls    int64 `json:"calls"`
	Failures int64 `json:"failures"`
	// LatencyMS until the head of an answer: a moving average, in milliseconds.
	LatencyMS float64 `json:"latency_ms"`
}

// Status returns what the gateway is doing now.
func (g *Gateway) Status() Status {
	s := g.state.Load()
	var out Status
	for i := range s.config.Routes {
		r := &s.config.Routes[i]
		out.Routes = append(out.Routes, r.status())
	}
	for _, name := range slices.Sorted(maps.Keys(s.upstreams)) {
		u := UpstreamStatus{Name: name}
		for _, t := range s.upstreams[name].all() {
			u.Targets = append(u.Targets, t.status())
		}
		out.Upstreams = append(out.Upstreams, u)
	}
	out.Catalogue = g.collector.sources()
	return out
}

func (r *Route) status() RouteStatus {
	st := RouteStatus{
		Name: r.Name, Match: r.Match, To: r.upstreams(), InFlight: r.stats.inFlight.Load(), Fallbacks: r.stats.fallbacks.Load(),
		P50MS: milliseconds(r.stats.took.quantile(0.5)), P99MS: milliseconds(r.stats.took.quantile(0.99)),
	}
	for i := range r.stats.statuses {
		st.Requests += r.stats.statuses[i].Load()
	}
	st.Broken, st.Refused, st.Failed = r.stats.statuses[0].Load(), r.stats.statuses[4].Load(), r.stats.statuses[5].Load()
	return st
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func (t *target) status() TargetStatus {
	verdict := t.health.verdict(time.Now()).String()
	if t.policy != nil && t.policy.Stats().Breaker != resilience.Closed && verdict == well.String() {
		verdict = "open"
	}
	return TargetStatus{
		URL: t.url.String() + t.at(), Health: verdict, InFlight: t.inFlight.Load(),
		Calls: t.calls.Load(), Failures: t.failures.Load(), LatencyMS: milliseconds(time.Duration(t.latency.Load())),
	}
}
