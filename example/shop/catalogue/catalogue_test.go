package catalogue

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func order(number string, day int, items ...orders.Item) orders.Placed {
	date := time.Date(2010, 12, day, 8, 0, 0, 0, time.UTC)
	return orders.Placed{Bill: orders.Bill{Number: number, Date: date}, Items: items}
}

func item(code, description, price string) orders.Item {
	return orders.Item{StockCode: code, Description: description, Quantity: 1, UnitPrice: decimal.RequireFromString(price)}
}

// The catalogue shows the latest of each product, whatever the order in which
// invoices come in.
func TestTheLatestIsShown(t *testing.T) {
	t.Parallel()
	c := newProducts()
	goesOn := order("3", 3, item("b", "lamp", "7"))
	goesOn.Before = 10 // what one event could not hold
	m := banyantest.Projection(t, orders.Types, Projection()).
		Given("order-3", order("3", 3, item("a", "", "3"), item("b", "shade", "8"), item("b", "bulb", "9")), goesOn).
		Given("order-2", order("2", 2, item("a", "second", "2"))).
		When("order-1", order("1", 1, item("a", "first", "1"), item("c", "only", "0.50")))
	for range 2 {
		m.Then(banyantest.Documents(c, map[string]listed{
			"a": {
				SKU: "a", Description: "second", Described: "2010-12-02T08:00:00.000000 2 000000",
				UnitPrice: "3", Priced: "2010-12-03T08:00:00.000000 3 000000",
			},
			"b": {
				SKU: "b", Description: "lamp", Described: "2010-12-03T08:00:00.000000 3 000010",
				UnitPrice: "7", Priced: "2010-12-03T08:00:00.000000 3 000010",
			},
			"c": {
				SKU: "c", Description: "only", Described: "2010-12-01T08:00:00.000000 1 000001",
				UnitPrice: "0.5", Priced: "2010-12-01T08:00:00.000000 1 000001",
			},
		})).WhenRebuilt()
	}
}

// Of two orders of one moment the one with the higher number counts, also when it
// comes in first.
func TestOrdersOfOneMoment(t *testing.T) {
	t.Parallel()
	m := banyantest.Projection(t, orders.Types, Projection()).
		Given("order-2", order("2", 1, item("a", "second", "2"))).
		When("order-1", order("1", 1, item("a", "first", "1")))
	m.Then(banyantest.Document(newProducts(), "a", listed{
		SKU: "a", Description: "second", Described: "2010-12-01T08:00:00.000000 2 000000",
		UnitPrice: "2", Priced: "2010-12-01T08:00:00.000000 2 000000",
	}))
}

func TestReturnsSayNothing(t *testing.T) {
	t.Parallel()
	banyantest.Projection(t, orders.Types, Projection()).
		When("return-C1", orders.Returned{Items: []orders.Item{item("a", "back", "1")}}).
		Then(banyantest.NoDocument(newProducts(), "a"))
}
