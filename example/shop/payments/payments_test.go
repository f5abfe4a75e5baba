package payments_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/banyantest"
	"github.com/banyanhq/banyan/example/shop/payments"
	"github.com/banyanhq/banyan/mem"
)

func amount(text string) decimal.Decimal { return decimal.RequireFromString(text) }

func charge(customer, sum string) payments.Charge {
	return payments.Charge{ID: "p1", Order: "536365", Customer: customer, Amount: amount(sum)}
}

func most(text string) payments.Limit {
	a := amount(text)
	return payments.Limit{Amount: &a}
}

func TestPayment(t *testing.T) {
	t.Parallel()
	c, none := charge("17850", "139.12"), payments.Limit{}
	refused := payments.Refused{Charge: c, Reason: "the payment of 139.12 is above the limit of 139.11"}
	fresh := banyantest.Aggregate[payments.Payment](t, "payment", payments.Types)

	fresh.When(payments.Authorise(c, none)).Then(payments.Authorised{Charge: c})
	fresh.When(payments.Authorise(c, most("139.120"))).Then(payments.Authorised{Charge: c})
	fresh.When(payments.Authorise(c, most("139.11"))).Then(refused)
	// Once, for ever, also when the limit has changed since.
	yes, no := fresh.Given(payments.Authorised{Charge: c}), fresh.Given(refused)
	yes.When(payments.Authorise(charge("17850", "139.120"), most("1"))).Then()
	no.When(payments.Authorise(c, none)).Then().ThenState(func(p payments.Payment) {
		if p.Status != payments.StatusRefused || p.Reason == "" {
			t.Errorf("got %+v", p)
		}
	})
	for _, other := range []payments.Charge{charge("17850", "139.13"), charge("17851", "139.12"), {ID: "p1", Order: "1", Customer: "17850", Amount: c.Amount}} {
		yes.When(payments.Authorise(other, none)).ThenError(banyan.ErrExists)
		no.When(payments.Authorise(other, none)).ThenError(banyan.ErrExists)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	ten, same := amount("10"), amount("10.0")
	fresh := banyantest.Aggregate[payments.Limit](t, "limit", payments.Types)
	set := fresh.Given(payments.LimitSet{Customer: "1", Amount: ten})
	fresh.When(payments.SetLimit("1", &ten)).Then(payments.LimitSet{Customer: "1", Amount: ten})
	fresh.When(payments.SetLimit("1", nil)).Then()
	set.When(payments.SetLimit("1", &same)).Then()
	set.When(payments.SetLimit("1", nil)).Then(payments.LimitLifted{Customer: "1"}).ThenState(func(l payments.Limit) {
		if l.Amount != nil {
			t.Errorf("a lifted limit is %v", l.Amount)
		}
	})
}

func TestStoredEventsStayReadable(t *testing.T) {
	t.Parallel()
	c := charge("17850", "139.12")
	banyantest.Golden(t, payments.Types, "testdata/events", payments.Authorised{Charge: c}, payments.Refused{Charge: c, Reason: "too much"},
		payments.LimitSet{Customer: "17850", Amount: amount("1000")}, payments.LimitLifted{Customer: "17850"})
}

func newService(t *testing.T, o *payments.Options) *payments.Service {
	t.Helper()
	db := mem.Open()
	st, err := db.Store(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(st.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	s, err := payments.New(st, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A customer's own limit goes before the one for all, also when it is higher.
func TestWhoseLimit(t *testing.T) {
	t.Parallel()
	s := newService(t, &payments.Options{Limit: "100"})
	for customer, own := range map[string]string{"rich": "1000", "poor": "10"} {
		a := amount(own)
		if err := s.Limit(t.Context(), customer, &a); err != nil {
			t.Fatal(err)
		}
	}
	for i, tc := range []struct {
		customer, sum string
		want          payments.Status
	}{
		{"", "100", payments.StatusAuthorised},
		{"", "100.01", payments.StatusRefused},
		{"other", "100", payments.StatusAuthorised},
		{"other", "100.01", payments.StatusRefused},
		{"rich", "1000", payments.StatusAuthorised},
		{"rich", "1000.01", payments.StatusRefused},
		{"poor", "10", payments.StatusAuthorised},
		{"poor", "10.01", payments.StatusRefused},
	} {
		c := charge(tc.customer, tc.sum)
		c.ID = strings.Repeat("x", i+1)
		for try := range 2 {
			p, repeated, err := s.Authorise(t.Context(), c)
			if err != nil || p.Status != tc.want || repeated != (try == 1) {
				t.Errorf("%+v, try %d: %+v, %t, %v, want %s", tc, try, p, repeated, err, tc.want)
			}
		}
	}
	if _, err := s.Find(t.Context(), "none"); !errors.Is(err, banyan.ErrNotFound) {
		t.Errorf("no payment: %v", err)
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"0", "0.001", "139.12", "007", strings.Repeat("9", 150) + "." + strings.Repeat("9", 150)} {
		if _, err := payments.Amount(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "-1", "+1", "1e9", "1.", ".5", "NaN", "1,5", " 1", "1\n", strings.Repeat("9", 151)} {
		if got, err := payments.Amount(bad); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
	if _, err := payments.New(nil, &payments.Options{Limit: "much"}); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("a bad limit: %v", err)
	}
}
