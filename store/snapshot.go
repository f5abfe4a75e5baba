package store

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/banyanhq/banyan"
)

// Snapshot is the state of a stream at a revision, so that loading it need not
// start from the first event.
type Snapshot struct {
	Stream   string
	Revision banyan.Revision
	// Schema is the version of the shape of the state. A snapshot of another
	// version is ignored, not converted: the events are the truth.
	Schema int
	Data   []byte
}

// SnapshotRecord is a snapshot as back ends keep it.
type SnapshotRecord struct {
	Snapshot
	Checksum uint32
}

func (r *SnapshotRecord) sum() uint32 {
	head := fmt.Appendf(nil, "%d %d %d %s ", r.Revision, r.Schema, len(r.Stream), r.Stream)
	return crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, r.Data)
}

// SaveSnapshot keeps a snapshot in place of an older one of the stream. On a
// back end without snapshots it is of kind banyan.ErrInvalid.
func (s *Store) SaveSnapshot(ctx context.Context, snap Snapshot) error {
	b, err := s.snapshotter()
	if err == nil && (snap.Revision < 1 || snap.Schema < 1) {
		err = invalid("revision %d, schema %d: both must be at least 1", snap.Revision, snap.Schema)
	}
	if err == nil {
		err = s.enter()
	}
	if err != nil {
		return fmt.Errorf("store: save snapshot of %s: %w", snap.Stream, err)
	}
	defer s.calls.Done()
	r := SnapshotRecord{Snapshot: snap}
	r.Checksum = r.sum()
	if err := b.PutSnapshot(ctx, r); err != nil {
		return fmt.Errorf("store: save snapshot of %s: %w", snap.Stream, err)
	}
	return nil
}

// LoadSnapshot returns the stream's snapshot of this state schema. When there is
// none, when it is of another schema, and when its bytes are damaged, the error
// is of kind banyan.ErrNotFound: the caller reads the events instead.
func (s *Store) LoadSnapshot(ctx context.Context, stream string, schema int) (Snapshot, error) {
	b, err := s.snapshotter()
	if err == nil {
		err = s.enter()
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("store: load snapshot of %s: %w", stream, err)
	}
	defer s.calls.Done()
	r, err := b.GetSnapshot(ctx, stream)
	switch {
	case err != nil:
	case r.Checksum != r.sum():
		err = fmt.Errorf("%w: it is damaged (checksum %08x, stored %08x) and was ignored", banyan.ErrNotFound, r.sum(), r.Checksum)
	case r.Schema != schema:
		err = fmt.Errorf("%w: it has state schema %d, the code %d", banyan.ErrNotFound, r.Schema, schema)
	}
	if err != nil {
		return Snapshot{}, fmt.Errorf("store: load snapshot of %s: %w", stream, err)
	}
	return r.Snapshot, nil
}

func (s *Store) snapshotter() (Snapshotter, error) {
	b, ok := s.backend.(Snapshotter)
	if !ok || !s.promises.Snapshots {
		return nil, invalid("back end %s keeps no snapshots", s.promises.Backend)
	}
	return b, nil
}
