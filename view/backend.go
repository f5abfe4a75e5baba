package view

import (
	"context"
)

// Backend is what a technology implements; users hold a *DB. docs/backend.md is
// the guide, viewtest.Run the acceptance test.
//
// All methods may be called concurrently. Errors are returned raw (DB wraps them
// once), with a kind where the back end knows it. Names of tables and aliases
// arrive checked: 1 to 48 of a-z, 0-9 and _, starting with a letter. Keys and
// index values are any text without NUL, compared byte by byte.
type Backend interface {
	// Batch runs fn in one transaction: all that fn wrote is kept when it returns
	// nil, nothing when it returns an error, panics, or ctx ends. Batches of the
	// same name never overlap, in any process; a batch sees everything that
	// earlier batches of its name wrote. fn must not use the Tx afterwards. The
	// error of fn is returned unchanged. An error of the commit itself has kind
	// banyan.ErrUnknown unless the back end knows better.
	Batch(ctx context.Context, name string, fn func(Tx) error) error

	// Get returns the document of a key in a table or alias, nil when it has
	// none. A table that does not exist is an error of kind banyan.ErrNotFound.
	Get(ctx context.Context, table, key string) ([]byte, error)

	// Scan returns the rows of a table or alias that the query selects.
	Scan(ctx context.Context, table string, q Query) ([]Row, error)

	// Promises says what the back end keeps.
	Promises() Promises

	// Close releases what belongs to this role.
	Close() error
}

// Tx is a Batch under way. It is for one goroutine. A back end offers a typed
// way to the technology's own transaction (sqlite.TxOf, postgres.TxOf), so that
// a projection can write the user's own tables in the same batch.
type Tx interface {
	// Get and Scan are those of Backend and see what this batch wrote.
	Get(ctx context.Context, table, key string) ([]byte, error)
	Scan(ctx context.Context, table string, q Query) ([]Row, error)

	// Write stores rows in the place of those with the same keys. A row without
	// Doc is deleted. No two rows have the same key. Index has a value for each
	// index of the table, in the order of its declaration.
	Write(ctx context.Context, table string, rows []Row) error

	// Create makes a table with its indexes. It does nothing when the table
	// exists with the same indexes, and fails with banyan.ErrExists when it has
	// others.
	Create(ctx context.Context, t Table) error

	// Drop removes a table; it does nothing when there is none. An alias that
	// reads from it is then like a table that does not exist.
	Drop(ctx context.Context, table string) error

	// Alias makes a stable name read from a table, in place of what it read from
	// before. Readers see the old table or the new one, never neither. Where the
	// technology has SQL, the alias is a view that people can query too.
	Alias(ctx context.Context, alias, table string) error
}

// Promises is what a back end keeps, as data.
type Promises struct {
	// Backend is the name of the technology.
	Backend string
	// Durable: a batch that returned nil survives kill -9 and power loss.
	Durable bool
	// Shared: several processes may use the same database at once.
	Shared bool
}

// Table declares a table of documents.
type Table struct {
	Name string
	// Indexes are the names of its indexes; same alphabet as table names.
	Indexes []string
}

// Row is a document with its key.
type Row struct {
	Key string
	// Doc is a JSON document. nil means: delete.
	Doc []byte
	// Index holds the values of the declared indexes when writing. A Scan by an
	// index gives the value of that index alone, by key nothing.
	Index []string
}

// Query selects rows in the order of one index, or of the keys. Rows with equal
// index values are in ascending order of their keys, also when Desc.
type Query struct {
	// Index is the name of a declared index. Empty: by key.
	Index string
	// From and To bound the index value (or key): From <= value < To. Empty: no
	// bound.
	From, To string
	// Desc reads from the highest value down.
	Desc bool
	// Limit is how many rows at most, > 0.
	Limit int
	// After continues behind the last row of the page before; nil: from the start.
	After *Cursor
}

// Cursor is the place of a row in a Scan.
type Cursor struct {
	Value string // of the index; empty when by key
	Key   string
}
