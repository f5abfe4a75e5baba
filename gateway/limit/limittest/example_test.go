package limittest_test

import (
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/limittest"
)

// The tests of a store. (Compiled, not run: they need a testing.T.)
func ExampleRun() {
	start := func(t testing.TB) limittest.Server {
		memory, err := limit.NewMemory(nil) // a new, empty database
		if err != nil {
			t.Fatal(err)
		}
		return limittest.Server{Open: func(testing.TB) limit.Store { return memory }} // a connection to it
	}
	_ = func(t *testing.T) { // func TestStore
		limittest.Run(t, limittest.Harness{New: start})
		limittest.Exact(t, start, 3*time.Second, nil)
	}
}
