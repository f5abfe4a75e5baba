package orders_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/example/shop/analytics"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
	"github.com/banyanhq/banyan/example/shop/payments"
	"github.com/banyanhq/banyan/example/shop/users"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/resilience"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mood is how a service behaves.
type mood int

const (
	well   mood = iota
	gone        // nothing listens
	broken      // 503
	slow        // no answer at all
	lost        // it does what it is asked, and the answer is lost
	wrong       // 404, as from another service
	mute        // an answer that says nothing
	flaky       // every third request fails
)

// town is users and payments as they really are, on a network that is not.
type town struct {
	users    *users.Service
	payments *payments.Service
	handler  http.Handler

	mu    sync.Mutex
	moods map[string]mood // guarded by mu
	calls map[string]int  // guarded by mu
}

func newTown(t *testing.T) *town {
	t.Helper()
	mux := http.NewServeMux()
	to := api.New(mux, "town")
	w := &town{handler: mux, moods: map[string]mood{}, calls: map[string]int{}}
	var err error
	if w.users, err = users.New(newStore(t), nil); err != nil {
		t.Fatal(err)
	}
	if w.payments, err = payments.New(newStore(t), nil); err != nil {
		t.Fatal(err)
	}
	w.users.Serve(to)
	w.payments.Serve(to)
	return w
}

func newStore(t *testing.T) *store.Store {
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
	return st
}

func (w *town) set(m mood, services ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range services {
		w.moods[s] = m
	}
}

func (w *town) called(service string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[service]
}

func (w *town) next(service string) (mood, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[service]++
	return w.moods[service], w.calls[service]
}

// RoundTrip implements http.RoundTripper.
func (w *town) RoundTrip(req *http.Request) (*http.Response, error) {
	m, n := w.next(req.URL.Host)
	answer := httptest.NewRecorder()
	if m == flaky && n%3 != 0 {
		m = well
	}
	switch m {
	case gone:
		return nil, errors.New("connection refused")
	case broken, flaky:
		answer.WriteHeader(http.StatusServiceUnavailable)
		return answer.Result(), nil
	case slow:
		<-req.Context().Done()
		return nil, req.Context().Err()
	case wrong:
		http.NotFound(answer, req)
		return answer.Result(), nil
	case mute:
		fmt.Fprint(answer, "{}")
		return answer.Result(), nil
	}
	w.handler.ServeHTTP(answer, req)
	if m == lost {
		return nil, errors.New("connection reset")
	}
	return answer.Result(), nil
}

// vetting asks the town as patiently as a test can wait.
func (w *town) vetting(t *testing.T) *orders.Services {
	t.Helper()
	s, err := orders.NewServices(&orders.ServicesOptions{
		Users: "http://users", Payments: "http://payments", Transport: w,
		Patience: time.Second, Breaker: &resilience.Breaker{MinCalls: 4, Open: 5 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// desk is the service orders with what reads its log. Several may share a log:
// they are its instances.
type desk struct {
	*orders.Service
	t         *testing.T
	log       *store.Store
	views     *view.DB
	validator *orders.Validator
	history   *orders.History
}

// newDesk runs an instance until the test ends, or until its stop is called.
func newDesk(t *testing.T, log *store.Store, v orders.Vetting) *desk {
	t.Helper()
	d := &desk{t: t, log: log}
	var err error
	if d.Service, err = orders.New(log, v); err != nil {
		t.Fatal(err)
	}
	db := mem.Open()
	if d.views, err = db.Views(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.views.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	d.history = orders.NewHistory(d.views, d.project(orders.Projection()))
	d.validator = orders.NewValidator(d.Service, d.history, nil)
	return d
}

// project runs a projection until the test ends.
func (d *desk) project(def *projection.Definition) *projection.Runner {
	d.t.Helper()
	r, err := projection.NewRunner(d.log, d.views, def, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	d.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	})
	return r
}

// round has the validator settle what it can, once the read model has all.
func (d *desk) round() {
	d.t.Helper()
	d.ask(d.history.Serve, "/orders?limit=1")
	if err := d.validator.Round(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// ask reads from a read model that has seen the whole log.
func (d *desk) ask(serve func(*api.API), path string) string {
	d.t.Helper()
	mux := http.NewServeMux()
	serve(api.New(mux, "x"))
	end, err := d.End(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, path, nil)
	if end.Token != "" {
		req.Header.Set(projection.TokenHeader, end.Token)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		d.t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return strings.TrimSpace(w.Body.String())
}

func (d *desk) post(inv orders.Invoice) orders.Receipt {
	d.t.Helper()
	a, err := d.Post(d.t.Context(), inv)
	if err != nil {
		d.t.Fatalf("post %s: %v", inv.Number, err)
	}
	return a.Receipt
}

func (d *desk) is(number string, want orders.Status) {
	d.t.Helper()
	r, err := d.Find(d.t.Context(), number)
	if err != nil || r.Status != want {
		d.t.Errorf("order %s is %+v with error %v, want %s", number, r, err, want)
	}
}

// events returns the types of the events of an order.
func (d *desk) events(number string) string {
	d.t.Helper()
	var types []string
	for e, err := range d.log.All(d.t.Context(), 0, store.Filter{}) {
		if err != nil {
			d.t.Fatal(err)
		}
		if e.Stream == "order-"+number {
			types = append(types, e.Type)
		}
	}
	return strings.Join(types, " ")
}

// summary is what analytics says of the log.
func (d *desk) summary() string {
	d.t.Helper()
	return d.ask(analytics.New(d.views, d.project(analytics.Projection())).Serve, "/analytics/summary")
}

func block(t *testing.T, w *town, customer string) {
	t.Helper()
	if _, err := w.users.Change(t.Context(), customer, users.Block(customer, "unpaid")); err != nil {
		t.Fatal(err)
	}
}

func limit(t *testing.T, w *town, customer, amount string) {
	t.Helper()
	most := decimal.RequireFromString(amount)
	if err := w.payments.Limit(t.Context(), customer, &most); err != nil {
		t.Fatal(err)
	}
}
