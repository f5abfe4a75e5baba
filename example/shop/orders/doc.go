// Package orders takes orders and returns. What other services of the shop know of
// them, they read from its log.
//
// # The rules
//
// An invoice is posted with all its raw lines; the service judges them ([Judge]).
// A number that starts with a digit is an order's, one that starts with "C" a
// return's. A line of an order is valid when its quantity is above 0, its unit
// price is above 0, and it has a stock code; a line of a return needs a quantity
// below 0 instead. Invalid lines are refused one by one, each with its reason. An
// invoice without a valid line, without a readable date, or with a number of
// neither kind is rejected whole. Nothing is dropped: what was refused is in the
// same event as what was accepted, and in the read model behind GET /rejects.
//
// # Events
//
//	order.placed, invoice.rejected,
//	order.validation_pending, order.rejected
//	                                 stream order-NUMBER
//	return.accepted, invoice.rejected stream return-NUMBER
//	invoice.rejected                  stream rejection-NUMBER, of neither kind
//
// Their time is the date of the invoice. Amounts are exact decimals in text. An
// invoice is one event; only when its lines are more than an event can hold, they
// go on in further events of the same type, in the same append.
//
// # Who has to agree
//
// Before a valid order is placed, users is asked whether its customer may order,
// and payments to authorise its total ([Services]). A clear no makes it
// order.rejected, and all its lines are among the rejects; the answer is 422 where
// users says no and 402 where payments does.
//
// Where one of them cannot be asked - its breaker is open, it does not answer in
// time, or with a 5xx or 429 - the order is taken all the same (degraded mode): it
// is order.validation_pending, and the answer is 201 with the status
// PENDING_VALIDATION. A [Validator] asks again until it has an answer; then
// order.placed or order.rejected follows in the stream, with all lines. Exactly one
// of them does, whatever is killed and however many validators there are.
//
// So order.placed always means that everybody has agreed: its readers need not know
// of any of this, and a pending order counts nowhere. An answer that is neither yes
// nor no, such as 404, is an error, and nothing is stored. A payment that was
// authorised for an order that then is not stored lapses.
//
// # The same invoice twice
//
// The number is the idempotency key, for ever: the same content again is answered
// like the first time, also if that was PENDING_VALIDATION, and has no second
// effect (GET /orders/NUMBER tells how it is now); other content under a known
// number is refused. The content is what the invoice says; the file and row that
// it was read from are not part of it.
package orders
