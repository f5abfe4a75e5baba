// Package mem keeps events and read models in the memory of the process: for
// tests, for examples, and as the specification of what a back end does. It is
// as short as it can be, so that its correctness can be seen by reading it; the
// other back ends are compared with it on random sequences of calls.
//
// Guarantees are those of package store, except that nothing survives the
// process. Order: positions are 1, 2, 3 … in the order in which appends arrive.
// Concurrency: all methods may be called from any number of goroutines; one lock
// makes every append one step for all readers. Failure: a call fails only when
// its request is wrong, its context has ended, or the DB is closed; never with
// an unknown outcome.
//
//	db := mem.Open()
//	defer db.Close()
//	st, err := db.Store(nil)
package mem
