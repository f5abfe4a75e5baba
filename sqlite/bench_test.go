package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// The benchmarks come in pairs: "bare" is the driver through database/sql with
// one prepared statement on the same table with the same indexes, "store" is
// this package. Compare the events/s of a pair from one run.

var payload = []byte(`{"invoice":"536365","customer":"17850","country":"United Kingdom","lines":[{"code":"85123A","quantity":6,"price":"2.55"}]}`)

func benchEvent() banyan.Event {
	return banyan.Event{Type: "order.placed", Source: "/shop/orders", Data: payload, Meta: banyan.Metadata{Correlation: "536365", Actor: "17850"}}
}

func benchStore(b *testing.B) *store.Store {
	db := open(b, filepath.Join(b.TempDir(), "bench.db"), nil)
	s, err := db.Store(nil)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// bare opens the file of a new DB with the driver alone.
func bare(b *testing.B) *sql.DB {
	path := filepath.Join(b.TempDir(), "bare.db")
	open(b, path, nil)
	return bareOpen(b, path)
}

func bareOpen(t testing.TB, path string) *sql.DB {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-32768)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func bareInsert(rows int) string {
	return `INSERT INTO banyan_events (id, stream, revision, type, schema, time, recorded, source, data, meta, checksum) VALUES ` +
		strings.TrimSuffix(strings.Repeat(`(?,?,?,?,?,?,?,?,?,?,?),`, rows), ",")
}

func bareRow(args []any, stream string, revision int) []any {
	now := time.Now().UnixMicro()
	return append(args, banyan.NewID(), stream, revision, "order.placed", 1, now, now, "/shop/orders", payload, []byte(`{"correlation":"536365","actor":"17850"}`), 12345678)
}

func perSecond(b *testing.B, events int) {
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendOne(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		db := bare(b)
		db.SetMaxOpenConns(1)
		insert, err := db.Prepare(bareInsert(1))
		if err != nil {
			b.Fatal(err)
		}
		defer insert.Close()
		n := 0
		for b.Loop() {
			n++
			if _, err := insert.Exec(bareRow(nil, fmt.Sprint("order-", n), 1)...); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, n)
	})
	b.Run("store/clients=64", func(b *testing.B) {
		s := benchStore(b)
		var n atomic.Int64
		b.SetParallelism(32) // of 2 CPUs
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := s.Append(context.Background(), fmt.Sprint("order-", n.Add(1)), store.NoStream, benchEvent()); err != nil {
					b.Error(err)
				}
			}
		})
		perSecond(b, b.N)
	})
}

func BenchmarkAppendHundred(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		db := bare(b)
		db.SetMaxOpenConns(1)
		insert, err := db.Prepare(bareInsert(100))
		if err != nil {
			b.Fatal(err)
		}
		defer insert.Close()
		n := 0
		for b.Loop() {
			n++
			stream := fmt.Sprint("order-", n)
			args := make([]any, 0, 1100)
			for i := range 100 {
				args = bareRow(args, stream, i+1)
			}
			if _, err := insert.Exec(args...); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, 100*n)
	})
	b.Run("store", func(b *testing.B) {
		s := benchStore(b)
		n := 0
		for b.Loop() {
			n++
			events := make([]banyan.Event, 100)
			for i := range events {
				events[i] = benchEvent()
			}
			if _, err := s.Append(context.Background(), fmt.Sprint("order-", n), store.NoStream, events...); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, 100*n)
	})
}

func BenchmarkReadAll(b *testing.B) {
	const events = 200_000
	path := filepath.Join(b.TempDir(), "read.db")
	db := open(b, path, nil)
	s, err := db.Store(nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range events / 1000 {
		batch := make([]banyan.Event, 1000)
		for j := range batch {
			batch[j] = benchEvent()
		}
		if _, err := s.Append(context.Background(), fmt.Sprint("order-", i), store.NoStream, batch...); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("bare", func(b *testing.B) {
		raw := bareOpen(b, path)
		n := 0
		for b.Loop() {
			n += bareRead(b, raw)
		}
		perSecond(b, n)
	})
	b.Run("store", func(b *testing.B) {
		n := 0
		for b.Loop() {
			for _, err := range s.All(context.Background(), 0, store.Filter{}) {
				if err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		perSecond(b, n)
	})
}

func bareRead(b *testing.B, db *sql.DB) int {
	rows, err := db.Query(`SELECT position, id, stream, revision, type, schema, time, recorded, source, data, meta, checksum FROM banyan_events ORDER BY position`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var r store.Record
		if err := rows.Scan(&r.Position, &r.ID, &r.Stream, &r.Revision, &r.Type, &r.Schema, &r.Time, &r.Recorded, &r.Source, &r.Data, &r.Meta, &r.Checksum); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if rows.Err() != nil {
		b.Fatal(rows.Err())
	}
	return n
}
