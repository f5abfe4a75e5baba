package orders_test

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func invoice(number string, lines ...orders.Line) orders.Invoice {
	for i := range lines {
		lines[i].Row = i + 2
	}
	return orders.Invoice{
		Number: number, Date: "2010-12-01T08:26:00Z", Customer: "17850", Country: "United Kingdom",
		Source: "month.csv", Lines: lines,
	}
}

func line(code, quantity, price string) orders.Line {
	return orders.Line{StockCode: code, Description: "a thing", Quantity: quantity, UnitPrice: price}
}

func TestLinesAreJudgedOneByOne(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("9", 40)
	for _, tc := range []struct {
		name   string
		number string
		line   orders.Line
		reason string // "" when the line is valid
	}{
		{"plain", "1", line("85123A", "6", "2.55"), ""},
		{"whole with zeros", "1", line("85123A", "6.00", "2.550"), ""},
		{"signs and blanks", "1", line("85123A", " +6 ", "+2"), ""},
		{"largest quantity", "1", line("a", strconv.Itoa(math.MaxInt64), "0.001"), ""},
		{"forty digits", "1", line("a", "1", digits), ""},
		{"no stock code", "1", line(" ", "6", "2.55"), "stock code is missing"},
		{"nothing sold", "1", line("a", "0", "2.55"), `quantity "0" is not above 0`},
		{"order with negative quantity", "1", line("a", "-1", "2.55"), `quantity "-1" is not above 0`},
		{"free", "1", line("a", "6", "0.0"), `unit price "0.0" is not above 0`},
		{"negative price", "1", line("a", "6", "-11062.06"), `unit price "-11062.06" is not above 0`},
		{"half a piece", "1", line("a", "6.5", "1"), `quantity "6.5" is not a whole number`},
		{"more than an integer", "1", line("a", "9223372036854775808", "1"), `quantity "9223372036854775808" is out of range`},
		{"exponent", "1", line("a", "1e3", "1E-2"), `quantity "1e3" is not a number in plain digits; unit price "1E-2" is not a number in plain digits`},
		{"not numbers", "1", line("a", "NaN", "0x10"), `quantity "NaN" is not a number in plain digits; unit price "0x10" is not a number in plain digits`},
		{"two signs", "1", line("a", "--1", "+-1"), `quantity "--1" is not a number in plain digits; unit price "+-1" is not a number in plain digits`},
		{"points only", "1", line("a", ".", "1.2.3"), `quantity "." is not a number in plain digits; unit price "1.2.3" is not a number in plain digits`},
		{"empty", "1", line("", "", ""), "stock code is missing; quantity is missing; unit price is missing"},
		{"long", "1", line("a", "1", digits+"0"), "unit price has 41 characters, more than 40"},
		{"return", "C1", line("a", "-6.0", "2.55"), ""},
		{"smallest quantity", "C1", line("a", strconv.Itoa(math.MinInt64), "1"), ""},
		{"return with positive quantity", "C1", line("a", "6", "2.55"), `quantity "6" is not below 0, as on a return`},
		{"return of nothing", "C1", line("a", "0", "1"), `quantity "0" is not below 0, as on a return`},
		{"free return", "C1", line("a", "-6", "0"), `unit price "0" is not above 0`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			good := line("good", map[bool]string{true: "-1", false: "1"}[tc.number[0] == 'C'], "1")
			items, refused := linesOf(t, orders.Judge(invoice(tc.number, good, tc.line)).Fact)
			if tc.reason == "" {
				if len(items) != 2 || len(refused) != 0 {
					t.Fatalf("accepted %v, refused %v: want both lines accepted", items, refused)
				}
				return
			}
			want := tc.line
			want.Row = 3
			if diff := cmp.Diff([]orders.Refusal{{Line: want, Reason: tc.reason}}, refused); diff != "" || len(items) != 1 {
				t.Fatalf("accepted %v, refused (-want +got):\n%s", items, diff)
			}
		})
	}
}

func linesOf(t *testing.T, fact any) ([]orders.Item, []orders.Refusal) {
	t.Helper()
	switch f := fact.(type) {
	case orders.Placed:
		return f.Items, f.Refused
	case orders.Returned:
		return f.Items, f.Refused
	case orders.Rejected:
		return nil, f.Refused
	}
	t.Fatalf("fact %T", fact)
	return nil, nil
}

func TestInvoicesAreRejectedWhole(t *testing.T) {
	t.Parallel()
	good := line("a", "1", "1")
	undated := invoice("1", good)
	undated.Date = "yesterday"
	ancient := invoice("1", good)
	ancient.Date = "0001-01-01T00:00:00+01:00"
	for name, tc := range map[string]struct {
		inv    orders.Invoice
		reason string
	}{
		"adjustment":    {invoice("A563185", good), `number "A563185" starts neither with a digit nor with C`},
		"small c":       {invoice("c1", good), `number "c1" starts neither with a digit nor with C`},
		"no number":     {invoice("", good), `number "" starts neither with a digit nor with C`},
		"no date":       {undated, `date "yesterday" cannot be read`},
		"before year 1": {ancient, `date "0001-01-01T00:00:00+01:00" is out of range`},
		"no line":       {invoice("1"), "it has no valid line"},
		"no valid line": {invoice("1", line("a", "-1", "1")), "it has no valid line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fact, ok := orders.Judge(tc.inv).Fact.(orders.Rejected)
			if !ok || fact.Reason != tc.reason {
				t.Fatalf("Judge = %+v, want a rejection because %s", fact, tc.reason)
			}
			if len(fact.Refused) != len(tc.inv.Lines) {
				t.Fatalf("%d lines refused of %d", len(fact.Refused), len(tc.inv.Lines))
			}
		})
	}
}

func TestAmountsAreExact(t *testing.T) {
	t.Parallel()
	lines := make([]orders.Line, 1000)
	for i := range lines {
		lines[i] = line("a", "3", "0.001")
	}
	placed, ok := orders.Judge(invoice("1", lines...)).Fact.(orders.Placed)
	if want := decimal.RequireFromString("3"); !ok || !placed.Total().Equal(want) {
		t.Errorf("Total = %v, want %v", placed.Total(), want)
	}
	returned, ok := orders.Judge(invoice("C1", line("a", "-3", "1.155"))).Fact.(orders.Returned)
	if want := decimal.RequireFromString("3.465"); !ok || !returned.Refund().Equal(want) {
		t.Errorf("Refund = %v, want %v", returned.Refund(), want)
	}
}

// What a file says about an invoice is its content; where it says it is not.
func TestContent(t *testing.T) {
	t.Parallel()
	base := orders.Judge(invoice("1", line("a", "1", "1"), line("b", "2", "2"))).Content
	moved := invoice("1", line("a", "1", "1"), line("b", "2", "2"))
	moved.Source, moved.Lines[0].Row = "other.csv", 99
	if got := orders.Judge(moved).Content; got != base {
		t.Errorf("content changed with source and row")
	}
	for name, change := range map[string]func(*orders.Invoice){
		"number":   func(i *orders.Invoice) { i.Number = "2" },
		"date":     func(i *orders.Invoice) { i.Date = "2010-12-01T08:27:00Z" },
		"customer": func(i *orders.Invoice) { i.Customer = "" },
		"country":  func(i *orders.Invoice) { i.Country = "France" },
		"code":     func(i *orders.Invoice) { i.Lines[0].StockCode = "c" },
		"text":     func(i *orders.Invoice) { i.Lines[0].Description = "another thing" },
		"quantity": func(i *orders.Invoice) { i.Lines[0].Quantity = "3" },
		"price":    func(i *orders.Invoice) { i.Lines[0].UnitPrice = "3" },
		"fewer":    func(i *orders.Invoice) { i.Lines = i.Lines[:1] },
		"border":   func(i *orders.Invoice) { i.Lines[0].StockCode, i.Lines[0].Description = "aa", " thing" },
	} {
		inv := invoice("1", line("a", "1", "1"), line("b", "2", "2"))
		change(&inv)
		if orders.Judge(inv).Content == base {
			t.Errorf("%s: other content has the same fingerprint", name)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, number := range []string{"", "536365", "C536379", "_empty", "a b", "1\n2", "1/2", "1é", strings.Repeat("1", 600), strings.Repeat("1", 601), "_"} {
		key := orders.Key(number)
		if other, twice := seen[key]; twice {
			t.Errorf("%q and %q have the key %q", number, other, key)
		}
		seen[key] = number
		if len(key) > 100 || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") != "" {
			t.Errorf("key %q of %q cannot be part of a stream's name", key, number)
		}
	}
	if orders.Key("536365") != "536365" || orders.Key("") != "_empty" {
		t.Errorf("usual numbers have to stay readable: %v", seen)
	}
}

func TestOneInvoicePerNumber(t *testing.T) {
	t.Parallel()
	first := orders.Judge(invoice("1", line("a", "1", "1")))
	events, err := orders.Place(first)(orders.Order{})
	if err != nil || len(events) != 1 {
		t.Fatalf("Place = %v, %v", events, err)
	}
	placed := orders.Order{}.Apply(events[0])
	if placed.Status != orders.StatusAccepted || !placed.Date.Equal(time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)) {
		t.Errorf("state %+v", placed)
	}
	if events, err := orders.Place(first)(placed); len(events) != 0 || err != nil {
		t.Errorf("the same again: %v, %v", events, err)
	}
	other := orders.Judge(invoice("1", line("a", "-1", "1"))) // would be rejected
	if events, err := orders.Place(other)(placed); len(events) != 0 || !errors.Is(err, banyan.ErrExists) {
		t.Errorf("other content: %v, %v", events, err)
	}
	rejected := orders.Order{}.Apply(other.Fact)
	if events, err := orders.Place(first)(rejected); len(events) != 0 || !errors.Is(err, banyan.ErrExists) {
		t.Errorf("other content after a rejection: %v, %v", events, err)
	}
	if same := rejected.Apply(banyan.Raw{Type: "order.cancelled"}); !cmp.Equal(same, rejected) {
		t.Errorf("an event from the future changed the state: %+v", same)
	}
}

func FuzzJudge(f *testing.F) {
	f.Add("536365", "2010-12-01T08:26:00Z", "85123A", "6.0", "2.55")
	f.Add("C1", "x", "", "-1", "1e9")
	f.Fuzz(func(t *testing.T, number, date, code, quantity, price string) {
		inv := invoice(number, line(code, quantity, price))
		inv.Date = date
		verdict := orders.Judge(inv)
		items, refused := linesOf(t, verdict.Fact)
		if len(items)+len(refused) != len(inv.Lines) {
			t.Fatalf("%d accepted and %d refused of %d lines", len(items), len(refused), len(inv.Lines))
		}
		for _, item := range items {
			wrongSide := (item.Quantity > 0) != (orders.KindOf(number) == orders.AnOrder) || item.Quantity == 0
			if wrongSide || !item.UnitPrice.IsPositive() {
				t.Fatalf("accepted %+v of %q", item, number)
			}
		}
		if _, err := orders.Types.Encode(verdict.Fact); err != nil {
			t.Fatalf("the fact cannot be stored: %v", err)
		}
	})
}
