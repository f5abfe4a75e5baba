// Package analytics says how the shop is doing: totals, and revenue by country,
// day and customer, and units by product. It reads the log of the orders and keeps
// its own read models; it can be rebuilt from the log at any time.
//
// Revenue, customers, products, countries and days count orders; returns count
// into refunds only. Guests are no customers. Days are those of the invoices, in
// UTC. All amounts are exact.
package analytics
