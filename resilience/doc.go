// Package resilience calls what may fail: one [Policy] per dependency or route,
// used three ways: round any function ([Policy.Do]), round an http.Client
// ([Policy.Transport]) and round an http.Handler ([Policy.Handler]).
//
// A Policy has parts, each off unless its options are there: a timeout per
// attempt, a deadline that travels, retries and hedged reads within a budget, a
// circuit breaker, a bulkhead, shedding by priority, a fallback. From the outside
// in they stand in this order:
//
//	fallback ( deadline ( retry ( hedge ( breaker ( shed ( bulkhead ( timeout ( call ))))))))
//
// Which way has which part:
//
//	            timeout  deadline  retry  hedge  breaker  bulkhead  shed  fallback  headers
//	Do             x        x        x              x         x       x      x
//	Transport      x        x        x      x       x         x       x      x      written
//	Handler        x        x                                 x       x      x      read
//
// A service towards another one:
//
//	users, err := resilience.New("users", &resilience.Options{
//		Timeout:  time.Second,
//		Deadline: &resilience.Deadline{},
//		Retry:    &resilience.Retry{},
//		Breaker:  &resilience.Breaker{},
//		Bulkhead: &resilience.Bulkhead{Max: 50},
//	})
//	client := &http.Client{Transport: users.Transport(nil)}
//
// With several targets behind one name, stand one Policy with retries and hedges
// above a RoundTripper that picks a target and uses a Policy of that target,
// with breaker and bulkhead: what one target turns away is then tried at another.
//
// What it guarantees:
//
// No unsafe repetition. A request is sent again only if its method is idempotent
// or it has an Idempotency-Key header, and only if its body can be had anew. A
// POST without a key is sent once, whatever happens.
//
// Bounded extra load. Retries and hedges together are at most the [Budget]'s
// share of the calls of this Policy. Layers do not multiply: the header
// X-Retry-Attempt on a request says that its sender repeats it, and whoever
// serves it makes its own calls once ([NoRetry] does the same without HTTP).
//
// Three outcomes. An [Error] of kind banyan.ErrUnavailable says that nothing was
// done, banyan.ErrUnknown that it may have been: an unsafe request that was sent
// and got no answer, even where a later attempt was turned away.
//
// Blameless callers. Nothing that a caller does wrong opens the breaker: its bad
// requests, its unreadable bodies, its cancelled or impatient calls.
//
// Streams stay streams. Bodies are neither buffered nor cut by the timeout, and
// what a call occupies is released when its body ends or is closed. Cancelling
// the request's context reaches the dependency; so does closing the body.
//
// Headers. Transport sets traceparent, tracestate (banyan.Metadata.Extra
// "tracestate") and X-Correlation-Id from the context's banyan.Metadata where the
// request has none, and X-Request-Timeout, the milliseconds that are left of the
// context, with a [Deadline]. Handler lets the latter shorten the request's
// context, never lengthen it, and ignores malformed ones. Both headers of this
// package can only make a call give up earlier, so they may come from anybody;
// a gateway that does not want that removes them.
//
// Concurrency. A Policy may be used by any number of goroutines and has none of
// its own; there is nothing to close. Its parts are shared by all that use the
// value: a Policy that wraps a server and a client has one bulkhead for both.
// Hooks run in the goroutine of the call.
//
// Inside, the breaker's window, the bulkhead and the adaptive limiter are those
// of failsafe-go. A Policy with every part off adds nothing to a handler and no
// allocation to a transport.
package resilience
