// Package view keeps read models: documents with declared indexes, written in
// batches that are atomic together with a reader's bookkeeping.
//
// A [Collection] is a named set of documents of one Go type. A projection
// (package projection) writes it; anybody reads it through a [DB]:
//
//	var Totals = view.NewCollection("totals", view.IndexOf("country", func(t Total) string { return t.Country }))
//
//	total, found, err := Totals.Get(ctx, db, "2010-12-01")
//	page, err := Totals.Scan(ctx, db, view.Query{Index: "country", Limit: 10})
//
// Atomicity. What a batch writes becomes visible at once or not at all. Batches
// of one name never overlap, in any process.
//
// Generations. The table behind a collection belongs to a generation of its
// projection; the collection's name is an alias that reads from the live one.
// Switching generations is one batch: readers see the old rows or the new ones.
//
// Order. Index values and keys are text in the order of their bytes, on every
// back end; [Int], [Time] and [Decimal] encode numbers and instants so that this
// is their own order. Rows with equal values are in ascending order of keys.
//
// Concurrency. DB and Collection may be used by any number of goroutines, a
// [Writer] by one.
//
// Failure. A batch either happened or did not; only an error of kind
// banyan.ErrUnknown leaves it open, and the next batch of that name sees which.
package view
