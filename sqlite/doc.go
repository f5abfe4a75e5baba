// Package sqlite keeps events and read models in one SQLite file. It is pure Go
// and needs no cgo.
//
// A [DB] is a file with all its roles: Store is an event store, Views keeps read
// models, and InTx runs the user's own SQL; all of them can share a transaction.
//
//	db, err := sqlite.Open(ctx, "shop/orders.db", nil)
//	…
//	defer db.Close()
//	orders, err := db.Store(nil)
//
// Tables of this package start with "banyan_". Everything else in the file
// belongs to the user, who may open it with other programs of SQLite 3.51.3 or
// later: older ones have a bug that can damage a file in WAL mode.
//
// Durability. The file is in WAL mode with synchronous=FULL: what was
// acknowledged survives kill -9 and power loss. [Options.UnsafeNoSync] gives
// that up, and the promises of the roles then say so.
//
// Order. Positions are 1, 2, 3 … without gaps. They are given inside the
// transaction of the append, which SQLite runs one at a time, and are in its
// answer.
//
// The user's own transactions. [DB.InTx] and [DB.AppendTx] store events together
// with the user's own rows, both or neither; [TxOf] is the way from a
// projection's batch. An append that is refused leaves the transaction as it was.
//
// Concurrency. All methods may be called from any number of goroutines, and
// several processes may open one file. There is one writer at a time, in the
// process and across processes; readers never wait for it and it never waits
// for them. A batch of a view and a transaction of InTx hold the writer for as
// long as they run: appending to a store of the same DB inside them, other than
// by AppendTx, waits for ever.
//
// Failure. Locked by another process for longer than [Options.Busy], or no
// space left: banyan.ErrUnavailable, nothing was written, and the next call may
// succeed. An I/O error while committing leaves the outcome unknown
// (banyan.ErrUnknown): the write may or may not be in the file. From then on
// writes are refused with banyan.ErrUnavailable until the DB has reopened its
// write connection and brought everything visible to the disk again; the next
// write tries that by itself. Sending the same event ids again is right in every
// case.
package sqlite
