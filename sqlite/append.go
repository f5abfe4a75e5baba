package sqlite

import (
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// appendOnce decides about a group of commits and inserts what is accepted, in a
// transaction that the caller began with the write lock. A unique violation
// means that an event id is taken which is not in known.
//
// The position is given here, inside the transaction: SQLite runs one writing
// transaction at a time, so the next number is simply the highest and one, no
// transaction that got an earlier number can commit later, and one that fails
// leaves no hole.
func appendOnce(r runner, commits []store.Commit, known map[string]store.Record) ([]store.Outcome, error) {
	ends, err := heads(r, store.Streams(commits))
	if err != nil {
		return nil, err
	}
	d := store.Decide(commits, ends, known)
	if len(d.Unclear) > 0 {
		if known, err = lookup(r, d.Unclear); err != nil {
			return nil, err
		}
		d = store.Decide(commits, ends, known)
	}
	if len(d.Insert) == 0 {
		return d.Outcomes, nil
	}
	last, err := one(r, maxPosition)
	if err != nil {
		return nil, err
	}
	for i := range d.Insert {
		last++
		d.Insert[i].Position = banyan.Position(last)
	}
	return d.Outcomes, insert(r, d.Insert)
}

const streamHead = `SELECT revision, type FROM banyan_events WHERE stream = ? ORDER BY revision DESC LIMIT 1`

// heads returns the ends of streams.
func heads(r runner, streams []string) (map[string]store.Head, error) {
	ends := make(map[string]store.Head, len(streams))
	for _, stream := range streams {
		err := r.query(streamHead, []any{stream}, func(v []driver.Value) error {
			revision, ok := v[0].(int64)
			if !ok {
				return fmt.Errorf("%w: stream %s: its last revision is %T", banyan.ErrCorrupt, stream, v[0])
			}
			ends[stream] = store.Head{Revision: banyan.Revision(revision), Closed: v[1] == banyan.Tombstone}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// chunks are the numbers of rows that a statement is prepared for: a few, so
// that they stay prepared, and any number is a short sum of them.
var chunks = [...]int{64, 16, 4, 1}

var insertChunk = func() (out [len(chunks)]string) {
	for i, n := range chunks {
		out[i] = `INSERT INTO banyan_events (` + columns + `) VALUES ` + repeat(`(?,?,?,?,?,?,?,?,?,?,?,?)`, n)
	}
	return out
}()

func insert(r runner, rs []store.Record) error {
	args := make([]any, 0, 12*min(len(rs), chunks[0]))
	for i, n := range chunks {
		for len(rs) >= n {
			args = args[:0]
			for j := range rs[:n] {
				args = appendRow(args, &rs[j])
			}
			if err := r.exec(insertChunk[i], args...); err != nil {
				return err
			}
			rs = rs[n:]
		}
	}
	return nil
}

func appendRow(args []any, r *store.Record) []any {
	data, meta := r.Data, any(nil)
	if data == nil {
		data = []byte{}
	}
	if len(r.Meta) > 0 {
		meta = r.Meta
	}
	return append(args, int64(r.Position), r.ID, r.Stream, int64(r.Revision), r.Type, int64(r.Schema),
		r.Time, r.Recorded, r.Source, data, meta, int64(r.Checksum))
}

// lookupChunks are the numbers of ids that a query is prepared for.
var lookupChunks = [...]int{256, 16, 1}

var lookupQuery = func() (out [len(lookupChunks)]string) {
	for i, n := range lookupChunks {
		out[i] = `SELECT ` + columns + ` FROM banyan_events WHERE id IN (` + repeat(`?`, n) + `)`
	}
	return out
}()

// lookup returns the stored events of ids; the map is never nil.
func lookup(r runner, ids []string) (map[string]store.Record, error) {
	known := make(map[string]store.Record)
	for i, n := range lookupChunks {
		for len(ids) >= n {
			args := make([]any, n)
			for j, id := range ids[:n] {
				args[j] = id
			}
			found, err := records(r, 1, lookupQuery[i], args...)
			if err != nil {
				return nil, err
			}
			for _, record := range found {
				known[record.ID] = record
			}
			ids = ids[n:]
		}
	}
	return known, nil
}

func repeat(s string, n int) string {
	return strings.TrimSuffix(strings.Repeat(s+",", n), ",")
}
