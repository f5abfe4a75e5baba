package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

var (
	_ store.Backend     = (*backend)(nil)
	_ store.Snapshotter = (*backend)(nil)
	_ store.Notifier    = (*backend)(nil)
	_ store.Checker     = (*backend)(nil)
)

// backend is the store role of a DB.
type backend struct{ db *DB }

// Store returns the event store in the file. Several may be open; they hold the
// same events and hear of each other's appends.
func (db *DB) Store(o *store.Options) (*store.Store, error) {
	if err := db.usable(); err != nil {
		return nil, fmt.Errorf("sqlite: store: %w", err)
	}
	s, err := store.New(db.Backend(), o)
	if err != nil {
		return nil, err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.stores = append(db.stores, s)
	return s, nil
}

// Backend returns the contract that Store is made of, for conformance tests and
// for programs that wrap it.
func (db *DB) Backend() store.Backend { return &backend{db: db} }

// Promises is part of store.Backend.
func (b *backend) Promises() store.Promises {
	return store.Promises{
		Backend:          "sqlite",
		Durable:          !b.db.opts.UnsafeNoSync,
		Shared:           true,
		GapFree:          true,
		PositionOnAppend: true,
		Snapshots:        true,
		Writers:          1,
	}
}

// Close is part of store.Backend. The file stays open: other roles use it.
func (b *backend) Close() error { return nil }

// Append is part of store.Backend.
func (b *backend) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	var outcomes []store.Outcome
	err := b.db.writer.transact(ctx, func(c *conn) (err error) {
		outcomes, err = appendOnce(c, commits, nil)
		if !uniqueViolation(err) {
			return err
		}
		// An event id is taken: some commit repeats an earlier call. What was
		// inserted of the others goes away with it, so all start again.
		if err := c.exec(`ROLLBACK`); err != nil {
			return err
		}
		if err := c.execContext(ctx, `BEGIN IMMEDIATE`); err != nil {
			return err
		}
		known, err := lookup(c, store.IDs(commits))
		if err != nil {
			return err
		}
		outcomes, err = appendOnce(c, commits, known)
		return err
	})
	if err != nil {
		return nil, err
	}
	return outcomes, nil
}

// columns of an event, in the order of decode.
const columns = `position, id, stream, revision, type, schema, time, recorded, source, data, meta, checksum`

// decode reads a row of columns. The driver has made the strings and bytes for
// this row alone, so they are kept as they are.
func decode(v []driver.Value) (store.Record, error) {
	var bad []string
	number := func(i int) int64 {
		n, ok := v[i].(int64)
		if !ok {
			bad = append(bad, fmt.Sprintf("column %d is %T", i+1, v[i]))
		}
		return n
	}
	text := func(i int) string {
		s, ok := v[i].(string)
		if !ok {
			bad = append(bad, fmt.Sprintf("column %d is %T", i+1, v[i]))
		}
		return s
	}
	r := store.Record{
		Position: banyan.Position(number(0)),
		ID:       text(1),
		Stream:   text(2),
		Revision: banyan.Revision(number(3)),
		Type:     text(4),
		Schema:   int32(number(5)),
		Time:     number(6),
		Recorded: number(7),
		Source:   text(8),
		Checksum: uint32(number(11)),
	}
	r.Data, _ = v[9].([]byte)
	r.Meta, _ = v[10].([]byte)
	if bad != nil {
		return r, fmt.Errorf("%w: event at position %d: %s", banyan.ErrCorrupt, r.Position, strings.Join(bad, ", "))
	}
	return r, nil
}

func records(r runner, capacity int, query string, args ...any) ([]store.Record, error) {
	out := make([]store.Record, 0, capacity)
	err := r.query(query, args, func(v []driver.Value) error {
		record, err := decode(v)
		if err != nil {
			return err
		}
		out = append(out, record)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// pageCapacity bounds what is reserved for a page before its size is known.
func pageCapacity(limit int) int { return min(limit, 4096) }

const (
	streamForward  = `SELECT ` + columns + ` FROM banyan_events WHERE stream = ? AND revision >= ? ORDER BY revision LIMIT ?`
	streamBackward = `SELECT ` + columns + ` FROM banyan_events WHERE stream = ? AND revision <= ? ORDER BY revision DESC LIMIT ?`
	logPage        = `SELECT ` + columns + ` FROM banyan_events WHERE position > ? ORDER BY position LIMIT ?`
	maxPosition    = `SELECT max(position) FROM banyan_events`
)

// ReadStream is part of store.Backend.
func (b *backend) ReadStream(ctx context.Context, stream string, r store.Range) (out []store.Record, err error) {
	query, from := streamForward, int64(r.From)
	if r.Backward {
		query = streamBackward
		if from == 0 {
			from = 1<<63 - 1
		}
	}
	err = b.db.readers.read(ctx, func(c *conn) (err error) {
		out, err = records(c, min(pageCapacity(r.Limit), 64), query, stream, from, int64(r.Limit))
		return err
	})
	return out, err
}

// scanWindow is how many positions one query of a filtered read may look at. It
// bounds how long a call takes that finds nothing.
const scanWindow = 20_000

// ReadAll is part of store.Backend.
func (b *backend) ReadAll(ctx context.Context, after banyan.Position, f store.Filter, limit int) (out []store.Record, next banyan.Position, err error) {
	next = after
	err = b.db.readers.read(ctx, func(c *conn) (err error) {
		if f.IsZero() {
			out, err = records(c, pageCapacity(limit), logPage, int64(after), int64(limit))
			if n := len(out); n > 0 {
				next = out[n-1].Position
			}
			return err
		}
		out, next, err = filtered(c, after, f, limit)
		return err
	})
	return out, next, err
}

// filtered reads one window of the log. The end of the log is taken before the
// window is read: everything up to there is visible by then, so nothing is
// passed unseen.
func filtered(c *conn, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
	head, err := one(c, maxPosition)
	if err != nil || banyan.Position(head) <= after {
		return nil, after, err
	}
	end := min(head, int64(after)+scanWindow)
	where, args := condition(f)
	query := `SELECT ` + columns + ` FROM banyan_events WHERE position > ? AND position <= ?` + where + ` ORDER BY position LIMIT ?`
	args = append([]any{int64(after), end}, args...)
	out, err := records(c, min(limit, 256), query, append(args, int64(limit))...)
	if err != nil {
		return nil, after, err
	}
	if len(out) == limit {
		return out, out[limit-1].Position, nil
	}
	return out, banyan.Position(end), nil
}

// condition turns a filter into SQL. Lists go in as JSON so that the text of the
// query, and with it the prepared statement, does not depend on their length.
func condition(f store.Filter) (where string, args []any) {
	list := func(values []string) string {
		text, _ := json.Marshal(values) // strings always encode
		return string(text)
	}
	if len(f.Types) > 0 {
		where += ` AND type IN (SELECT value FROM json_each(?))`
		args = append(args, list(f.Types))
	}
	if len(f.Prefixes) > 0 {
		where += ` AND EXISTS (SELECT 1 FROM json_each(?) p WHERE substr(CAST(stream AS BLOB), 1, length(CAST(p.value AS BLOB))) = CAST(p.value AS BLOB))`
		args = append(args, list(f.Prefixes))
	}
	return where, args
}

// Lookup is part of store.Backend.
func (b *backend) Lookup(ctx context.Context, ids []string) (out []store.Record, err error) {
	err = b.db.readers.read(ctx, func(c *conn) error {
		known, err := lookup(c, ids)
		for _, r := range known {
			out = append(out, r)
		}
		return err
	})
	return out, err
}

// Head is part of store.Backend.
func (b *backend) Head(ctx context.Context) (banyan.Position, error) {
	var head int64
	err := b.db.readers.read(ctx, func(c *conn) (err error) {
		head, err = one(c, maxPosition)
		return err
	})
	return banyan.Position(head), err
}

// WaitBeyond is part of store.Notifier. It polls a counter in shared memory that
// changes with every commit, and looks at the log only then.
func (b *backend) WaitBeyond(ctx context.Context, after banyan.Position) error {
	ticker := time.NewTicker(b.db.opts.Poll)
	defer ticker.Stop()
	last := int64(-1)
	for {
		version, err := b.db.watch.version()
		if err != nil {
			return classify(err)
		}
		if version != last {
			last = version
			if head, err := b.Head(ctx); err != nil || head > after {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
