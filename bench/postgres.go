package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/banyanhq/banyan/postgres"
	"github.com/banyanhq/banyan/store"
)

type postgresTarget struct {
	dsn  string
	db   *postgres.DB
	s    *store.Store
	pool *pgxpool.Pool
}

const postgresTable = `create table banyan_bench (
	position bigserial primary key,
	id text collate "C" not null unique,
	stream text collate "C" not null,
	revision bigint not null,
	type text collate "C" not null,
	schema int not null,
	time timestamptz not null,
	recorded timestamptz not null,
	source text collate "C" not null,
	data bytea not null,
	meta text collate "C" not null,
	checksum bigint not null,
	unique (stream, revision))`

func openPostgres(ctx context.Context, dsn string) (*postgresTarget, error) {
	db, err := postgres.Open(ctx, dsn, nil)
	if err != nil {
		return nil, err
	}
	s, err := db.Store(nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	pool, err := pgxpool.New(ctx, dsn+poolSize(dsn))
	if err != nil {
		return nil, errors.Join(errors.New("the baseline cannot connect to the same database"), db.Close())
	}
	t := &postgresTarget{dsn: dsn, db: db, s: s, pool: pool}
	if _, err := pool.Exec(ctx, "drop table if exists banyan_bench"); err != nil {
		return nil, errors.Join(err, t.close())
	}
	if _, err := pool.Exec(ctx, postgresTable); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// poolSize gives every client of the baseline a connection of its own.
func poolSize(dsn string) string {
	for i := range len(dsn) {
		if dsn[i] == '?' {
			return "&pool_max_conns=64"
		}
	}
	return "?pool_max_conns=64"
}

func (t *postgresTarget) store() *store.Store { return t.s }
func (t *postgresTarget) clients() int        { return 16 }

func (t *postgresTarget) close() error {
	_, err := t.pool.Exec(context.Background(), "drop table if exists banyan_bench")
	t.pool.Close()
	return errors.Join(err, t.db.Close())
}

func (t *postgresTarget) restart(ctx context.Context) (time.Duration, error) {
	if err := t.db.Close(); err != nil {
		return 0, err
	}
	start := time.Now()
	var err error
	if t.db, err = postgres.Open(ctx, t.dsn, nil); err != nil {
		return 0, err
	}
	if t.s, err = t.db.Store(nil); err != nil {
		return 0, err
	}
	err = ready(ctx, t.s)
	return time.Since(start), err
}

func (t *postgresTarget) bareStart(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	conn, err := pgx.Connect(ctx, t.dsn)
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	var id string
	err = conn.QueryRow(ctx, "select id from banyan.events order by batch, idx limit 1").Scan(&id)
	return time.Since(start), err
}

const insertOne = `insert into banyan_bench (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// insertMany is the fastest bare multi-row insert measured: arrays, one round
// trip. Multi-row VALUES is slower from 64 rows on.
const insertMany = `insert into banyan_bench (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum)
	select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[], $8::text[], $9::bytea[], $10::text[], $11::bigint[])`

func (t *postgresTarget) insert(ctx context.Context, rows []row) error {
	if len(rows) == 1 {
		r := rows[0]
		_, err := t.pool.Exec(ctx, insertOne, r.id, r.stream, r.revision, r.kind, 1, r.time, r.time, r.source, r.data, string(r.meta), int64(1))
		return err
	}
	n := len(rows)
	ids, streams, kinds, sources := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	revisions, sums, schemas := make([]int64, n), make([]int64, n), make([]int32, n)
	times, data, metas := make([]time.Time, n), make([][]byte, n), make([]string, n)
	for i, r := range rows {
		ids[i], streams[i], kinds[i], sources[i] = r.id, r.stream, r.kind, r.source
		revisions[i], schemas[i], times[i], data[i], metas[i] = r.revision, 1, r.time, r.data, string(r.meta)
	}
	_, err := t.pool.Exec(ctx, insertMany, ids, streams, revisions, kinds, schemas, times, times, sources, data, metas, sums)
	return err
}

func (t *postgresTarget) readAll(ctx context.Context) (int, error) {
	rows, err := t.pool.Query(ctx, `select batch, idx, id, stream, revision, type, schema, time, recorded, source, data, meta, checksum
		from banyan.events order by batch, idx`)
	if err != nil {
		return 0, err
	}
	return scanAll(rows)
}

// scanAll reads every column into a Go value of its own, as a user would.
func scanAll(rows pgx.Rows) (n int, err error) {
	defer rows.Close()
	for rows.Next() {
		var id, stream, kind, source, meta string
		var batch, revision, sum int64
		var idx, schema int32
		var at, recorded time.Time
		var data []byte
		if err := rows.Scan(&batch, &idx, &id, &stream, &revision, &kind, &schema, &at, &recorded, &source, &data, &meta, &sum); err != nil {
			return n, fmt.Errorf("row %d: %w", n, err)
		}
		n++
	}
	return n, rows.Err()
}
