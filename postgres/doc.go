// Package postgres keeps events and read models in PostgreSQL 14 or newer: one
// [DB] with both roles, so that one transaction can span them.
//
//	db, err := postgres.Open(ctx, "postgres://shop@db.internal/shop", nil)
//	if err != nil { … }
//	defer db.Close()
//	events, err := db.Store(nil)
//
// Durable. An append is answered after its commit, and Open refuses a server
// where commits do not wait for the disk (synchronous_commit off), unless
// Options.Unsafe asks for it.
//
// Shared. Any number of processes may use one database. Appends of one process
// that wait at the same time share a statement.
//
// Ordered. Positions are 1, 2, 3 … without holes, never change, and no event
// appears below a position that a reader has passed, whatever transactions are
// open: see docs/adr/0003-postgres-order.md. They are given when somebody reads
// the log, so that an append's answer has none yet. There is no background
// process and nothing to operate.
//
// The user's own transactions. [DB.InTx] and [DB.AppendTx] append together with
// the user's own rows. An open transaction holds the end of the streams that it
// appended to: appends to these wait for it, everything else goes on.
//
// Failure. An error that says nothing was written is of kind
// banyan.ErrUnavailable. A connection that breaks during an append leaves its
// outcome unknown (banyan.ErrUnknown); send the same events again.
//
// Everything is in the schema "banyan" (Options.Schema) and, for read models,
// "banyan_views"; a role needs the right to create them at the first start. The
// view events_view shows the log to people. Behind a pooler that hands out
// connections per transaction, put default_query_exec_mode=exec into the
// connection string.
//
// A DB is safe for concurrent use.
package postgres
