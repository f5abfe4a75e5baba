package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/banyanhq/banyan/gateway/limit"
)

// Limits keeps the buckets of rate limits that several processes share: a
// limit.Store. Time is the server's, so that the processes' clocks do not matter.
// When the server's clock is set back, each bucket is empty at worst; when it is
// set forward, each gets at most one burst too much.
//
// The table is unlogged: taking from a bucket waits for no disk, and after a
// crash of the server, or on a promoted standby, all buckets are full.
type Limits struct {
	db   *DB
	pool *pool
	take statement

	sweeping sync.WaitGroup
	mu       sync.Mutex         // guards the fields below
	swept    time.Time          // when full buckets were last deleted
	stop     context.CancelFunc // ends the last sweep
	closed   bool
}

var _ limit.Store = (*Limits)(nil)

const (
	// limitsConns: a cluster makes one call at a time; the others are for sweeps
	// and for what is being closed.
	limitsConns = 3
	// limitsWait is how long a statement waits for buckets that another process
	// is taking from, which takes it a millisecond.
	limitsWait  = time.Second
	limitsSweep = time.Minute
	// limitsPage is how many blocks, of about 60 buckets, a sweep locks at once:
	// requests wait for that.
	limitsPage = 16
)

// limitsSchema is created when it is first asked for, like the tables of read
// models: most databases have no limits. What a later version changes gets
// another name, so that both may run at once.
//
// take_limits locks the buckets, in the order of their keys, so that batches meet
// no deadlock; "where false" locks and changes nothing. Then it reads the clock,
// and decides one request after the other. bucket and request say to which of
// the keys, and to which request, a charge belongs, from 1; charges of a request
// are next to one another. A debt above the capacity is cut, and that is kept:
// the clock was set back, or the rule was changed.
const limitsSchema = `
create unlogged table if not exists {s}.limits (
	key bytea primary key,
	tat bigint not null -- when the bucket is full, in ns since 1970
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

create function {s}.take_limits(keys bytea[], bucket int4[], request int4[], cost int8[], extra int8[], capacity int8[])
returns table (allowed bool, debt int8, given int8) language plpgsql as $$
declare
	now int8;
	was int8[];
	tats int8[];
	n int4 := cardinality(bucket);
	i int4 := 1;
	j int4;
	b int4;
begin
	insert into {s}.limits as l (key, tat) select k.key, 0 from unnest(keys) as k (key) order by k.key
		on conflict (key) do update set tat = l.tat where false;
	select array_agg((select l.tat from {s}.limits l where l.key = k.key) order by k.n) into was
		from unnest(keys) with ordinality as k (key, n);
	tats := was;
	now := (extract(epoch from clock_timestamp()) * 1000000)::int8 * 1000;
	while i <= n loop
		j := i;
		allowed := true;
		while j <= n and request[j] = request[i] loop
			b := bucket[j];
			tats[b] := now + least(greatest(tats[b] - now, 0), capacity[j]);
			allowed := allowed and tats[b] - now <= capacity[j] - cost[j];
			j := j + 1;
		end loop;
		while i < j loop
			b := bucket[i];
			given := 0;
			if allowed then
				given := least(extra[i], capacity[i] - cost[i] - (tats[b] - now));
				tats[b] := tats[b] + cost[i] + given;
			end if;
			debt := tats[b] - now;
			return next;
			i := i + 1;
		end loop;
	end loop;
	update {s}.limits l set tat = u.tat from unnest(keys, was, tats) as u (key, was, tat)
		where l.key = u.key and u.tat > now and u.tat <> u.was;
end $$;
`

// limitsSweepText deletes the full buckets of some blocks: one that is missing is
// full. Those in use are left for the next time.
const limitsSweepText = `delete from {s}.limits where ctid = any(array(select ctid from {s}.limits
	where ctid >= format('(%s,0)', $1::int8)::tid and ctid < format('(%s,0)', $2::int8)::tid
	and tat <= (extract(epoch from clock_timestamp()) * 1000000)::int8 * 1000 for update skip locked))`

// Limits returns the rate limits of this database, for limit.NewCluster. Close
// the cluster, then the result, then db.
func (db *DB) Limits(ctx context.Context) (*Limits, error) {
	if err := db.txs.begin(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error { return db.createLimits(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("postgres: limits: %w", classifyRead(err)) // it may be done again
	}
	config := db.writers.config.Copy()
	// Each bucket is found by its index, however few there were when the plan was made.
	for _, param := range []string{"enable_hashjoin", "enable_mergejoin"} {
		config.RuntimeParams[param] = "off"
	}
	config.RuntimeParams["lock_timeout"] = strconv.FormatInt(limitsWait.Milliseconds(), 10)
	l := &Limits{db: db, pool: newPool(config, limitsConns, func() {}), swept: time.Now(), stop: func() {}}
	l.take = db.sql.make(`select allowed, debt, given from {s}.take_limits($1::bytea[], $2::int4[], $3::int4[], $4::int8[], $5::int8[], $6::int8[])`)
	// The first request should not wait for a connection.
	if _, err := l.Take(ctx, nil); err != nil {
		_ = l.Close() // it never fails
		return nil, err
	}
	return l, nil
}

func (db *DB) createLimits(ctx context.Context, tx pgx.Tx) error {
	defer tx.Rollback(ctx) //nolint:errcheck // after the commit it does nothing
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, "banyan:"+db.opts.Schema+":migrate"); err != nil {
		return err
	}
	var there bool
	if err := tx.QueryRow(ctx, `select to_regproc($1) is not null`, db.sql.schema+".take_limits").Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, db.sql.expand(limitsSchema)); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// Close closes the connections, waiting for those in use.
func (l *Limits) Close() error {
	l.mu.Lock()
	l.closed = true
	l.stop()
	l.mu.Unlock()
	l.sweeping.Wait()
	l.pool.close()
	return nil
}

// Take implements limit.Store, in one round trip. When a connection broke it is
// sent once more, so that its charges may count twice, never less than once.
func (l *Limits) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	args := limitArgs(requests)
	var results []limit.Result
	err := l.pool.again(ctx, l.db.on(func(s session) error {
		results = blankResults(requests)
		i, at := 0, 0
		return s.query(ctx, &l.take, args, func(row [][]byte) error {
			for at == len(results[i].Levels) { // the next request with charges
				i, at = i+1, 0
			}
			results[i].Allowed = row[0][0] == 1
			results[i].Levels[at] = limit.Level{Debt: time.Duration(getInt8(row[1])), Extra: time.Duration(getInt8(row[2]))}
			at++
			return nil
		})
	}))
	if err != nil {
		return nil, fmt.Errorf("postgres: take limits: %w", classifyRead(err))
	}
	l.sweep()
	return results, nil
}

// limitArgs returns the parameters of take_limits.
func limitArgs(requests []limit.Request) [][]byte {
	var keys []string
	var charges []limit.Charge
	var buckets, belongs []int32
	places := map[string]int32{}
	for i, r := range requests {
		for _, c := range r.Charges {
			if places[c.Key] == 0 {
				keys = append(keys, c.Key)
				places[c.Key] = int32(len(keys))
			}
			charges, buckets, belongs = append(charges, c), append(buckets, places[c.Key]), append(belongs, int32(i+1))
		}
	}
	n := len(charges)
	var e encoder
	number := func(of func(*limit.Charge) time.Duration) {
		e.array(oidInt8, n, func(b []byte, i int) []byte { return appendInt8(b, int64(of(&charges[i]))) })
	}
	e.array(oidBytea, len(keys), func(b []byte, i int) []byte { return appendText(b, keys[i]) })
	e.array(oidInt4, n, func(b []byte, i int) []byte { return appendInt4(b, buckets[i]) })
	e.array(oidInt4, n, func(b []byte, i int) []byte { return appendInt4(b, belongs[i]) })
	number(func(c *limit.Charge) time.Duration { return c.Cost })
	number(func(c *limit.Charge) time.Duration { return c.Extra })
	number(func(c *limit.Charge) time.Duration { return c.Capacity })
	return e.params
}

// blankResults returns results in which requests without charges are allowed.
func blankResults(requests []limit.Request) []limit.Result {
	results := make([]limit.Result, len(requests))
	for i, r := range requests {
		results[i] = limit.Result{Allowed: len(r.Charges) == 0, Levels: make([]limit.Level, len(r.Charges))}
	}
	return results
}

// sweep deletes full buckets beside the calls, from time to time.
func (l *Limits) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || time.Since(l.swept) < limitsSweep {
		return
	}
	l.swept = time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limitsSweep)
	l.stop = cancel
	l.sweeping.Go(func() {
		defer cancel()
		_, _ = l.Sweep(ctx) // what it leaves the next one finds
	})
}

// Sweep deletes the buckets that are full, which changes no limit, and returns
// how many they were. Take does it once a minute.
func (l *Limits) Sweep(ctx context.Context) (int, error) {
	deleted := 0
	err := l.pool.again(ctx, func(conn *pgx.Conn) error {
		var blocks int64
		err := conn.QueryRow(ctx, `select pg_relation_size($1::regclass) / current_setting('block_size')::int8`, l.db.sql.schema+".limits").Scan(&blocks)
		for from := int64(0); from < blocks && err == nil; from += limitsPage {
			var tag pgconn.CommandTag
			tag, err = conn.Exec(ctx, l.db.sql.expand(limitsSweepText), from, from+limitsPage)
			deleted += int(tag.RowsAffected())
		}
		return err
	})
	if err != nil {
		return deleted, fmt.Errorf("postgres: sweep limits: %w", classifyRead(err))
	}
	return deleted, nil
}
