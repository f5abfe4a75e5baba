package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

// The baseline is what one would write without an event store: the same row,
// one INSERT and commit for each, one connection for each client.
const (
	plainTable = `create table plain (position bigserial primary key, id text collate "C" not null unique, stream text collate "C" not null,
		revision bigint not null, type text not null, schema int not null, time timestamptz not null, recorded timestamptz not null,
		source text not null, data bytea not null, meta text not null, checksum bigint not null, unique (stream, revision))`
	plainInsert = `insert into plain (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`
	plainSelect = `select position, id, stream, revision, type, schema, time, recorded, source, data, meta, checksum from plain order by position`
)

// payload is 200 bytes of JSON.
var payload = []byte(`{"text":"` + string(bytes.Repeat([]byte("x"), 189)) + `"}`)

var meta = banyan.Metadata{Correlation: "0190a1b2-c3d4-7000-8000-1234567890ab", Actor: "customer-17850"}

func fact() banyan.Event {
	return banyan.Event{Type: "order.placed", Source: "/shop/orders", Data: payload, Meta: meta}
}

// clients runs n goroutines that share b.N calls of work and reports the rate.
func clients(b *testing.B, n int, work func(client, i int) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for c := range n {
		wg.Go(func() {
			for i := 0; next.Add(1) <= int64(b.N); i++ {
				if err := work(c, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "events/s")
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{16, 64} {
		b.Run(fmt.Sprintf("plain/clients=%d", n), func(b *testing.B) { benchmarkPlain(b, n) })
		b.Run(fmt.Sprintf("store/clients=%d", n), func(b *testing.B) { benchmarkStore(b, n) })
	}
}

func benchmarkPlain(b *testing.B, n int) {
	dsn := pgtest.Database(b)
	conns := make([]*pgx.Conn, n)
	for i := range conns {
		conns[i] = connect(b, dsn)
	}
	run(b, conns[0], plainTable)
	clients(b, n, func(c, i int) error {
		now := time.Now()
		_, err := conns[c].Exec(b.Context(), plainInsert, banyan.NewID(), "order-"+strconv.Itoa(c)+"-"+strconv.Itoa(i/10), i%10+1,
			"order.placed", 1, now, now, "/shop/orders", payload, `{"correlation":"0190a1b2-c3d4-7000-8000-1234567890ab","actor":"customer-17850"}`, 4711)
		return err
	})
}

func benchmarkStore(b *testing.B, n int) {
	db := open(b, pgtest.Database(b), nil)
	s, err := db.Store(nil)
	if err != nil {
		b.Fatal(err)
	}
	clients(b, n, func(c, i int) error {
		_, err := s.Append(b.Context(), "order-"+strconv.Itoa(c)+"-"+strconv.Itoa(i/10), store.Exact(banyan.Revision(i%10)), fact())
		return err
	})
}

// BenchmarkRead reads the whole log; ns/op is for one event.
func BenchmarkRead(b *testing.B) {
	const total = 300_000
	for _, size := range []int{1, 16} {
		dsn := pgtest.Database(b)
		db := open(b, dsn, nil)
		s, err := db.Store(nil)
		if err != nil {
			b.Fatal(err)
		}
		conn := connect(b, dsn)
		fillLog(b, s, conn, total, size)
		b.Run(fmt.Sprintf("plain/batch=%d", size), func(b *testing.B) {
			for read := 0; read < b.N; read += total {
				readPlain(b, conn, total)
			}
		})
		b.Run(fmt.Sprintf("store/batch=%d", size), func(b *testing.B) {
			for read := 0; read < b.N; read += total {
				n := 0
				for _, err := range s.All(b.Context(), 0, store.Filter{}) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != total {
					b.Fatalf("read %d events of %d", n, total)
				}
			}
		})
	}
}

func readPlain(b *testing.B, conn *pgx.Conn, total int) {
	rows, err := conn.Query(b.Context(), plainSelect)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	var position, revision, checksum int64
	var id, stream, kind, source, meta string
	var schema int32
	var at, recorded time.Time
	var data []byte
	for rows.Next() {
		if err := rows.Scan(&position, &id, &stream, &revision, &kind, &schema, &at, &recorded, &source, &data, &meta, &checksum); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if rows.Err() != nil || n != total {
		b.Fatalf("read %d events of %d: %v", n, total, rows.Err())
	}
}

// fillLog stores total events, size in each batch, and the same rows plainly.
func fillLog(b *testing.B, s *store.Store, conn *pgx.Conn, total, size int) {
	run(b, conn, plainTable)
	for stored := 0; stored < total; stored += 4800 {
		writes := make([]store.Write, 480)
		for i := range writes {
			writes[i] = store.Write{Stream: "order-" + strconv.Itoa(stored+i), Events: make([]banyan.Event, 10)}
			for j := range writes[i].Events {
				writes[i].Events[j] = fact()
			}
		}
		if stored+4800 > total {
			writes = writes[:(total-stored)/10]
		}
		if _, err := s.AppendAll(b.Context(), writes...); err != nil {
			b.Fatal(err)
		}
	}
	// Cut the large batches that are quick to write into those that clients make.
	run(b, conn, `update banyan.events set batch = 1000000 + (batch * 4800 + idx) / `+strconv.Itoa(size)+`, idx = (batch * 4800 + idx) % `+strconv.Itoa(size))
	run(b, conn, `delete from banyan.queue; insert into banyan.queue select batch, count(*) from banyan.events group by batch`)
	run(b, conn, `insert into plain (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum)
		select id, stream, revision, type, schema, time, recorded, source, data, meta, checksum from banyan.events order by batch, idx`)
	run(b, conn, `vacuum full analyze banyan.events; vacuum analyze banyan.queue; vacuum analyze plain`)
	if _, err := s.Head(b.Context()); err != nil {
		b.Fatal(err)
	}
	run(b, conn, `vacuum analyze banyan.log; vacuum analyze banyan.queue`)
	run(b, conn, `checkpoint`)
}

// connect returns a plain connection that is closed with the test.
func connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// run runs statements one after another.
func run(t testing.TB, conn *pgx.Conn, text string) {
	t.Helper()
	for _, one := range bytes.Split([]byte(text), []byte(";")) {
		if _, err := conn.Exec(t.Context(), string(one)); err != nil {
			t.Fatalf("%s: %v", one, err)
		}
	}
}
