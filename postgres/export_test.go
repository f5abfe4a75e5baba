package postgres

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan/store"
)

// CommitTx is AppendTx for a commit that is prepared already, as the conformance
// suite has it.
func (db *DB) CommitTx(ctx context.Context, tx pgx.Tx, c store.Commit) (store.Outcome, error) {
	return commitIn(ctx, db.pgxTx(tx), c)
}

// CommitSQL is AppendSQL for a commit that is prepared already.
func (db *DB) CommitSQL(ctx context.Context, tx *sql.Tx, c store.Commit) (store.Outcome, error) {
	return commitIn(ctx, sqlTx{tx: tx, sql: db.sql}, c)
}
