// Package banyantest tests domain code: given some events, when a decision is
// made, then these events happen.
//
//	banyantest.Aggregate[Order](t, "order", Types).
//		Given(Placed{Lines: 2}).
//		When(Confirm("card")).
//		Then(Confirmed{Payment: "card"})
//
// Nothing is mocked: every case runs on a store in memory of its own, so events
// are encoded, stored, read, upcast and decoded as in production, and a state is
// what a load gives. Given also takes a banyan.Event or banyan.Raw, to put an old
// version, or a type that the program does not know, into the stream.
//
// [Golden] keeps the stored form of events from changing unseen.
//
// The package uses the standard library only. Failures are reported with Errorf,
// so that one case tells all that is wrong; they show differences line by line.
// A case belongs to one goroutine; different cases may run in parallel.
package banyantest
