package orders_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/payments"
)

const (
	taken   = "order.placed"
	waiting = "order.validation_pending"
	refused = "order.rejected"
)

func order(n int) orders.Invoice {
	return invoice(fmt.Sprint(n), line("a", "2", "5.25"), line("free", "1", "0"))
}

func TestYes(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	d := newDesk(t, newStore(t), w.vetting(t))
	if r := d.post(order(1)); r.Status != orders.StatusAccepted || d.events("1") != taken {
		t.Errorf("got %+v, events %s", r, d.events("1"))
	}
	p, err := w.payments.Find(t.Context(), orders.Judge(order(1)).Content)
	if err != nil || p.Status != payments.StatusAuthorised || p.Order != "1" || p.Customer != "17850" || p.Amount.String() != "10.5" {
		t.Errorf("the payment is %+v with error %v", p, err)
	}
	if again := d.post(order(1)); again.Status != orders.StatusAccepted || w.called("users") != 1 || w.called("payments") != 1 {
		t.Errorf("posted again: %+v after %d and %d calls, want one each", again, w.called("users"), w.called("payments"))
	}
	if err := d.Settle(t.Context(), "1"); err != nil || w.called("users") != 1 {
		t.Errorf("nothing to settle: error %v after %d calls", err, w.called("users"))
	}
	// Who has no number is not asked about, and what is no order is nobody's business.
	guest := order(2)
	guest.Customer = ""
	back, bad := invoice("C3", line("a", "-1", "1")), invoice("4", line("a", "0", "1"))
	for _, inv := range []orders.Invoice{guest, back, bad} {
		d.post(inv)
	}
	if w.called("users") != 1 || w.called("payments") != 2 {
		t.Errorf("%d calls of users, want 1; %d of payments, want 2", w.called("users"), w.called("payments"))
	}
}

// A clear no rejects at once, with all lines, and is never pending.
func TestClearNo(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	d := newDesk(t, newStore(t), w.vetting(t))
	block(t, w, "17850")
	first := d.post(order(1))
	if first.Status != orders.StatusRejected || first.RejectedBy != "users" || !strings.Contains(first.Reason, "unpaid") || first.LinesRejected != 2 {
		t.Errorf("blocked: got %+v", first)
	}
	if w.called("payments") != 0 {
		t.Error("a payment was authorised for a customer who may not order")
	}
	poor := order(2)
	poor.Customer = "12583"
	limit(t, w, "12583", "10.49")
	if r := d.post(poor); r.RejectedBy != "payments" || !strings.Contains(r.Reason, "10.5") {
		t.Errorf("refused: got %+v", r)
	}
	limit(t, w, "12583", "10.50") // as much as it costs, but too late
	if r := d.post(poor); r.RejectedBy != "payments" || d.events("2") != refused {
		t.Errorf("posted again: %+v, events %s", r, d.events("2"))
	}
	poor.Number = "3"
	if r := d.post(poor); r.Status != orders.StatusAccepted {
		t.Errorf("within the limit: %+v", r)
	}
	if got, want := d.summary(), `{"orders":1,"returns":0,"invoices_rejected":2,"lines_accepted":1,"lines_rejected":5,"revenue":"10.5","refunds":"0","events":3}`; got != want {
		t.Errorf("summary %s\nwant    %s", got, want)
	}
}

// Whatever is wrong with a service, orders are taken; they are settled when it
// is back, also by an order's worth of a no.
func TestDegradedMode(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mood{"gone": gone, "broken": broken, "slow": slow, "lost": lost} {
		for _, sick := range [][]string{{"users"}, {"payments"}, {"users", "payments"}} {
			t.Run(name+"/"+strings.Join(sick, "+"), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { degraded(t, m, sick) })
			})
		}
	}
}

func degraded(t *testing.T, m mood, sick []string) {
	w := newTown(t)
	w.set(m, sick...) // from the start
	d := newDesk(t, newStore(t), w.vetting(t))
	const n = 20
	for i := range n {
		if r := d.post(order(100 + i)); r.Status != orders.StatusPending || r.Total != "10.5" {
			t.Fatalf("order %d: %+v", i, r)
		}
	}
	// The breaker is open: nobody waits for the service any more.
	before, start := w.called(sick[0]), time.Now()
	if r := d.post(order(200)); r.Status != orders.StatusPending {
		t.Errorf("with an open breaker: %+v", r)
	}
	if w.called(sick[0]) != before || time.Since(start) > 100*time.Millisecond || before > n {
		t.Errorf("%s was called %d times, then %d, after %v: its breaker did not open", sick[0], before, w.called(sick[0]), time.Since(start))
	}
	if s := d.summary(); !strings.Contains(s, `"orders":0`) || !strings.Contains(s, `"revenue":"0"`) {
		t.Errorf("pending orders count: %s", s)
	}
	d.round()
	d.is("100", orders.StatusPending)

	w.set(well, sick...)
	block(t, w, "666")
	time.Sleep(6 * time.Second) // in the bubble: until the breaker lets probes through
	bad := order(300)
	bad.Customer = "666"
	if r := d.post(bad); r.RejectedBy != "users" {
		t.Errorf("a no after the repair: %+v", r)
	}
	d.round()
	for i := range n {
		if number := fmt.Sprint(100 + i); d.events(number) != waiting+" "+taken {
			t.Errorf("order %s has %s", number, d.events(number))
		}
	}
	if again := d.post(order(100)); again.Status != orders.StatusPending {
		t.Errorf("posted again: %+v, want the answer of then", again)
	}
	if s := d.summary(); !strings.Contains(s, `"orders":21`) || !strings.Contains(s, `"revenue":"220.5"`) {
		t.Errorf("after validation: %s", s)
	}
	if left := d.ask(d.history.Serve, "/orders?status=PENDING_VALIDATION"); left != `{"items":[]}` {
		t.Errorf("still pending: %s", left)
	}
}

// An order that was taken while users was down is rejected later if it has to be.
func TestNoAfterPending(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	d := newDesk(t, newStore(t), w.vetting(t))
	block(t, w, "17850")
	w.set(gone, "users")
	if r := d.post(order(1)); r.Status != orders.StatusPending {
		t.Fatalf("got %+v", r)
	}
	w.set(well, "users")
	d.round()
	if got := d.events("1"); got != waiting+" "+refused {
		t.Errorf("events %s", got)
	}
	if got, want := d.summary(), `{"orders":0,"returns":0,"invoices_rejected":1,"lines_accepted":0,"lines_rejected":2,"revenue":"0","refunds":"0","events":1}`; got != want {
		t.Errorf("summary %s\nwant    %s", got, want)
	}
	rejects := d.ask(orders.NewRejects(d.views, d.project(orders.Projection())).Serve, "/rejects?invoice=1")
	if strings.Count(rejects, `"row"`) != 2 || !strings.Contains(rejects, "unpaid") || !strings.Contains(rejects, "not above 0") {
		t.Errorf("rejects: %s", rejects)
	}
}

// What is neither yes nor no is a mistake that somebody has to see: nothing is
// stored, and nothing is rejected by it either.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for _, m := range []mood{wrong, mute} {
		for _, service := range []string{"users", "payments"} {
			w := newTown(t)
			w.set(m, service)
			d := newDesk(t, newStore(t), w.vetting(t))
			a, err := d.Post(t.Context(), order(1))
			if err == nil || errors.Is(err, banyan.ErrUnavailable) || !strings.Contains(err.Error(), service) || d.events("1") != "" {
				t.Errorf("mood %d of %s: %+v, error %v, events %q", m, service, a, err, d.events("1"))
			}
		}
	}
}

// A customer who gives up has no order; the service is not to blame.
func TestImpatientCustomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(slow, "users")
		d := newDesk(t, newStore(t), w.vetting(t))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := d.Post(ctx, order(1)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ask users") || d.events("1") != "" {
			t.Errorf("error %v, events %q", err, d.events("1"))
		}
	})
}

// fickle says something else each time.
type fickle struct {
	mu sync.Mutex
	n  int // guarded by mu
}

func (f *fickle) Vet(context.Context, orders.Placed) (orders.Ruling, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n%2 == 0 {
		return orders.Ruling{By: "users", Reason: "no"}, nil
	}
	return orders.Ruling{}, nil
}

// nobody can be asked.
type nobody struct{}

func (nobody) Vet(context.Context, orders.Placed) (orders.Ruling, error) {
	return orders.Ruling{}, &orders.UnaskedError{Service: "users", Err: errors.New("down")}
}

// Instances that settle the same orders with different rulings, some of them
// killed at any point, give each order one outcome.
func TestOneOutcome(t *testing.T) {
	t.Parallel()
	log := newStore(t)
	closed := newDesk(t, log, nobody{})
	const n = 30
	for i := range n {
		closed.post(order(100 + i))
	}
	voters := &fickle{}
	a, b := newDesk(t, log, voters), newDesk(t, log, voters)
	var all sync.WaitGroup
	for i := range n {
		for _, d := range []*desk{a, b, a, b} {
			all.Go(func() {
				ctx, kill := context.WithCancel(t.Context())
				defer kill()
				if i%3 == 0 { // it dies somewhere on the way
					go kill()
				}
				if err := d.Settle(ctx, fmt.Sprint(100+i)); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	a.round() // whoever comes next finishes what the dead have left
	accepted := 0
	for i := range n {
		switch got := a.events(fmt.Sprint(100 + i)); got {
		case waiting + " " + taken:
			accepted++
		case waiting + " " + refused:
		default:
			t.Errorf("order %d has %s", 100+i, got)
		}
	}
	if s := b.summary(); !strings.Contains(s, fmt.Sprintf(`"orders":%d,"returns":0,"invoices_rejected":%d`, accepted, n-accepted)) {
		t.Errorf("%d accepted, summary %s", accepted, s)
	}
}

// A long outage leaves more orders than a page has.
func TestManyPending(t *testing.T) {
	t.Parallel()
	log := newStore(t)
	closed := newDesk(t, log, nobody{})
	const n = 250
	for i := range n {
		closed.post(order(1000 + i))
	}
	newDesk(t, log, nil).round() // who asks nobody settles with a yes
	if s := closed.summary(); !strings.Contains(s, `"orders":250`) {
		t.Errorf("after one round: %s", s)
	}
}

// dies kills its process, so to speak, after it has asked.
type dies struct {
	orders.Vetting
	kill context.CancelFunc
}

func (d dies) Vet(ctx context.Context, p orders.Placed) (orders.Ruling, error) {
	r, err := d.Vetting.Vet(ctx, p)
	d.kill()
	return r, err
}

// A process that dies between the authorisation and the outcome leaves an order
// that the next one settles, with the same payment.
func TestKilledBetween(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	log := newStore(t)
	w.set(gone, "payments")
	newDesk(t, log, w.vetting(t)).post(order(1))
	w.set(well, "payments")

	ctx, kill := context.WithCancel(t.Context())
	if err := newDesk(t, log, dies{w.vetting(t), kill}).Settle(ctx, "1"); err == nil {
		t.Error("the killed process did not die")
	}
	next := newDesk(t, log, w.vetting(t))
	if p, err := w.payments.Find(t.Context(), orders.Judge(order(1)).Content); err != nil || p.Status != payments.StatusAuthorised {
		t.Fatalf("the payment is %+v, %v: the test kills too early", p, err)
	}
	next.is("1", orders.StatusPending)
	limit(t, w, "17850", "1") // would refuse it now: but it is the same payment
	next.round()
	next.round()
	if got := next.events("1"); got != waiting+" "+taken {
		t.Errorf("events %s", got)
	}
}

// The totals of a month do not depend on how the services felt.
func TestTotalsWithFlakyServices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var want string
		for _, m := range []mood{well, flaky, broken} {
			w := newTown(t)
			w.set(m, "users", "payments")
			block(t, w, "66")
			limit(t, w, "17", "20")
			d := newDesk(t, newStore(t), w.vetting(t))
			pended := 0
			for i := range 150 {
				inv := invoice(fmt.Sprint(1000+i), line("a", fmt.Sprint(i%7), fmt.Sprintf("%d.0%d", i%11, i%10)), line("b", "1", "0.001"))
				inv.Customer = fmt.Sprint(60 + i%12)
				if i%5 == 0 {
					inv.Customer = []string{"", "17"}[i%2]
				}
				if d.post(inv).Status == orders.StatusPending {
					pended++
				}
				if i == 100 {
					w.set(well, "users", "payments")
					if m == flaky {
						w.set(flaky, "users")
					}
				}
			}
			for range 20 {
				time.Sleep(6 * time.Second) // in the bubble: breakers close
				d.round()
			}
			got := d.summary()
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("mood %d: %s\nwant    %s", m, got, want)
			}
			if (m == well) != (pended == 0) || !strings.Contains(got, `"events":150`) || strings.Contains(got, `"invoices_rejected":0`) {
				t.Errorf("mood %d: %d were pending, the test tests nothing: %s", m, pended, got)
			}
		}
	})
}

// The validator runs by itself, and stops when it is told.
func TestValidatorRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.set(broken, "users")
		d := newDesk(t, newStore(t), w.vetting(t))
		d.post(order(1))
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.validator.Run(ctx) }()
		time.Sleep(time.Minute)
		d.is("1", orders.StatusPending)
		w.set(well, "users")
		time.Sleep(10 * time.Second)
		d.is("1", orders.StatusAccepted)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestServicesNeedGoodURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"localhost:80", "users", "ftp://users", "http://"} {
		if _, err := orders.NewServices(&orders.ServicesOptions{Payments: url}); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%q: error %v", url, err)
		}
	}
}
