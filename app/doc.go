// Package app composes a service: databases chosen by URL, projections, an HTTP
// server, health, and one Run that starts and stops all of it in order.
//
//	func main() { app.Main("orders", run) }
//
//	func run(a *app.App) error {
//		a.Project(summary.Definition())
//		a.Handle("POST /orders", placeOrder(a.Store))
//		return nil
//	}
//
// Configuration comes from a YAML file, the environment and flags, the latter
// winning; see [Config]. A mistake is reported with its place, and passwords are
// shown nowhere: not in errors, logs, or /health.
//
// Order. [App.Run] serves until its context ends and then drains: /readyz turns
// red, the listener closes (after Config.DrainDelay), requests under way finish
// (at most Config.DrainTimeout), projections and functions stop, databases
// close. The first failure of a projection, a function or the server stops the
// rest in the same order and is what Run returns.
//
// Concurrency. Handle, Project, Check and Go are for the time before Run, from
// one goroutine. One process may run several Apps.
//
// Failure. Errors of Project and Handle are returned or kept, and Run refuses to
// start with them. HTTP errors are problem details (RFC 9457); see [Report].
package app
