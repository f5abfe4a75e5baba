// Package cache is a shared HTTP cache by RFC 9111 for handlers: one store of
// bounded size that many routes use, each by its own [Rules].
//
//	c, err := cache.New(&cache.Options{Bytes: 256 << 20})
//	…
//	shop, err := c.Handler(&cache.Rules{StaleIfError: time.Hour}, proxy)
//	…
//	n, err := c.Purge(cache.Purge{Tags: []string{"order:17"}})
//
// What it guarantees:
//
// Right. What is served without asking is what RFC 9111 allows a shared cache:
// by lifetime, age, Vary and the method; successful unsafe methods invalidate.
// Where the RFC leaves a choice the stricter one is taken, see [Rules] and
// [Options]. Two differences are deliberate: a targeted field (RFC 9213) is
// obeyed, and stale-while-revalidate and stale-if-error (RFC 5861) work beside
// s-maxage, though not beside must-revalidate.
//
// Private. A request with Authorization never gets an answer to one without, nor
// the other way round; among themselves they share only what allows it (RFC 9111
// §3.5). Requests with Cookie pass through, except as Rules.Cookies says. With
// Rules.Principal each class of people has answers of its own. Answers with
// Set-Cookie or private are not stored, nor are 401, 403, 407, 429, 5xx and 206;
// 404, 405, 410, 414, 451, 204, 300 and other redirects only with a lifetime of
// their own. Requests that wait for one call share its answer by the same rules.
//
// Not poisoned. What is not part of the key is not sent on: parameters and
// cookies that the rules leave out, and headers with the client's address, are
// removed. Headers that some frameworks take for parts of the URI
// (X-Forwarded-Host, X-Original-URL …) are part of the key. Requests with a body,
// a method override, or a Connection that names other headers pass through, as
// do ranges, preconditions and upgrades.
//
// One call per key. Requests that miss at the same time wait for one call of the
// next handler and get its body as it arrives, at their own pace and within
// their own deadlines; the call ends only when the last of them has gone. If the
// answer cannot be stored each makes its own call, and so do, for a time, those
// that come later.
//
// Purged means gone. When [Cache.Purge] has returned no request gets what was
// stored before, nor what the next handler was asked for before; the same holds
// for the client of an unsafe request when it has its answer.
//
// Bounded. Options.Bytes bounds what is stored, headers, keys, tags and index
// counted as the allocator rounds them: about 880 bytes for a tiny JSON answer
// with six headers, a tag and a Vary. Options.FillBytes bounds what is arriving.
// What goes is chosen by SIEVE (Zhang et al., NSDI 2024): on
// Zipf traces with and without one-time requests its hit ratio was within 1.1
// points of S3-FIFO and 3 to 11 points above LRU.
//
// Concurrency. Everything may be called from any number of goroutines. No lock
// is held while a client is written to or the next handler runs. Goroutines end
// with their call of the next handler, and [Cache.Close] waits for them.
//
// Failure. Where the body breaks off after its header was sent the handler
// panics with http.ErrAbortHandler, as net/http wants it, and nothing is stored.
// A panic of the next handler before its header is passed on to the request that
// called it; those that waited call it themselves.
package cache
