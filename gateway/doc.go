// Package gateway is one strict front door for a monolith and its services: it
// routes requests to upstreams, and each route adds what it needs.
//
// Guarantees. A request is matched and forwarded by one canonical path, byte for
// byte; what has two readings is refused (see [Canonical]). No header that says
// who the client is reaches an upstream unless the gateway wrote it. A request is
// sent a second time only if nothing of the first was sent. A [Gateway.Reload]
// changes everything or nothing, and no request sees both.
//
// Ordering. Routes have no order: the most specific one wins, and two that are
// equally specific are refused.
//
// Concurrency. A Gateway serves any number of requests at once, beside Reload.
//
// Failure. An upstream that cannot be reached is 503, one that is late 504, one
// that answers wrongly 502; a body that the client broke is 400 and counts
// against nobody. An answer that breaks in the middle ends the client's
// connection: half an answer never looks whole.
package gateway
