package store

import (
	"context"

	"github.com/banyanhq/banyan"
)

// Backend is what a technology implements; users hold a *Store. It has
// primitives only: Store checks arguments, encodes, seals and verifies records,
// groups appends, wraps errors, pages and waits. docs/backend.md is the guide,
// storetest.Run the acceptance test.
//
// All methods may be called concurrently. A Backend must not keep or change a
// slice it was given after it returned, and must hand out records whose byte
// slices it does not touch again. Names of streams and ids are compared byte for
// byte: case, blanks and Unicode forms matter. Errors are returned raw (Store wraps them
// once), but wrap a kind where the back end knows it: banyan.ErrUnavailable
// promises that nothing was written; an error of Append without a kind means
// that the outcome is unknown.
type Backend interface {
	// Append writes a group of commits, each atomic in itself, together in one
	// transaction, and answers each: outcomes[i] belongs to commits[i]. A commit
	// that is refused does not touch its neighbours. Decide has the rules and is
	// to be used: load the heads of the streams, Decide, insert. When Append
	// returns an error, no outcome counts. Store never puts two commits with a
	// common event id into one group.
	Append(ctx context.Context, commits []Commit) ([]Outcome, error)

	// ReadStream returns at most r.Limit records of a stream in the order of
	// their revisions: from r.From upwards, or downwards when r.Backward. A
	// stream without events gives no records and no error.
	ReadStream(ctx context.Context, stream string, r Range) ([]Record, error)

	// ReadAll returns records after a position in the order of positions, at
	// most limit of them, and those only that match the filter. next is the
	// position to go on from: it moves past records that do not match, and
	// equals after when there is nothing after it yet, also when after is beyond
	// the end. A record is returned only when
	// no record with a lower position can appear any more.
	ReadAll(ctx context.Context, after banyan.Position, f Filter, limit int) (records []Record, next banyan.Position, err error)

	// Lookup returns the records with these event ids, each once, in any order,
	// without those that do not exist. A Position of 0 means that it has none yet (see
	// Promises.PositionOnAppend); looking again later gives it.
	Lookup(ctx context.Context, ids []string) ([]Record, error)

	// Head returns the highest position that ReadAll can return now; 0 when the
	// log is empty.
	Head(ctx context.Context) (banyan.Position, error)

	// Promises says what the back end keeps. It does not change after opening.
	Promises() Promises

	// Close releases everything. Store calls it once, after the last call of
	// another method has returned.
	Close() error
}

// Snapshotter is an optional ability of a Backend: to keep the latest snapshot
// of each stream. Snapshots are a cache: losing them loses nothing.
type Snapshotter interface {
	// PutSnapshot replaces the snapshot of the stream, unless the one it has is
	// of the same or a higher revision and of the same state schema.
	PutSnapshot(ctx context.Context, s SnapshotRecord) error
	// GetSnapshot returns the snapshot of the stream, or an error of kind
	// banyan.ErrNotFound.
	GetSnapshot(ctx context.Context, stream string) (SnapshotRecord, error)
}

// Notifier is an optional ability of a Backend: to say that something was
// appended by another process. Without it Store polls Head.
type Notifier interface {
	// WaitBeyond returns nil once Head may be beyond after, and ctx's error when
	// that ends first. Returning early is allowed, missing an event is not.
	WaitBeyond(ctx context.Context, after banyan.Position) error
}

// Checker is an optional ability of a Backend: to check what only it can see
// (pages, indexes, unsequenced appends). Verify calls it.
type Checker interface {
	// Check returns one text for each fault it finds, and an error only when it
	// could not look.
	Check(ctx context.Context) (faults []string, err error)
}

// Promises is what a back end keeps, as data: the conformance suite tests
// exactly this, engines refuse a store that does not promise what they need,
// and docs/guarantees.md shows it.
type Promises struct {
	// Backend is the name of the technology: "mem", "sqlite", "postgres".
	Backend string
	// Durable: an acknowledged append survives kill -9 and power loss.
	Durable bool
	// Shared: several processes may use the same store at once.
	Shared bool
	// GapFree: positions are 1, 2, 3 … without holes.
	GapFree bool
	// PositionOnAppend: the answer to an append has the positions. Otherwise
	// they are 0 there and are given when the log is next read.
	PositionOnAppend bool
	// Snapshots: the back end is a Snapshotter.
	Snapshots bool
	// Writers is how many Append calls at once make it faster; at least 1.
	Writers int
}

// Range is a part of a stream.
type Range struct {
	From     banyan.Revision // first revision to return; 0 means the first, or the last when Backward
	Limit    int             // at most so many records, > 0
	Backward bool
}

// Filter selects events of the log. The zero value selects all. An event
// matches when its type is one of Types (or Types is empty) and its stream
// starts with one of Prefixes (or Prefixes is empty).
type Filter struct {
	Types    []string
	Prefixes []string
}

// Matches reports whether an event of this type in this stream is selected.
func (f Filter) Matches(eventType, stream string) bool {
	return f.hasType(eventType) && f.hasPrefix(stream)
}

// IsZero reports whether f selects everything.
func (f Filter) IsZero() bool { return len(f.Types) == 0 && len(f.Prefixes) == 0 }

func (f Filter) hasType(eventType string) bool {
	for _, t := range f.Types {
		if t == eventType {
			return true
		}
	}
	return len(f.Types) == 0
}

func (f Filter) hasPrefix(stream string) bool {
	for _, p := range f.Prefixes {
		if len(stream) >= len(p) && stream[:len(p)] == p {
			return true
		}
	}
	return len(f.Prefixes) == 0
}

// Commit is one atomic append as a back end sees it: sealed records for one
// stream or several.
type Commit struct {
	Sections []Section
}

// Section is the part of a commit that goes into one stream. No two sections of
// a commit have the same stream; Records is never empty.
type Section struct {
	Stream  string
	Expect  Expect
	Records []Record // Revision and Position are still 0
}

// Outcome answers one commit: either Err (refused, and why) or the records as
// they are stored, in the order of the sections.
type Outcome struct {
	Records   []Record
	Duplicate bool // it was stored by an earlier call; Records are from then
	Err       error
	// Busy: nothing was written, because the commit would have to wait for a
	// transaction of somebody else that holds the end of its stream. Only an
	// answer to a commit that is not alone in its group: Store then sends it
	// again by itself, and Append waits as long as its context allows. So one
	// forgotten transaction stops one stream and not the whole store.
	Busy bool
}
