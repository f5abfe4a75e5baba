package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
)

// migrations bring the schema from version i to i+1. They are never changed
// once released. {s} stands for the quoted schema, {n} for its
// bare name, {v} for the quoted schema of the read models.
var migrations = [...]string{`
create sequence {s}.batches cache 1;

-- batch: the append statement. A revision of a stream has a higher batch than
-- the one before it, because it is taken after that one was seen committed.
create table {s}.events (
	batch    bigint not null,
	revision bigint not null,
	time     timestamptz not null,
	recorded timestamptz not null,
	checksum bigint not null,
	idx      int not null,
	schema   int not null,
	id       text collate "C" not null,
	stream   text collate "C" not null,
	type     text collate "C" not null,
	source   text collate "C" not null,
	meta     text collate "C" not null,
	data     bytea not null,
	primary key (batch, idx),
	constraint events_stream unique (stream, revision),
	constraint events_id unique (id)
);

-- A ticket for each append, until it has positions. No index: it is always read
-- whole, and is nearly empty. It changes all the time, hence the vacuum.
create table {s}.queue (batch bigint not null, count int not null)
	with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 1, autovacuum_analyze_threshold = 100000);

-- The log: events of batch have positions from position on.
create table {s}.log (
	position bigint primary key,
	batch    bigint not null unique,
	count    int not null check (count > 0)
);

create table {s}.snapshots (
	stream   text collate "C" primary key,
	revision bigint not null,
	schema   int not null,
	checksum bigint not null,
	data     bytea not null
);

-- sequence gives positions to all tickets that it sees, and returns the head of
-- the log. The statements after the lock have snapshots of their own, which see
-- what the last holder of the lock committed; so it needs read committed.
create function {s}.sequence() returns bigint language plpgsql as $$
begin
	perform pg_advisory_xact_lock(hashtextextended('banyan:{n}:sequence', 0));
	with tickets as (
		delete from {s}.queue returning batch, count
	), base as (
		select coalesce((select position + count from {s}.log order by position desc limit 1), 1) as position
	)
	insert into {s}.log (position, batch, count)
	select base.position + sum(t.count) over (order by t.batch) - t.count, t.batch, t.count from tickets t, base;
	return (select coalesce((select position + count - 1 from {s}.log order by position desc limit 1), 0));
end $$;

create schema if not exists {v};
create table {s}.aliases (alias text primary key, target text not null);

create function {s}.readable(content bytea) returns text language plpgsql immutable as $$
begin
	return convert_from(content, 'UTF8');
exception when others then
	return encode(content, 'escape');
end $$;

create view {s}.events_view as
select l.position + e.idx as position, e.stream, e.revision, e.type, e.schema, e.id, e.time, e.recorded, e.source,
	{s}.readable(e.data) as data, nullif(e.meta, '')::json as meta
from {s}.events e left join {s}.log l on l.batch = e.batch;
`}

// migrate creates the schema or brings it up to date.
func (db *DB) migrate(ctx context.Context, conn *pgx.Conn) error {
	version, err := db.version(ctx, conn)
	if err != nil {
		return err
	}
	// Most starts need no right to create anything.
	if version != len(migrations) {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return db.upgrade(ctx, tx) })
		if err != nil {
			return err
		}
	}
	return db.repair(ctx, conn)
}

// upgrade runs the missing migrations; of several processes the others wait.
func (db *DB) upgrade(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, "banyan:"+db.opts.Schema+":migrate"); err != nil {
		return err
	}
	version, err := db.version(ctx, tx)
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: schema %s has version %d, this program knows %d; start a newer program", banyan.ErrInvalid, db.opts.Schema, version, len(migrations))
	}
	if version == len(migrations) {
		return nil
	}
	if version == 0 {
		if _, err := tx.Exec(ctx, db.sql.expand(`create schema if not exists {s}; create table if not exists {s}.version (version int not null)`)); err != nil {
			return err
		}
	}
	for i, m := range migrations[version:] {
		if _, err := tx.Exec(ctx, db.sql.expand(m)); err != nil {
			return fmt.Errorf("migrate schema %s to version %d: %w", db.opts.Schema, version+i+1, err)
		}
	}
	_, err = tx.Exec(ctx, db.sql.expand(fmt.Sprintf(`delete from {s}.version; insert into {s}.version values (%d)`, len(migrations))))
	return err
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version returns the version of the schema, 0 when there is none.
func (db *DB) version(ctx context.Context, q querier) (int, error) {
	var there bool
	if err := q.QueryRow(ctx, `select to_regclass($1) is not null`, db.sql.schema+".version").Scan(&there); err != nil || !there {
		return 0, err
	}
	var version int
	err := q.QueryRow(ctx, db.sql.expand(`select coalesce(max(version), 0) from {s}.version`)).Scan(&version)
	return version, err
}

// repair makes the sequence go on behind the last batch. Logical replication
// and some restores copy tables without their sequences; an append would then
// get a batch that is taken, or one below its stream's last.
func (db *DB) repair(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, db.sql.expand(`select setval('{s}.batches', last.batch)
		from (select batch from {s}.events order by batch desc limit 1) last, {s}.batches b where last.batch > b.last_value`))
	return err
}

// statement is an SQL text with the name under which connections prepare it.
type statement struct{ name, text string }

// statements are the SQL of one schema.
type statements struct {
	schema string // quoted
	name   string // bare
	views  string // quoted: the schema of the read models

	insert, heads, lookup               statement
	forward, backward                   statement
	head, sequence, page                statement
	between, betweenMatching, anyOfThem statement
}

// The columns that decodeRecord reads, in its order.
const recordColumns = `e.id, e.stream, e.type, e.source, e.revision, e.schema, e.time, e.recorded, e.checksum, e.data, e.meta`

const matches = ` and (cardinality($5::text[]) = 0 or e.type = any($5))
	and (cardinality($6::text[]) = 0 or exists (select from unnest($6) as p (prefix) where starts_with(e.stream, p.prefix)))`

func newStatements(schema string) *statements {
	s := &statements{schema: pgx.Identifier{schema}.Sanitize(), name: schema, views: pgx.Identifier{schema + "_views"}.Sanitize()}
	// Functions that return rows beside one another in the select list advance
	// together; as tables in FROM each would first be stored whole (20 % slower).
	s.insert = s.make(`with q as (insert into {s}.queue (batch, count) values (nextval('{s}.batches'), $12::int4) returning batch)
		insert into {s}.events (batch, idx, revision, time, recorded, checksum, schema, id, stream, type, source, meta, data)
		select q.batch, generate_series(0, $12 - 1), unnest($1::int8[]), unnest($2::timestamptz[]), unnest($3::timestamptz[]), unnest($4::int8[]), unnest($5::int4[]),
			unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]), unnest($11::bytea[])
		from q`)
	s.heads = s.make(`select s.n - 1, h.revision, h.type = '` + banyan.Tombstone + `'
		from unnest($1::text[]) with ordinality as s (stream, n),
		lateral (select e.revision, e.type from {s}.events e where e.stream = s.stream order by e.revision desc limit 1) as h`)
	s.lookup = s.make(`select coalesce(l.position + e.idx, 0), ` + recordColumns + `
		from {s}.events e left join {s}.log l on l.batch = e.batch where e.id = any($1::text[])`)
	s.forward = s.make(`select coalesce(l.position + e.idx, 0), ` + recordColumns + `
		from {s}.events e left join {s}.log l on l.batch = e.batch
		where e.stream = $1::text and e.revision >= $2::int8 order by e.revision limit $3::int8`)
	s.backward = s.make(`select coalesce(l.position + e.idx, 0), ` + recordColumns + `
		from {s}.events e left join {s}.log l on l.batch = e.batch
		where e.stream = $1::text and e.revision <= $2::int8 order by e.revision desc limit $3::int8`)
	s.head = s.make(`select coalesce((select position + count - 1 from {s}.log order by position desc limit 1), 0), exists (select from {s}.queue)`)
	s.sequence = s.make(`select {s}.sequence()`)
	s.page = s.make(`select position, batch, count from {s}.log
		where position >= coalesce((select position from {s}.log where position <= $1::int8 order by position desc limit 1), 0)
		and position < $2::int8 and position + count > $1 order by position`)
	// The planner takes a comparison of rows for a third of the table, and only
	// the plain range on batch for the small part that it is.
	const between = `select e.batch, e.idx, ` + recordColumns + ` from {s}.events e
		where (e.batch, e.idx) >= ($1::int8, $2::int4) and (e.batch, e.idx) <= ($3::int8, $4::int4) and e.batch between $1 and $3`
	s.between = s.make(between + ` order by e.batch, e.idx`)
	s.betweenMatching = s.make(between + matches + ` order by e.batch, e.idx limit $7::int8`)
	s.anyOfThem = s.make(`select e.batch, e.idx, ` + recordColumns + ` from {s}.events e
		where e.batch = any($1::int8[])` + strings.NewReplacer("$5", "$2", "$6", "$3").Replace(matches))
	return s
}

func (s *statements) expand(text string) string {
	return strings.NewReplacer("{s}", s.schema, "{n}", s.name, "{v}", s.views).Replace(text)
}

// make names a statement by its text: a user's connection may meet the
// statements of several versions and schemas.
func (s *statements) make(text string) statement {
	text = s.expand(text)
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return statement{name: fmt.Sprintf("banyan_%016x", h.Sum64()), text: text}
}
