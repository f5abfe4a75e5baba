// The peers command puts Banyan's store on PostgreSQL beside two other Go event
// stores, github.com/modernice/goes and github.com/hallgren/eventsourcing:
//
//	go run . -rounds 5 -round 2s -events 100000
//
// It starts a private PostgreSQL server, or takes one with -url postgres://…
// (a role that may create databases; without the parameters of one driver only,
// such as pool_max_conns). Each system has an empty database of its own for each
// case, which is dropped at the end. All run in one process, in turn, and each
// round begins with another system; what counts is the median of the rounds and
// the ratio of the medians. This is a module of its own so that nobody who uses
// Banyan downloads its peers.
//
// # Cases
//
// append-1: 16 clients, one event an append with optimistic concurrency, 4
// appends to a stream, then a new stream. Before the clock starts each system
// has to refuse a second event of the same version.
//
// read-all: one client reads all events in the order that the system offers, as
// often as the round allows. The log was filled 10 events an append, then
// vacuumed and analysed. Banyan reads appends of one event more slowly than
// appends of ten; to its peers the size of an append makes no difference.
//
// # How each system is used
//
// All write the same rows and are used as event stores: bytes in, bytes out,
// nobody encodes or decodes JSON in Go. Commits wait for the disk.
//
// Banyan: postgres.Open and DB.Store with default options, store.Exact. It gives
// positions in the log when somebody asks for them; the clock of append-1 stops
// only after Banyan has done so.
//
// goes: backend/postgres with its table and indexes on a pgx pool of 16
// connections. The payload has Marshal and Unmarshal methods, which is the
// documented way past the default encoding. Reading sorts by time, as its
// projections are told to.
//
// hallgren: the module eventstore/sql, which is released apart from the main
// module (v0.7.0 goes with eventsourcing v0.9.1: both need core v0.5.2), with
// NewPostgres, on database/sql and github.com/lib/pq as its documentation has
// it. The pool may open 16 connections and keep them; with database/sql's default
// of 2 idle ones it would reconnect all the time. Reading is All(0).
//
// # What is not comparable
//
// goes has no global order: its log is sorted by the clocks of the writers, and a
// reader that goes on from a time can miss events. It stores no metadata. Its data
// column is JSONB: the server parses each payload and does not return the bytes
// that were written. The unique index refuses a version that is taken but not one
// that leaves a gap.
//
// hallgren's global order is a sequence that is drawn before the commit, so that
// a reader that goes on from a number can miss an event of a slower transaction. It
// stores no event id, and times to the second. Its log is one query, without
// pages.
//
// Banyan does more for each event: it stores the source and a second time, makes
// ids unique so that a repeated append stores nothing, gives positions without
// holes that agree with what readers have seen, keeps a checksum and verifies it
// on reading. It also does something that helps it here: appends of one process
// that wait at the same time share a transaction. Processes with one client each
// would not gain from that. When other programs wanted the processors, Banyan lost more
// of its rate of appends than its peers did: measure on an idle machine, and look
// at the rounds, not only at the medians.
//
// # Gateways
//
// The peers of the gateway are programs, which "banyan bench gateway --peers"
// starts. The folder gateways has build.sh, which builds them, and a module with
// the one that has to be written first.
package main
