package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/internal/pgtest"
)

// A database whose default is another isolation level decides all the same:
// nobody's call fails because another process took from the same bucket.
func TestLimitsUnderAnyIsolation(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	limits(t, dsn) // creates the table
	sep := "?"
	if strings.Contains(dsn, "?") {
		sep = "&"
	}
	dsn += sep + "default_transaction_isolation=serializable"
	var wg sync.WaitGroup
	var mu sync.Mutex
	passed := 0
	for range 3 {
		l := limits(t, dsn)
		wg.Go(func() {
			for i := range 200 {
				charges := []limit.Charge{{Key: "0123456789abcdef", Cost: time.Hour, Capacity: 100 * time.Hour}, {Key: fmt.Sprintf("%016d", i), Cost: 0, Capacity: time.Hour}}
				got, err := l.Take(t.Context(), []limit.Request{{Charges: charges}})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if got[0].Allowed {
					passed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if passed != 100 {
		t.Errorf("%d came through, want 100", passed)
	}
}
