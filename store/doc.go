// Package store keeps events: append with an expectation, read a stream, read
// and follow the log.
//
// A [Store] is a concrete type over a small [Backend] (packages mem, sqlite and
// postgres). What it guarantees on each of them:
//
// Atomic. An append, of one stream or several, is stored whole or not at all.
//
// Optimistic concurrency. An append says where it expects each stream
// ([NoStream], [Exact], [Exists], [Any]); of two appends that expect the same
// revision one is stored and the other gets a [ConflictError].
//
// Idempotent for ever. Event ids are unique in a store without a time window.
// Sending the same events again, however much later and whatever happened in
// between, stores nothing and returns the first call's result with Duplicate
// set; an append of the first events of an earlier one is such a repetition too,
// and returns those. So an append has three outcomes: done, refused, and unknown
// (banyan.ErrUnknown) – and after unknown the caller sends it again.
//
// Ordered. Revisions of a stream are 1, 2, 3 … without gaps. The log has one
// order for all readers, which agrees with the order in each stream; a position
// that a reader has passed never gets an event later.
//
// Checked. Every record carries a CRC-32C. Readers verify it, and that revisions
// and positions go on as they must: damaged bytes are an error of kind
// banyan.ErrCorrupt, never an answer.
//
// Concurrency. All methods may be called from any number of goroutines. Appends
// that wait at the same time share a transaction (group commit); a conflict in
// one does not touch the others. A call whose context ends while its append is
// still queued leaves without a trace; later the outcome is unknown.
//
// Memory. Iterators hold two pages of a few MiB each, however long the log is,
// and release everything when the loop ends, also by break.
package store
