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
// The user's own transactions. Events are stored together with the user's own
// rows, both or neither, by [DB.InTx] and [DB.AppendTx] with pgx, and by
// [DB.AppendSQL] with database/sql and any driver; [TxOf] is the way from a
// projection's batch. In them everything holds that holds for a store: expected
// revisions, several streams at once, ids that make a repetition harmless. The
// order holds at every isolation level, and an append that is refused leaves the
// transaction usable. Several appends in one transaction see one another.
//
// Concurrency. A DB is safe for concurrent use. A transaction that has appended
// holds the end of these streams until it ends: appends to them wait for it, as
// long as their contexts allow, and everything else goes on. So keep it short,
// and in it append to these streams by AppendTx or AppendSQL only: Store.Append
// would wait for the transaction, which waits for it. Transactions that append to the same streams in
// different orders may meet a deadlock; PostgreSQL ends one of them, which gets
// an error of kind banyan.ErrConflict and is to be run again.
//
// Failure. An error that says nothing was written is of kind
// banyan.ErrUnavailable. A connection that breaks during an append, or during
// the commit of InTx, leaves the outcome unknown (banyan.ErrUnknown); send the
// same events with the same ids again. An append in a transaction has no unknown
// outcome, as nothing is written before the commit, but the commit of a
// transaction that the user began has one.
//
// Everything is in the schema "banyan" (Options.Schema) and, for read models,
// "banyan_views"; a role needs the right to create them at the first start. The
// view events_view shows the log to people. Behind a pooler that hands out
// connections per transaction, put default_query_exec_mode=exec into the
// connection string.
package postgres
