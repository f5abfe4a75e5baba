// Package monolith is the shop before Banyan: one synchronous application on one
// SQL database that, to take an order, asks payment, stock, shipping, loyalty and
// mail, one after the other. It has the same HTTP interface and the same rules for
// orders and returns as package orders, so that the two can be compared, and the
// one put in the place of the other.
//
// What a client waits for is the sum of the five; when one of them is down, no
// order is taken. Orders are recorded after the calls, in one transaction: a
// request that is repeated while the first is under way calls them again.
package monolith
