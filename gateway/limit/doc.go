// Package limit limits the rate of requests, per client, route or anything else,
// in one process or in several that share a store. A [Limiter] is a middleware,
// func(http.Handler) http.Handler.
//
//	memory, err := limit.NewMemory(nil) // one for all limiters of the program
//	…
//	rate, err := limit.ParseRate("100/s burst 200")
//	…
//	l, err := limit.New([]limit.Rule{{Name: "client", Rate: rate, Key: clientAddress}}, &limit.Options{Memory: memory})
//	…
//	http.Handle("/", l.Handler(app))
//
// Exact. Limits are kept by the generic cell rate algorithm (GCRA) in whole
// nanoseconds of a monotonic clock. In any window of time at most Burst + window ×
// Count ÷ Per units come through, and a client that takes all it gets has
// at least 99 % of that; see [Rate] for the rounding. A refused request takes
// nothing, and with several rules on one limiter a request takes from all or from
// none. Each of the following adds at most one burst: a bucket that is evicted
// because memory is full, a store that goes down or comes back (between which the
// shares of DownShare count), a rate that is changed, a restart.
//
// Answers. 429 with Retry-After, rounded up to a second; 403 for a request that
// costs more than a bucket holds, as no later one can pass either; 503 where a
// rule asks for it while the store is down. They are problem details (RFC 9457)
// and are not to be cached. Allowed ones and 429 have the headers RateLimit and
// RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-11. The burst, where
// it is not the count, is a parameter of its own, banyan-burst.
//
// Bounded. A [Memory] keeps as many buckets as it is told, in 44 bytes each, of
// all limiters together. Buckets that are full again are dropped first, which
// changes nothing; then the ones that would be full first.
//
// Cluster. A [Cluster] decides by a [Store], such as that of package postgres,
// with the store's clock. It is exact as above, however many processes there are,
// and asks the store once for all requests that wait at the same time. With
// Rule.Lease each process takes some units in advance: then the bound is higher
// by Lease × processes units in any window, and while there is room only one in
// Lease requests asks the store. Near the limit, where there is nothing to take
// in advance, it is as without. A request that fails to hear from the store may
// still have taken its units.
//
// Failure. A store that does not answer costs a request ClusterOptions.Timeout
// at most; after three failed calls in a row it is left alone for
// ClusterOptions.Pause, and then tried by one request. Meanwhile each rule does
// what its Down says. Decision.Err and ClusterOptions.StoreFailed tell.
//
// Keys. What identifies a client, after which proxies, and that spellings of one
// path are one route, is the caller's matter: a key is compared as it is. Only
// seeded hashes of keys are kept in memory, and SHA-256, cut to 16 bytes, in a
// store.
//
// Concurrency. Everything is safe for concurrent use, and a decision in memory
// takes about 0.1 µs for a busy bucket. A goroutine runs only while requests wait
// for a store; [Cluster.Close] waits for it.
package limit
