// Package projection folds the log into read models: a [Definition] says what an
// event does to the rows, a [Runner] applies the log to it, remembers how far it
// is, and goes on there after any stop.
//
//	var Totals = view.NewCollection[Total]("totals")
//
//	func Projection() *projection.Definition {
//		d := projection.Define("totals", order.Types, &projection.Options{Collections: []projection.Collection{Totals}})
//		projection.On(d, func(ctx context.Context, b *projection.Batch, p order.Placed, e banyan.Event) error {
//			return Totals.Update(ctx, b.Writer(), p.Country, func(t *Total) error { t.Orders++; return nil })
//		})
//		return d
//	}
//
// Exactly once, for rows. Rows and checkpoint are written in one batch of the
// view database: the rows are always the fold of exactly the events up to the
// checkpoint, whenever the process is killed. Side effects outside of that
// database go through [Batch.Effect] and happen at least once.
//
// Order. Events are applied in the order of the log, one at a time. An event that
// keeps failing parks its key: this and later events of the key wait, other keys
// go on, and [Runner.Retry] applies the waiting ones in order.
//
// Generations. [Runner.Rebuild], or a raised Options.Version, builds new tables
// from the start of the log beside the live ones, and switches readers over in
// one batch when they have caught up. The generation before is kept, and kept up
// to date, until [Runner.Drop]; [Runner.Switch] goes back to it. No generation is
// ever ahead of the live one, which alone runs effects: so none is skipped by a
// switch, and a switch that would lose those of a parked event waits for a person.
//
// Concurrency. Any number of runners of one projection, in any number of
// processes, compete for a lease; one of them works. The lease uses no wall
// clock: a contender takes over after it has seen no sign of life for a time on
// its own clock. Every batch checks the lease's token inside the batch, so a
// runner that was paused and comes back writes nothing. All methods may be
// called from any goroutine and, except for advancing, in any process.
//
// Operators. A [Remote] needs the database and a name, not the definition: it
// reads how a projection is, and asks the runner that leads to rebuild, switch,
// drop or retry. `banyan projection` is made of it.
//
// Failure. While a database does not answer, or Setup and its like fail without a
// kind, the runner tries again for ever, more and more slowly, and Status says
// why. Run returns an error only for what trying again cannot mend: a closed
// store, damaged bytes, tables that do not fit the code, an error of Setup,
// Activate or Teardown with a kind that is not [banyan.Retryable].
package projection
