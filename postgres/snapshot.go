package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// PutSnapshot implements store.Snapshotter.
func (b *backend) PutSnapshot(ctx context.Context, s store.SnapshotRecord) error {
	return classify(b.db.txs.again(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, b.db.sql.expand(`insert into {s}.snapshots as old (stream, revision, schema, checksum, data)
			values ($1, $2, $3, $4, $5) on conflict (stream) do update
			set revision = excluded.revision, schema = excluded.schema, checksum = excluded.checksum, data = excluded.data
			where old.schema <> excluded.schema or old.revision < excluded.revision`),
			s.Stream, int64(s.Revision), int32(s.Schema), int64(s.Checksum), s.Data)
		return err
	}))
}

// GetSnapshot implements store.Snapshotter.
func (b *backend) GetSnapshot(ctx context.Context, stream string) (store.SnapshotRecord, error) {
	s := store.SnapshotRecord{Snapshot: store.Snapshot{Stream: stream}}
	err := b.db.read(ctx, func(session session) error {
		var revision, checksum int64
		err := session.conn.QueryRow(ctx, b.db.sql.expand(`select revision, schema, checksum, data from {s}.snapshots where stream = $1`), stream).
			Scan(&revision, &s.Schema, &checksum, &s.Data)
		s.Revision, s.Checksum = banyan.Revision(revision), uint32(checksum)
		return err
	})
	if isNoRows(err) {
		return s, fmt.Errorf("%w: the stream has no snapshot", banyan.ErrNotFound)
	}
	return s, err
}
