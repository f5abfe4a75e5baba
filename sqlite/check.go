package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
)

// maxFaults is how many faults SQLite is asked for.
const maxFaults = 20

// Check is part of store.Checker: SQLite's own check of every page and index of
// the file, and that both indexes of the events hold as many of them as the
// table.
func (b *backend) Check(ctx context.Context) (faults []string, err error) {
	err = b.db.readers.read(ctx, func(c *conn) error {
		err := c.queryContext(ctx, fmt.Sprintf(`PRAGMA integrity_check(%d)`, maxFaults), nil, func(v []driver.Value) error {
			if text, _ := v[0].(string); text != "ok" {
				faults = append(faults, "sqlite: "+text)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return c.queryContext(ctx, countEvents, nil, func(v []driver.Value) error {
			if v[0] != v[1] || v[0] != v[2] || v[0] != v[3] {
				faults = append(faults, fmt.Sprintf("sqlite: %v events, %v of them in the index of ids, %v in the index of streams, and the highest position is %v", v[0], v[1], v[2], v[3]))
			}
			return nil
		})
	})
	return faults, err
}

// countEvents counts in one snapshot, each time in another tree of the file.
const countEvents = `SELECT
	(SELECT count(*) FROM banyan_events NOT INDEXED),
	(SELECT count(*) FROM banyan_events INDEXED BY sqlite_autoindex_banyan_events_1),
	(SELECT count(*) FROM banyan_events INDEXED BY sqlite_autoindex_banyan_events_2),
	(SELECT coalesce(max(position), 0) FROM banyan_events)`
