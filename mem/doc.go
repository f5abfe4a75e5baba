// Package mem keeps events and read models in the memory of the process: for
// tests, for examples, and as the specification of what a back end does. It is
// as short as it can be, so that its correctness can be seen by reading it; the
// other back ends are compared with it on random sequences of calls.
//
//	db := mem.Open()
//	defer db.Close()
//	orders, err := db.Store(nil)
//
// Guarantees are those of package store, except that nothing survives the
// process and no other process takes part. There is no transaction of the user's
// to append in.
//
// Order. Positions are 1, 2, 3 … in the order in which appends arrive, and are
// in their answers.
//
// Concurrency. All methods may be called from any number of goroutines. One lock
// makes every append one step for all readers. Batches of views take turns;
// readers see all of a batch or nothing.
//
// Failure. A call fails only when its request is wrong, its context has ended,
// or the DB is closed; never with an unknown outcome.
package mem
