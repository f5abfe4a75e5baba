package orders_test

import (
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func TestOrder(t *testing.T) {
	t.Parallel()
	good := orders.Judge(invoice("536365", line("85123A", "6", "2.55")))
	bad := orders.Judge(invoice("536365", line("85123A", "6", "0")))
	fresh := banyantest.Aggregate[orders.Order](t, "order", orders.Types)

	fresh.When(orders.Place(good)).Then(good.Fact).ThenState(func(o orders.Order) {
		if o.Status != orders.StatusAccepted || o.Total().String() != "15.3" {
			t.Errorf("a placed order is %+v", o)
		}
	})
	fresh.When(orders.Place(bad)).Then(bad.Fact).ThenState(func(o orders.Order) {
		if o.Status != orders.StatusRejected || o.Reason == "" || len(o.Refused) != 1 {
			t.Errorf("a rejected order is %+v", o)
		}
	})
	placed, rejected := fresh.Given(good.Fact), fresh.Given(bad.Fact)
	placed.When(orders.Place(good)).Then()
	placed.When(orders.Place(bad)).ThenError(banyan.ErrExists)
	rejected.When(orders.Place(bad)).Then()
	rejected.When(orders.Place(good)).ThenError(banyan.ErrExists)
}

// An order that waits has one outcome, and any other order none but its own.
func TestSettle(t *testing.T) {
	t.Parallel()
	inv := invoice("536365", line("85123A", "6", "2.55"), line("free", "1", "0.0"))
	good := orders.Judge(inv)
	placed := good.Fact.(orders.Placed)
	pending := orders.Pending{Bill: placed.Bill, Items: placed.Items, Refused: placed.Refused, Unasked: "users"}
	no := orders.Ruling{By: "users", Reason: "blocked"}
	declined := orders.Declined{Bill: placed.Bill, By: "users", Reason: "blocked", Refused: []orders.Refusal{
		{Line: orders.Line{Row: 2, StockCode: "85123A", Description: "a thing", Quantity: "6", UnitPrice: "2.55"}, Reason: "blocked"},
		placed.Refused[0],
	}}
	fresh := banyantest.Aggregate[orders.Order](t, "order", orders.Types)
	waits := fresh.Given(pending)

	fresh.When(orders.Place(orders.Verdict{Bill: placed.Bill, Fact: pending})).Then(pending).ThenState(func(o orders.Order) {
		if r := o.Receipt(); r.Status != orders.StatusPending || r.Total != "15.3" || r.LinesAccepted != 1 || r.LinesRejected != 1 {
			t.Errorf("a pending order is %+v", r)
		}
	})
	waits.When(orders.Settle(orders.Ruling{})).Then(placed).ThenState(func(o orders.Order) {
		if o.Status != orders.StatusAccepted || len(o.Items) != 1 || len(o.Refused) != 1 {
			t.Errorf("a settled order is %+v", o)
		}
	})
	waits.When(orders.Settle(no)).Then(declined).ThenState(func(o orders.Order) {
		if r := o.Receipt(); r.Status != orders.StatusRejected || r.RejectedBy != "users" || r.Reason != "blocked" || r.Total != "0" || r.LinesRejected != 2 {
			t.Errorf("a declined order is %+v", r)
		}
	})
	waits.When(orders.Place(good)).Then() // posted again
	for _, settled := range []*banyantest.Case[orders.Order]{waits.Given(placed), waits.Given(declined), fresh.Given(placed), fresh} {
		settled.When(orders.Settle(no)).Then()
		settled.When(orders.Settle(orders.Ruling{})).Then()
	}
}

func TestReturn(t *testing.T) {
	t.Parallel()
	good := orders.Judge(invoice("C536379", line("D", "-1", "27.50")))
	bad := orders.Judge(invoice("C536379", line("D", "1", "27.50")))
	fresh := banyantest.Aggregate[orders.Return](t, "return", orders.Types)

	fresh.When(orders.Accept(good)).Then(good.Fact).ThenState(func(r orders.Return) {
		if r.Status != orders.StatusAccepted || r.Refund().String() != "27.5" {
			t.Errorf("an accepted return is %+v", r)
		}
	})
	fresh.When(orders.Accept(bad)).Then(bad.Fact)
	fresh.Given(good.Fact).When(orders.Accept(good)).Then()
	fresh.Given(good.Fact).When(orders.Accept(bad)).ThenError(banyan.ErrExists)
	fresh.Given(bad.Fact).When(orders.Accept(good)).ThenError(banyan.ErrExists)
}

// A program that does not know an event must not decide on top of it.
func TestEventsOfTheFuture(t *testing.T) {
	t.Parallel()
	good := orders.Judge(invoice("1", line("a", "1", "1")))
	banyantest.Aggregate[orders.Order](t, "order", orders.Types).
		Given(banyan.Raw{Type: "order.cancelled", Schema: 1, Data: []byte(`{}`)}).
		When(orders.Place(good)).
		ThenError(banyan.ErrUnavailable)
}

func TestStoredEventsStayReadable(t *testing.T) {
	t.Parallel()
	order := orders.Judge(invoice("536365", line("85123A", "6", "2.55"), line("free", "1", "0.0")))
	back := orders.Judge(invoice("C536379", line("D", "-1", "27.50"), line("D", "1", "27.50")))
	nothing := orders.Judge(invoice("A563185", line("B", "1", "11062.06")))
	placed := order.Fact.(orders.Placed)
	pending := orders.Pending{Bill: placed.Bill, Items: placed.Items, Refused: placed.Refused, Unasked: "users"}
	declined := orders.Declined{Bill: placed.Bill, By: "payments", Reason: "the payment of 15.3 is above the limit of 10", Refused: placed.Refused}
	banyantest.Golden(t, orders.Types, "testdata/events", order.Fact, back.Fact, nothing.Fact, pending, declined)
}
