// Package bench measures the store beside the bare driver.
//
// Absolute figures of a shared machine say little, so every case runs two
// programs in turn, in the same process, on the same database, with the same
// rows, columns and indexes: Banyan's store, and the shortest program that a
// user could write with the driver alone. A case has several rounds; the result
// has the medians and their ratio.
//
//	results, err := bench.Store(ctx, "postgres://…", &bench.Options{Rounds: 5})
//
// Concurrency and failure: a run owns the database while it lasts, makes tables
// of its own for the baseline, and removes them. It is a command, never a test:
// "banyan bench store".
package bench
