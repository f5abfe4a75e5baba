package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/limittest"
	"github.com/banyanhq/banyan/internal/long"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/postgres"
)

// limits returns the limits of a database as one more process would have them.
func limits(t testing.TB, dsn string) *postgres.Limits {
	t.Helper()
	l, err := open(t, dsn, nil).Limits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// limitServer is a database that processes share.
func limitServer(t testing.TB) limittest.Server {
	dsn := pgtest.Database(t)
	return limittest.Server{Open: func(t testing.TB) limit.Store { return limits(t, dsn) }}
}

// swept sweeps after each call, which must change nothing.
type swept struct{ *postgres.Limits }

func (s swept) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	results, err := s.Limits.Take(ctx, requests)
	if err == nil {
		_, err = s.Sweep(ctx)
	}
	return results, err
}

// The table is unlogged, so that a crash makes all buckets full.
func TestLimits(t *testing.T) {
	t.Parallel()
	limittest.Run(t, limittest.Harness{
		New: func(t testing.TB) limittest.Server {
			dsn := pgtest.Database(t)
			return limittest.Server{
				Open: func(t testing.TB) limit.Store { return swept{limits(t, dsn)} },
				Shift: func(t testing.TB, by time.Duration) {
					conn, err := pgx.Connect(t.Context(), dsn)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close(t.Context()) //nolint:errcheck // a test's
					if _, err := conn.Exec(t.Context(), `update banyan.limits set tat = tat - $1`, int64(by)); err != nil {
						t.Fatal(err)
					}
				},
			}
		},
		Mortal: func(t testing.TB) limittest.Server {
			server := pgtest.Start(t, nil)
			must := func(do func() error) func(testing.TB) {
				return func(t testing.TB) {
					if err := do(); err != nil {
						t.Fatal(err)
					}
				}
			}
			return limittest.Server{
				Open: func(t testing.TB) limit.Store { return limits(t, server.DSN("postgres")) },
				Kill: must(server.Kill), Start: must(server.Start), Forgets: true,
			}
		},
	})
}

// R39.
func TestLimitsAreExactAcrossProcesses(t *testing.T) {
	t.Parallel()
	limittest.Exact(t, limitServer, long.Duration(3*time.Second, 2*time.Minute), func(t testing.TB, format string, args ...any) {
		long.Report(t, "R39", format, args...)
	})
}

func TestLimitsSweep(t *testing.T) {
	t.Parallel()
	store := limits(t, pgtest.Database(t))
	charge := func(key string, cost time.Duration) limit.Request { return limittest.Request(key, cost, 0, time.Hour) }
	batch := []limit.Request{charge("empty", time.Hour), charge("free", 0)}
	const short = 3000 // more blocks than are swept at once
	for i := range short {
		batch = append(batch, charge(fmt.Sprint("short", i), time.Microsecond))
	}
	if _, err := store.Take(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	n, err := store.Sweep(t.Context())
	if err != nil || n != short+1 {
		t.Errorf("swept %d, %v, want %d", n, err, short+1)
	}
	results, err := store.Take(t.Context(), []limit.Request{charge("empty", time.Hour), charge("short1", time.Hour)})
	if err != nil || results[0].Allowed || !results[1].Allowed {
		t.Errorf("after the sweep: %+v, %v; want that empty is refused and short1 allowed", results, err)
	}
}

// BenchmarkLimits is one busy process: 64 requests at a time of 10,000 clients.
func BenchmarkLimits(b *testing.B) {
	key := func(r *http.Request) string { return r.RemoteAddr }
	all, asked := limittest.Processes(b, limitServer(b), 1, limit.Rule{Rate: limit.Rate{Count: 1000, Per: time.Second}, Key: key})
	b.ResetTimer()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for pb.Next() {
			r.RemoteAddr = fmt.Sprint(rand.IntN(10_000))
			if d := all[0].Decide(r); d.Err != nil {
				b.Error(d.Err)
			}
		}
	})
	b.ReportMetric(float64(asked.Requests.Load())/float64(asked.Calls.Load()), "requests/call")
}
