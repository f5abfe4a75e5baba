// Package banyantest tests domain code. Given some events, when a decision is
// made, then these events happen:
//
//	banyantest.Aggregate[Order](t, "order", Types).
//		Given(Placed{Lines: 2}).
//		When(Confirm("card")).
//		Then(Confirmed{Payment: "card"})
//
// Given some events, when more happen, or the read model is rebuilt, or repaired
// code is deployed and a parked key retried, then it has these documents:
//
//	banyantest.Projection(t, Types, Totals(mails.Run)).
//		Given("order-1", Placed{Country: "France", Amount: 10}).
//		When("order-2", Placed{Country: "France", Amount: 5}).
//		Then(banyantest.Documents(totals, map[string]Total{"France": {Orders: 2, Amount: 15}}), mails.Ran("1", "2")).
//		WhenRebuilt().
//		Then(banyantest.Document(totals, "France", Total{Orders: 2, Amount: 15}), mails.Ran("1", "2"))
//
// Nothing is mocked: every case runs on a store in memory of its own, so events
// are encoded, stored, read, upcast and decoded as in production, a state is what
// a load gives, and a projection is advanced by a runner. Given also takes a
// banyan.Event or banyan.Raw, to put an old version, or a type that the program
// does not know, into the stream.
//
// [Golden] keeps the stored form of events from changing unseen.
//
// The package uses the standard library only. Failures are reported with Errorf,
// so that one case tells all that is wrong; they show differences line by line.
// A case belongs to one goroutine; different cases may run in parallel.
package banyantest
