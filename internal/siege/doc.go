// Package siege holds tests that try to break the gateway from outside: reloads
// and restarts under load, clients and upstreams that misbehave, many idle
// connections, large bodies and long streams, and requests that two parsers could
// read differently. What has to hold is in docs/guarantees.md. The sizes are those
// of internal/long.
package siege
