package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

// checks each return one text for each fault. They run in one snapshot, in which
// an append has a ticket or a place in the log, never both.
var checks = [...]string{
	`select format('batch %s: its %s events have neither a ticket nor a place in the log', e.batch, count(*))
		from {s}.events e where not exists (select from {s}.log l where l.batch = e.batch)
		and not exists (select from {s}.queue q where q.batch = e.batch) group by e.batch`,
	`select format('batch %s: the log says %s events, there are %s', l.batch, l.count, n.found)
		from {s}.log l, lateral (select count(*) as found from {s}.events e where e.batch = l.batch) n where n.found <> l.count`,
	`select format('batch %s: it has %s tickets', q.batch, count(*)) from {s}.queue q group by q.batch having count(*) > 1`,
	`select format('batch %s: it has a ticket and a place in the log', q.batch)
		from {s}.queue q where exists (select from {s}.log l where l.batch = q.batch)`,
	`select format('batch %s: the ticket says %s events, there are %s', q.batch, q.count, n.found)
		from {s}.queue q, lateral (select count(*) as found from {s}.events e where e.batch = q.batch) n where n.found <> q.count`,
	`select format('position %s: %s must follow position %s', position, was, was - 1)
		from (select position, lag(position + count, 1, 1::bigint) over (order by position) as was from {s}.log) l where position <> was`,
	`select format('the sequence of batches is at %s, the last batch is %s; it is repaired when the database is opened', b.last_value, m.batch)
		from {s}.batches b, (select max(batch) as batch from {s}.events) m where m.batch > b.last_value`,
}

// maxFaults bounds the answer of each check.
const maxFaults = 100

// Check implements store.Checker.
func (b *backend) Check(ctx context.Context) ([]string, error) {
	var faults []string
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := b.db.txs.begin(ctx, snapshot, func(tx pgx.Tx) (err error) {
		defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
		for _, check := range checks {
			rows, err := tx.Query(ctx, b.db.sql.expand(check)+" limit $1", maxFaults)
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			faults = append(faults, found...)
		}
		return nil
	})
	return faults, classifyRead(err)
}
