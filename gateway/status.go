package gateway

import (
	"maps"
	"slices"
	"time"
)

// Status is what a gateway is doing.
type Status struct {
	Routes    []RouteStatus    `json:"routes"`
	Upstreams []UpstreamStatus `json:"upstreams"`
}

// RouteStatus is a route as it is configured.
type RouteStatus struct {
	Name  string `json:"name"`
	Match string `json:"match"`
	To    string `json:"to"`
}

// UpstreamStatus is an upstream and its targets.
type UpstreamStatus struct {
	Name    string         `json:"name"`
	Targets []TargetStatus `json:"targets"`
}

// TargetStatus is a target and what its calls have shown.
type TargetStatus struct {
	URL string `json:"url"`
	// Health is "well", "aside" (calls failed; it is tried again) or "down"
	// (health checks fail).
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
		out.Routes = append(out.Routes, RouteStatus{Name: r.Name, Match: r.Match, To: r.To})
	}
	for _, name := range slices.Sorted(maps.Keys(s.upstreams)) {
		u := UpstreamStatus{Name: name}
		for _, t := range s.upstreams[name].targets {
			u.Targets = append(u.Targets, t.status())
		}
		out.Upstreams = append(out.Upstreams, u)
	}
	return out
}

func (t *target) status() TargetStatus {
	return TargetStatus{
		URL: t.url.String(), Health: t.health.verdict(time.Now()).String(), InFlight: t.inFlight.Load(),
		Calls: t.calls.Load(), Failures: t.failures.Load(), LatencyMS: float64(t.latency.Load()) / 1e6,
	}
}
