package sqlite

import (
	"fmt"

	"github.com/banyanhq/banyan"
)

// migrations bring a file from one version of the schema to the next: the first
// makes version 1. They are part of the stored format and never change.
//
// The version is kept in a table and not in user_version: that number belongs
// to the whole file, and so to the user, who may keep own tables in it.
var migrations = [][]string{
	{
		`CREATE TABLE banyan_events (
			position INTEGER PRIMARY KEY,
			id       TEXT    NOT NULL UNIQUE,
			stream   TEXT    NOT NULL,
			revision INTEGER NOT NULL,
			type     TEXT    NOT NULL,
			schema   INTEGER NOT NULL,
			time     INTEGER NOT NULL, -- µs since 1970 UTC
			recorded INTEGER NOT NULL, -- µs since 1970 UTC
			source   TEXT    NOT NULL,
			data     BLOB    NOT NULL,
			meta     BLOB,
			checksum INTEGER NOT NULL,
			UNIQUE (stream, revision)
		) STRICT`,
		`CREATE TABLE banyan_snapshots (
			stream   TEXT    PRIMARY KEY,
			revision INTEGER NOT NULL,
			schema   INTEGER NOT NULL,
			data     BLOB    NOT NULL,
			checksum INTEGER NOT NULL
		) STRICT, WITHOUT ROWID`,
		`CREATE TABLE banyan_view_tables (
			name    TEXT PRIMARY KEY,
			indexes TEXT NOT NULL -- their names in order, with "," between
		) STRICT, WITHOUT ROWID`,
	},
}

const createMeta = `CREATE TABLE IF NOT EXISTS banyan_meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID`

// migrate brings the schema up to date inside the caller's transaction, so that
// of several processes that start at once one does it, and a crash leaves
// either version.
func migrate(r runner) error {
	if err := r.exec(createMeta); err != nil {
		return err
	}
	version, err := one(r, `SELECT value FROM banyan_meta WHERE key = 'schema'`)
	if err != nil {
		return err
	}
	if have := int64(len(migrations)); version > have {
		return fmt.Errorf("%w: the file has schema %d and this program knows %d; use the newer program, or restore a backup from before the upgrade", banyan.ErrInvalid, version, have)
	}
	for _, step := range migrations[version:] {
		for _, statement := range step {
			if err := r.exec(statement); err != nil {
				return err
			}
		}
	}
	if version == int64(len(migrations)) {
		return nil
	}
	return r.exec(`INSERT INTO banyan_meta (key, value) VALUES ('schema', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, int64(len(migrations)))
}
