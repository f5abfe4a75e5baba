package monolith_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/monolith"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, path string, o *monolith.Options) *monolith.Shop {
	t.Helper()
	s, err := monolith.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func invoice(number string, lines ...orders.Line) orders.Invoice {
	for i := range lines {
		lines[i].Row = i + 2
	}
	return orders.Invoice{Number: number, Date: "2010-12-01T08:26:00Z", Customer: "17850", Country: "France", Lines: lines}
}

func line(code, quantity, price string) orders.Line {
	return orders.Line{StockCode: code, Quantity: quantity, UnitPrice: price}
}

// The same invoices get the same answers as from the service, also after a
// restart.
func TestAnswersLikeTheService(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop with blanks?.db")
	instant := &monolith.Options{Latency: -1}
	s, err := monolith.Open(t.Context(), path, instant)
	if err != nil {
		t.Fatal(err)
	}
	invoices := []orders.Invoice{
		invoice("1", line("a", "6", "2.55"), line("b", "0", "1")),
		invoice("C2", line("a", "-1", "2.55")),
		invoice("3", line("a", "-1", "1")),
		invoice("A4", line("a", "1", "1")),
	}
	for _, inv := range invoices {
		first, err := s.Post(t.Context(), inv)
		if err != nil || first.Repeated {
			t.Fatalf("%s: %+v, %v", inv.Number, first, err)
		}
		want := orders.Order{}.Apply(orders.Judge(inv).Fact).Receipt()
		if inv.Number == "C2" {
			want = orders.Return{}.Apply(orders.Judge(inv).Fact).Receipt()
		}
		if diff := cmp.Diff(want, first.Receipt); diff != "" {
			t.Errorf("%s (-service +monolith):\n%s", inv.Number, diff)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, instant)
	for _, inv := range invoices {
		again, err := s.Post(t.Context(), inv)
		if err != nil || !again.Repeated {
			t.Errorf("%s again: %+v, %v", inv.Number, again, err)
		}
		found, err := s.Find(t.Context(), inv.Number)
		if err != nil {
			t.Fatal(err)
		}
		// The lists of lines are nil or empty: both mean none.
		if again.Rejected = slices.Clip(again.Rejected); len(again.Rejected) == 0 {
			again.Rejected = nil
		}
		if diff := cmp.Diff(again.Receipt, found); diff != "" {
			t.Errorf("%s (-posted +found):\n%s", inv.Number, diff)
		}
		inv.Country = "Spain"
		if _, err := s.Post(t.Context(), inv); !errors.Is(err, banyan.ErrExists) {
			t.Errorf("%s with other content: %v", inv.Number, err)
		}
	}
	if _, err := s.Find(t.Context(), "404"); !errors.Is(err, banyan.ErrNotFound) {
		t.Errorf("unknown invoice: %v", err)
	}
}

func TestDependenciesAreCalledInARow(t *testing.T) {
	t.Parallel()
	var called []string
	down := ""
	s := open(t, filepath.Join(t.TempDir(), "shop.db"), &monolith.Options{
		Call: func(_ context.Context, dependency string, o orders.Placed) error {
			called = append(called, dependency+" "+o.Number)
			if dependency == down {
				return errors.New("no answer")
			}
			return nil
		},
	})
	if _, err := s.Post(t.Context(), invoice("1", line("a", "1", "1"))); err != nil {
		t.Fatal(err)
	}
	if want := []string{"payment 1", "stock 1", "shipping 1", "loyalty 1", "mail 1"}; !slices.Equal(called, want) {
		t.Errorf("called %v, want %v", called, want)
	}
	down = "loyalty"
	if _, err := s.Post(t.Context(), invoice("2", line("a", "1", "1"))); !errors.Is(err, banyan.ErrUnavailable) || !strings.Contains(err.Error(), "loyalty") {
		t.Errorf("with loyalty down: %v", err)
	}
	if _, err := s.Find(t.Context(), "2"); !errors.Is(err, banyan.ErrNotFound) {
		t.Errorf("the order was recorded nevertheless: %v", err)
	}
	called = nil
	for _, inv := range []orders.Invoice{invoice("C3", line("a", "-1", "1")), invoice("A4", line("a", "1", "1")), invoice("1", line("a", "1", "1"))} {
		if _, err := s.Post(t.Context(), inv); err != nil {
			t.Error(err)
		}
	}
	if called != nil {
		t.Errorf("returns, rejections and repetitions called %v", called)
	}
}

func TestAnswerTakesTheSumOfAll(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "shop.db"), &monolith.Options{Latency: 10 * time.Millisecond})
	start := time.Now()
	if _, err := s.Post(t.Context(), invoice("1", line("a", "1", "1"))); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("five calls of 10 ms took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Post(ctx, invoice("2", line("a", "1", "1"))); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestConcurrentPosts(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "shop.db"), &monolith.Options{Latency: -1})
	mux := http.NewServeMux()
	orders.ServeDesk(api.New(mux, "monolith"), s)
	body, err := json.Marshal(invoice("1", line("a", "1", "1")))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	statuses := make([]int, 20)
	for i := range statuses {
		wg.Go(func() {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/orders", bytes.NewReader(body))
			req.Header.Set("Idempotency-Key", "1")
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, req)
			statuses[i] = w.Code
		})
	}
	wg.Wait()
	slices.Sort(statuses)
	if want := append(slices.Repeat([]int{200}, 19), 201); !slices.Equal(statuses, want) {
		t.Errorf("statuses %v: want one 201 and 200 for all others", statuses)
	}
}
