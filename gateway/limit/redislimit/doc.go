// Package redislimit keeps the buckets of rate limits that several processes
// share in Redis (from 6.0) or Valkey: a limit.Store.
//
//	store, err := redislimit.Open(ctx, "rediss://gateway:secret@redis.internal:6379/0", nil)
//	…
//	cluster, err := limit.NewCluster(store, &limit.ClusterOptions{Processes: 4})
//	…
//	l, err := limit.New(rules, &limit.Options{Cluster: cluster})
//
// Exact. A call of [Store.Take] is one Lua script and one round trip, however many
// requests it decides. A server runs scripts one at a time, so that nobody else's
// charges come between the check and the change of a bucket, and the requests of
// a batch are decided in their order, each with all its charges or none. Amounts
// are whole nanoseconds, up to [MostCapacity]; the server's clock (TIME), which all
// processes share, has microseconds.
//
// Stored. A bucket is a key {prefix}:16 bytes whose value says when it is full. It
// expires a second after that, as a bucket that is missing is full; nothing needs
// sweeping, and one that was never charged takes no memory.
//
// Cluster. All keys of a call have to be in one slot of a Redis Cluster, and a
// batch has the keys of many clients. So the prefix is the hash tag and all
// buckets of a prefix are on one node. A node decides some tens of thousands of requests
// a second; to use several, give the limiters of different routes stores with
// different prefixes.
//
// Sentinel is not spoken: name an address that leads to the primary.
//
// Clock. When the server's clock is set back, each bucket is empty at worst, and
// fills from then on. When it is set forward, each gets at most one burst too
// much.
//
// Failover. Redis acknowledges a write before its replicas have it. A promoted
// replica lacks the last charges, so each bucket gets at most these back, which is
// at most one burst. Its clock is another one: see above. A primary that was cut
// off, until it learns that it is replaced, decides for the gateways that are cut
// off with it: with each of the two sides the limit holds. min-replicas-to-write
// 1 and min-replicas-max-lag end that after the lag.
//
// Restart and memory. Buckets that were not saved are full after a restart. With
// maxmemory-policy noeviction a server without memory answers with an error, and
// rules go by their Down. All other policies drop buckets, as these expire: each
// one that is dropped is full, one burst too much.
//
// Failure. When a connection breaks before the answer the call is sent again, so
// that its charges may count twice, never less than once. Errors are of kind
// banyan.ErrUnavailable, banyan.ErrDenied (wrong user, password or permissions),
// banyan.ErrInvalid or banyan.ErrClosed, or the context's. No error has any part
// of the URL but the address of the server. The user needs the commands EVALSHA,
// EVAL, TIME, GET and SET for keys {prefix}:*; for a database other than 0 SELECT
// too, in a cluster CLUSTER and COMMAND.
//
// Concurrency. A [Store] is safe for concurrent use. go-redis, the client inside,
// writes a line to standard error when something is wrong with a connection.
package redislimit
