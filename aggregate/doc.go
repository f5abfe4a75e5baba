// Package aggregate makes decisions on streams: load the state, decide, append.
//
// Domain code is plain Go and pure. A state is a value with an Apply method that
// folds one event into it; a decision is a function from the state to the events
// that shall happen, or to an error of the domain. [Aggregate.Do] runs it:
//
//	type Order struct{ Lines int; Placed bool }
//
//	func (o Order) Apply(event any) Order {
//		switch e := event.(type) {
//		case Placed:
//			o.Placed, o.Lines = true, e.Lines
//		}
//		return o
//	}
//
//	orders, err := aggregate.New[Order](st, "order", types, nil)
//	answer, err := orders.Do(ctx, "536365", aggregate.Command{ID: requestID}, place(lines))
//
// Guarantees.
//
// Consistency. The events of a decision are stored, all or none, only if the
// stream is still where the decision saw it. Otherwise what is new is loaded and
// the decision is made again, up to Options.Retries times, each after a random
// pause; so a decision may run several times and must have no side effects. No
// decision is lost and none is made on an old state. An error of the decision
// ends the call at once and is found by errors.Is and errors.As.
//
// Once. A command with an id has one effect on a stream, however often, however
// late and however concurrently it is sent: the repetition stores nothing and
// gets the answer of the first, with the state as it was then, even if the
// stream has moved on or was closed since. This rests on event ids that follow
// from stream and command id, so it holds for ever and across processes. The
// same id on two streams is two commands. Two kinds of answer leave nothing
// behind, so that a repetition is decided anew: refusals and decisions of no
// events.
//
// Outcome. When the store cannot say whether an append happened, Do sends it
// again with the same event ids. An error of kind banyan.ErrUnknown is what is
// left when that does not help; send a command with an id again.
//
// Newer events. An event of an unknown type, or of a newer schema than the
// code's, reaches Apply as a banyan.Raw. Do then refuses with
// banyan.ErrUnavailable, because a decision on a state that is not understood is
// not safe; see Options.IgnoreUnknown. Load only shows.
//
// Snapshots are a cache. One that is damaged, of another state schema, or made
// with other event types or schemas is ignored and the events are read instead;
// a failure to keep one never fails a command.
//
// Concurrency. An Aggregate may be used by any number of goroutines and starts
// none. Memory: a stream is folded page by page, however long it is.
package aggregate
