package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/internal/pgtest"
	"github.com/banyanhq/banyan/store"
)

// TestKill kills the server under load: what was acknowledged is there, once,
// and an append of unknown outcome is mended by sending it again.
func TestKill(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, nil)
	db := open(t, server.DSN("postgres"), nil)
	s, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	committed := map[string]bool{}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	for n := range 8 {
		writing.Go(func() {
			stream := fmt.Sprintf("s-%d", n)
			for revision := banyan.Revision(0); ; revision++ {
				select {
				case <-stop:
					return
				default:
				}
				e := fact()
				e.ID = banyan.NewID()
				if !insist(t, s, stream, store.Exact(revision), e) {
					return
				}
				mu.Lock()
				committed[e.ID] = true
				mu.Unlock()
			}
		})
	}
	for round := range 3 {
		want := 200 * (round + 1)
		wait(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(committed) >= want || t.Failed() })
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
		if err := server.Start(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writing.Wait()
	got := follow(t, s, 100, closed())
	wantNoFaults(t, "a reader", audit(got, committed, nil))
	report, err := s.Verify(t.Context(), nil)
	if err != nil || !report.OK() {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// insist sends an append until its outcome is known and reports whether it was
// stored.
func insist(t testing.TB, s *store.Store, stream string, expect store.Expect, e banyan.Event) bool {
	stored := false
	wait(t, func() bool {
		_, err := s.Append(t.Context(), stream, expect, e)
		stored = err == nil
		if err != nil && !banyan.Retryable(err) {
			t.Errorf("append: %v", err)
			return true
		}
		return stored
	})
	return stored
}

// wait polls until done, for at most a minute.
func wait(t testing.TB, done func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for tick := time.NewTicker(2 * time.Millisecond); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Error("it did not happen within a minute")
			return
		}
	}
}
