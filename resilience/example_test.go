package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

// A client of the users service: slow and broken answers are tried again within
// a budget, and a service that is down is left alone.
func ExamplePolicy_Transport() {
	tries := 0
	users := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "Ada")
	}))
	defer users.Close()

	policy, err := resilience.New("users", &resilience.Options{
		Timeout:  time.Second,
		Deadline: &resilience.Deadline{},
		Retry:    &resilience.Retry{Backoff: time.Millisecond},
		Breaker:  &resilience.Breaker{},
		Bulkhead: &resilience.Bulkhead{Max: 50},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: policy.Transport(nil)}
	defer client.CloseIdleConnections()

	resp, err := client.Get(users.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	name, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s after %d tries\n", name, tries)
	// Output: Ada after 3 tries
}

// Degraded mode: while the users service is down, orders are accepted and
// validated later.
func ExamplePolicy_Do() {
	policy, err := resilience.New("users", &resilience.Options{
		Breaker: &resilience.Breaker{MinCalls: 3},
		Fallback: &resilience.Fallback{Do: func(_ context.Context, cause error) error {
			if errors.Is(cause, banyan.ErrUnavailable) {
				fmt.Println("accepted as PENDING_VALIDATION")
				return nil
			}
			return cause
		}},
		Hooks: &resilience.Hooks{OnBreaker: func(policy string, from, to resilience.State) {
			fmt.Printf("%s: %v -> %v\n", policy, from, to)
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 4 {
		err := policy.Do(context.Background(), func(context.Context) error {
			return fmt.Errorf("users: get 7: %w", banyan.ErrUnavailable)
		})
		if err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// accepted as PENDING_VALIDATION
	// accepted as PENDING_VALIDATION
	// users: closed -> open
	// accepted as PENDING_VALIDATION
	// accepted as PENDING_VALIDATION
}

// A server that never does more than it can.
func ExamplePolicy_Handler() {
	policy, err := resilience.New("orders", &resilience.Options{
		Timeout:  20 * time.Millisecond,
		Bulkhead: &resilience.Bulkhead{Max: 100},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	w := httptest.NewRecorder()
	policy.Handler(slow).ServeHTTP(w, httptest.NewRequest("GET", "/orders/17", nil))
	fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	// Output: 504 {"title":"Gateway Timeout","status":504,"detail":"It took too long. Send the same request again.","kind":"timeout","retryable":true}
}
