// Package orders takes orders and returns: the only service of the shop that
// writes events. Everything else reads its log.
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
//	order.placed, invoice.rejected    stream order-NUMBER
//	return.accepted, invoice.rejected stream return-NUMBER
//	invoice.rejected                  stream rejection-NUMBER, of neither kind
//
// Their time is the date of the invoice. Amounts are exact decimals in text. An
// invoice is one event; only when its lines are more than an event can hold, they
// go on in further events of the same type, in the same append.
//
// # The same invoice twice
//
// The number is the idempotency key, for ever: the same content again is answered
// like the first time and has no second effect; other content under a known
// number is refused. The content is what the invoice says; the file and row that
// it was read from are not part of it.
package orders
