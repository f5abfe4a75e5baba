package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

const putSnapshot = `INSERT INTO banyan_snapshots (stream, revision, schema, data, checksum) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (stream) DO UPDATE SET revision = excluded.revision, schema = excluded.schema, data = excluded.data, checksum = excluded.checksum
	WHERE excluded.revision > banyan_snapshots.revision OR excluded.schema <> banyan_snapshots.schema`

// PutSnapshot is part of store.Snapshotter.
func (b *backend) PutSnapshot(ctx context.Context, s store.SnapshotRecord) error {
	data := s.Data
	if data == nil {
		data = []byte{}
	}
	return b.db.writer.transact(ctx, func(c *conn) error {
		return c.exec(putSnapshot, s.Stream, int64(s.Revision), int64(s.Schema), data, int64(s.Checksum))
	})
}

// GetSnapshot is part of store.Snapshotter.
func (b *backend) GetSnapshot(ctx context.Context, stream string) (store.SnapshotRecord, error) {
	var s store.SnapshotRecord
	err := b.db.readers.read(ctx, func(c *conn) error {
		return c.query(`SELECT revision, schema, data, checksum FROM banyan_snapshots WHERE stream = ?`, []any{stream}, func(v []driver.Value) error {
			revision, _ := v[0].(int64) // STRICT: the types are what the table says
			schema, _ := v[1].(int64)
			checksum, _ := v[3].(int64)
			s.Stream, s.Revision, s.Schema, s.Checksum = stream, banyan.Revision(revision), int(schema), uint32(checksum)
			s.Data, _ = v[2].([]byte)
			return nil
		})
	})
	if err == nil && s.Stream == "" {
		err = fmt.Errorf("%w: the stream has no snapshot", banyan.ErrNotFound)
	}
	return s, err
}
