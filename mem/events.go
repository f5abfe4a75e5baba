package mem

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// events is the store role: the log, and where each stream and id is in it.
//
// Invariants: log[i] has position i+1; streams[s][r-1] is the index of revision
// r of stream s; ids has the index of every record of the log. Records of the
// log are never changed.
type events struct {
	mu        sync.RWMutex
	log       []store.Record                  // guarded by mu
	streams   map[string][]int                // guarded by mu
	ids       map[string]int                  // guarded by mu
	snapshots map[string]store.SnapshotRecord // guarded by mu
	closed    bool                            // guarded by mu
}

func (e *events) init() {
	e.streams, e.ids, e.snapshots = map[string][]int{}, map[string]int{}, map[string]store.SnapshotRecord{}
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.log = nil
	e.init()
}

// Promises implements store.Backend.
func (e *events) Promises() store.Promises {
	return store.Promises{Backend: "mem", GapFree: true, PositionOnAppend: true, Snapshots: true, Writers: 1}
}

// Append implements store.Backend.
func (e *events) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ready(ctx, e.closed); err != nil {
		return nil, err
	}
	d := store.Decide(commits, e.heads(store.Streams(commits)), e.known(store.IDs(commits)))
	for i := range d.Insert {
		r := &d.Insert[i]
		r.Position = banyan.Position(len(e.log) + 1)
		e.ids[r.ID] = len(e.log)
		e.streams[r.Stream] = append(e.streams[r.Stream], len(e.log))
		e.log = append(e.log, clone(*r))
	}
	return d.Outcomes, nil
}

func (e *events) heads(streams []string) map[string]store.Head {
	heads := make(map[string]store.Head, len(streams))
	for _, s := range streams {
		if at := e.streams[s]; len(at) > 0 {
			last := &e.log[at[len(at)-1]]
			heads[s] = store.Head{Revision: last.Revision, Closed: last.Type == banyan.Tombstone}
		}
	}
	return heads
}

func (e *events) known(ids []string) map[string]store.Record {
	known := map[string]store.Record{}
	for _, id := range ids {
		if i, ok := e.ids[id]; ok {
			known[id] = clone(e.log[i])
		}
	}
	return known
}

// ReadStream implements store.Backend.
func (e *events) ReadStream(ctx context.Context, stream string, r store.Range) ([]store.Record, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := ready(ctx, e.closed); err != nil {
		return nil, err
	}
	at := e.streams[stream]
	last := banyan.Revision(len(at))
	from, step := max(r.From, 1), banyan.Revision(1)
	if r.Backward {
		from, step = min(r.From, last), -1
		if r.From == 0 {
			from = last
		}
	}
	var records []store.Record
	for rev := from; rev >= 1 && rev <= last && len(records) < r.Limit; rev += step {
		records = append(records, clone(e.log[at[rev-1]]))
	}
	return records, nil
}

// ReadAll implements store.Backend.
func (e *events) ReadAll(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := ready(ctx, e.closed); err != nil {
		return nil, 0, err
	}
	var records []store.Record
	next := after
	for int(next) < len(e.log) && len(records) < limit {
		r := &e.log[next]
		next = r.Position
		if f.Matches(r.Type, r.Stream) {
			records = append(records, clone(*r))
		}
	}
	return records, next, nil
}

// Lookup implements store.Backend.
func (e *events) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := ready(ctx, e.closed); err != nil {
		return nil, err
	}
	known := e.known(ids)
	records := make([]store.Record, 0, len(known))
	for _, r := range known {
		records = append(records, r)
	}
	return records, nil
}

// Head implements store.Backend.
func (e *events) Head(ctx context.Context) (banyan.Position, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := ready(ctx, e.closed); err != nil {
		return 0, err
	}
	return banyan.Position(len(e.log)), nil
}

// PutSnapshot implements store.Snapshotter.
func (e *events) PutSnapshot(ctx context.Context, s store.SnapshotRecord) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := ready(ctx, e.closed); err != nil {
		return err
	}
	if have, ok := e.snapshots[s.Stream]; ok && have.Schema == s.Schema && have.Revision >= s.Revision {
		return nil
	}
	s.Data = bytes.Clone(s.Data)
	e.snapshots[s.Stream] = s
	return nil
}

// GetSnapshot implements store.Snapshotter.
func (e *events) GetSnapshot(ctx context.Context, stream string) (store.SnapshotRecord, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := ready(ctx, e.closed); err != nil {
		return store.SnapshotRecord{}, err
	}
	s, ok := e.snapshots[stream]
	if !ok {
		return s, fmt.Errorf("snapshot of %s: %w", stream, banyan.ErrNotFound)
	}
	s.Data = bytes.Clone(s.Data)
	return s, nil
}

// clone gives a record slices of its own, so that neither a writer nor a reader
// can change the log.
func clone(r store.Record) store.Record {
	r.Data, r.Meta = bytes.Clone(r.Data), bytes.Clone(r.Meta)
	return r
}
