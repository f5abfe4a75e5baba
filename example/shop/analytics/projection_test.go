package analytics

import (
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/view"
)

// bill is of a day in UTC, written down where the next has begun.
func bill(number, customer, country string, day int) orders.Bill {
	date := time.Date(2010, 12, day+1, 0, 30, 0, 0, time.FixedZone("", 3600))
	return orders.Bill{Number: number, Customer: customer, Country: country, Date: date}
}

func item(code string, quantity int64, price string) orders.Item {
	return orders.Item{StockCode: code, Quantity: quantity, UnitPrice: decimal.RequireFromString(price)}
}

func sum(id string, orders int64, revenue string) share {
	return share{ID: id, Orders: orders, Revenue: decimal.RequireFromString(revenue)}
}

func units(id string, n int64) sold { return sold{ID: id, Units: api.IntegerOf(n)} }

var refused = []orders.Refusal{{Reason: "quantity is missing"}}

func TestProjection(t *testing.T) {
	t.Parallel()
	c := newCollections()
	second := bill("3", "17850", "France", 2)
	second.Before = 2 // it goes on with what an event could not hold
	banyantest.Projection(t, orders.Types, Projection()).
		Given("order-1", orders.Placed{Bill: bill("1", "17850", "France", 1), Items: []orders.Item{item("a", 6, "2.55"), item("b", 1, "0.10")}, Refused: refused}).
		Given("return-C1", orders.Returned{Bill: bill("C1", "17850", "France", 1), Items: []orders.Item{item("a", -2, "2.55")}, Refused: refused}).
		Given("order-2", orders.Rejected{Bill: bill("2", "1", "Spain", 1), Refused: refused}).
		When("order-3",
			orders.Placed{Bill: bill("3", "17850", "France", 2), Items: []orders.Item{item("a", 1, "2.55"), item("c", 9, "1")}},
			orders.Placed{Bill: second, Items: []orders.Item{item("c", 1, "1")}, Refused: refused}).
		When("order-4", orders.Placed{Bill: bill("4", "", "Eire", 2), Items: []orders.Item{item("b", 2, "0.001")}}).
		When("order-4", banyan.Raw{Type: "order.paid", Data: []byte(`{}`)}). // of a service to come
		Then(
			banyantest.Documents(c.totals, map[string]totals{theRow: {
				Events: 6, Orders: 3, Returns: 1, InvoicesRejected: 1, LinesAccepted: 7, LinesRejected: 4,
				Revenue: decimal.RequireFromString("27.952"), Refunds: decimal.RequireFromString("5.1"),
			}}),
			banyantest.Documents(c.countries, map[string]share{"France": sum("France", 2, "27.95"), "Eire": sum("Eire", 1, "0.002")}),
			banyantest.Documents(c.days, map[string]share{"2010-12-01": sum("2010-12-01", 1, "15.4"), "2010-12-02": sum("2010-12-02", 2, "12.552")}),
			banyantest.Documents(c.customers, map[string]share{"17850": sum("17850", 2, "27.95")}), // a guest is none
			banyantest.Documents(c.products, map[string]sold{"a": units("a", 7), "b": units("b", 3), "c": units("c", 10)}),
		).
		WhenRebuilt().
		Then(
			banyantest.Document(c.customers, "17850", sum("17850", 2, "27.95")),
			banyantest.Document(c.products, "c", units("c", 10)),
		).
		ThenViews(func(db *view.DB) {
			page, err := c.products.Scan(t.Context(), db, view.Query{Index: byAmount, Desc: true})
			var top []string
			for _, p := range page.Items {
				top = append(top, p.Key)
			}
			if err != nil || !slices.Equal(top, []string{"c", "a", "b"}) {
				t.Errorf("products by units: got %v and error %v, want c, a, b", top, err)
			}
		})
}

// An event whose data does not fit waits, with what follows in its stream, and
// counts for nothing.
func TestDamagedEventsAreParked(t *testing.T) {
	t.Parallel()
	c := newCollections()
	placed := orders.Placed{Bill: bill("1", "", "France", 1), Items: []orders.Item{item("a", 1, "1")}}
	banyantest.Projection(t, orders.Types, Projection()).
		Given("order-1", banyan.Raw{Type: "order.placed", Schema: 1, Data: []byte(`{"items":[{"quantity":"many"}]}`)}, placed).
		When("order-2", placed).
		Then(banyantest.Parked("order-1"), banyantest.Documents(c.products, map[string]sold{"a": units("a", 1)}))
}
