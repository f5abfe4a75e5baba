package inventory

import (
	"math"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func item(code string, quantity int64) orders.Item {
	return orders.Item{StockCode: code, Quantity: quantity, UnitPrice: decimal.NewFromInt(1)}
}

func moved(sku string, sold, returned api.Integer) Stock {
	return Stock{SKU: sku, Sold: sold, Returned: returned}
}

func TestProjection(t *testing.T) {
	t.Parallel()
	n := api.IntegerOf
	banyantest.Projection(t, orders.Types, Projection()).
		Given("order-1", orders.Placed{Items: []orders.Item{item("a", 6), item("b", 1), item("a", 4)}}).
		Given("order-2", orders.Rejected{Refused: []orders.Refusal{{Line: orders.Line{StockCode: "c"}}}}).
		Then(banyantest.Documents(newStock(), map[string]Stock{"a": moved("a", n(10), n(0)), "b": moved("b", n(1), n(0))})).
		When("return-C1", orders.Returned{Items: []orders.Item{item("a", -3), item("d", -1)}}).
		Then(banyantest.Documents(newStock(), map[string]Stock{
			"a": moved("a", n(10), n(3)), "b": moved("b", n(1), n(0)), "d": moved("d", n(0), n(1)),
		})).
		WhenRebuilt().
		Then(banyantest.Document(newStock(), "a", moved("a", n(10), n(3))))
}

// Sums leave every machine word, and stay exact.
func TestMoreThanAMachineWord(t *testing.T) {
	t.Parallel()
	most := int64(math.MaxInt64)
	banyantest.Projection(t, orders.Types, Projection()).
		Given("order-1", orders.Placed{Items: []orders.Item{item("a", most)}}).
		When("order-2", orders.Placed{Items: []orders.Item{item("a", most), item("a", 3)}}).
		Then(banyantest.Document(newStock(), "a", moved("a", api.IntegerOf(most).Plus(most).Plus(3), api.IntegerOf(0))))
}
