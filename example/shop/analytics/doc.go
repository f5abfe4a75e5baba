// Package analytics says how the shop is doing: totals, and revenue by country,
// day and customer, and units by product. It reads the log of the orders and keeps
// its own read models; it can be rebuilt from the log at any time.
//
// Revenue, customers, products, countries and days count orders; returns count
// into refunds only. Guests are no customers. Days are those of the invoices, in
// UTC. All amounts are exact.
//
// An order that waits for its validation counts nowhere. It counts like any other
// once it is accepted, and with all its lines among the rejected if it is not: so
// nothing is ever taken back, and no total has been too high.
package analytics
