package orders_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/orders"
)

// long returns an invoice on which every hundredth line is free of charge, which
// is refused.
func long(number string, lines int, quantity string) orders.Invoice {
	all := make([]orders.Line, lines)
	for i := range all {
		price := "2.55"
		if i%100 == 99 {
			price = "0"
		}
		all[i] = line(fmt.Sprintf("8512%d", i%3000), quantity, price)
		all[i].Description = "WHITE HANGING HEART T-LIGHT HOLDER"
	}
	return invoice(number, all...)
}

// maxEvent is what a store takes unless it is told otherwise.
const maxEvent = 4 << 20

// wide returns an invoice with texts that have more bytes as JSON than as text.
func wide(number string) orders.Invoice {
	all := make([]orders.Line, 10)
	for i := range all {
		all[i] = line("85123A", fmt.Sprint(i%2), "1")
		all[i].Description = strings.Repeat("\x01", 400_000+i)
	}
	return invoice(number, all...)
}

// A long invoice is stored as several events, which together are the invoice.
func TestLongInvoices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		inv  orders.Invoice
		most int // events
	}{
		"nothing":        {invoice("1"), 1},
		"usual":          {long("1", 3, "6"), 1},
		"longest known":  {long("1", 1200, "6"), 1},
		"order":          {long("1", 25_000, "6"), 20},
		"rejected order": {long("1", 25_000, "0"), 20},
		"return":         {long("C1", 25_000, "-6"), 20},
		"stray":          {long("A1", 25_000, "6"), 20},
		"wide texts":     {wide("1"), 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdict := orders.Judge(tc.inv)
			var events []any
			var err error
			var whole, folded any
			if orders.KindOf(tc.inv.Number) == orders.AReturn {
				state := orders.Return{}
				events, err = orders.Accept(verdict)(state)
				for _, e := range events {
					state = state.Apply(e)
				}
				whole, folded = orders.Return{}.Apply(verdict.Fact), state
			} else {
				state := orders.Order{}
				events, err = orders.Place(verdict)(state)
				for _, e := range events {
					state = state.Apply(e)
				}
				whole, folded = orders.Order{}.Apply(verdict.Fact), state
			}
			if err != nil || len(events) < 1 || len(events) > tc.most {
				t.Errorf("got %d events and error %v, want 1 to %d", len(events), err, tc.most)
			}
			if diff := cmp.Diff(whole, folded); diff != "" {
				t.Errorf("the state (-of the whole fact +of the events):\n%.2000s", diff)
			}
			before := 0
			for i, fact := range events {
				e, err := orders.Types.Encode(fact)
				if err != nil || len(e.Data) > maxEvent {
					t.Errorf("event %d: %d bytes, error %v, want at most %d", i, len(e.Data), err, maxEvent)
				}
				if got := billOf(t, fact).Before; got != before {
					t.Errorf("event %d: %d lines before it, want %d", i, got, before)
				}
				items, refused := linesOf(t, fact)
				if before += len(items) + len(refused); i == 0 && len(items) == 0 && !rejected(fact) {
					t.Error("the first event has no items")
				}
			}
			if before != len(tc.inv.Lines) {
				t.Errorf("the events have %d lines, the invoice %d", before, len(tc.inv.Lines))
			}
		})
	}
}

func billOf(t *testing.T, fact any) orders.Bill {
	t.Helper()
	switch f := fact.(type) {
	case orders.Placed:
		return f.Bill
	case orders.Returned:
		return f.Bill
	case orders.Rejected:
		return f.Bill
	case orders.Pending:
		return f.Bill
	case orders.Declined:
		return f.Bill
	}
	t.Fatalf("fact %T", fact)
	return orders.Bill{}
}

func rejected(fact any) bool { _, ok := fact.(orders.Rejected); return ok }

func TestALongInvoiceIsStillOne(t *testing.T) {
	t.Parallel()
	good, other := orders.Judge(long("1", 25_000, "6")), orders.Judge(long("1", 25_000, "7"))
	events, err := orders.Place(good)(orders.Order{})
	if err != nil {
		t.Fatal(err)
	}
	placed := banyantest.Aggregate[orders.Order](t, "order", orders.Types).Given(events...)
	placed.When(orders.Place(good)).Then()
	placed.When(orders.Place(other)).ThenError(banyan.ErrExists)
}

// What was stored once says for ever which lines an event begins with.
func TestPartsStayReadable(t *testing.T) {
	t.Parallel()
	for _, name := range orders.Types.Names() {
		values, err := orders.Types.Decode(banyan.Event{Type: name, Schema: 1, Data: []byte(`{"number":"1","before":7}`)})
		if err != nil || len(values) != 1 {
			t.Fatalf("%s: got %v and error %v", name, values, err)
		}
		if bill := billOf(t, values[0]); bill.Before != 7 || bill.First() {
			t.Errorf("%s: got %+v, want an event after 7 lines", name, bill)
		}
	}
}

// A text that is in the reason of every line must not multiply.
func TestReasonsAreShort(t *testing.T) {
	t.Parallel()
	number := invoice("A"+strings.Repeat("9", 10_000), line("a", "1", "1"))
	date := invoice("1", line("a", "1", "1"))
	date.Date = strings.Repeat("x", 10_000)
	for _, inv := range []orders.Invoice{number, date} {
		fact, ok := orders.Judge(inv).Fact.(orders.Rejected)
		if n := len(fact.Refused[0].Reason); !ok || n > 200 {
			t.Errorf("got %T with a reason of %d bytes, want a rejection with a short one", fact, n)
		}
	}
}
