package demo

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/banyanhq/banyan/example/shop/orders"
)

// The last order is settled between the question where the log ends and the one who
// still waits: the end has to be the one after its outcome.
func TestSettledEndIsAfterTheLastOutcome(t *testing.T) {
	t.Parallel()
	var settled atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, _ *http.Request) {
		e := end{Events: 1, Token: "pending"}
		if settled.Load() {
			e = end{Events: 2, Token: "settled"}
		}
		_ = json.NewEncoder(w).Encode(e)
	})
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) {
		settled.Store(true)
		_ = json.NewEncoder(w).Encode(orders.PastOrders{Items: []orders.PastOrder{}})
	})
	shop := httptest.NewServer(mux)
	t.Cleanup(shop.Close)
	c := newClient(shop.Listener.Addr().String(), 1)
	t.Cleanup(c.close)
	if e, err := c.settledEnd(t.Context()); err != nil || e.Events != 2 || e.Token != "settled" {
		t.Errorf("the log ends at %+v, %v: want after 2 events", e, err)
	}
}
