package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

type placed struct {
	Country string `json:"country"`
	Amount  int64  `json:"amount"`
}

type cancelled struct {
	Reason string `json:"reason"`
}

var types = banyan.NewTypes(
	banyan.TypeOf[placed]("order.placed", 2, banyan.Upcast(1, func(old struct {
		Land   string `json:"land"`
		Amount int64  `json:"amount"`
	},
	) (placed, error) {
		return placed{Country: old.Land, Amount: old.Amount}, nil
	})),
	banyan.TypeOf[cancelled]("order.cancelled", 1),
)

type total struct {
	Orders    int   `json:"orders"`
	Amount    int64 `json:"amount"`
	Cancelled int   `json:"cancelled"`
}

type order struct {
	Country string   `json:"country"`
	Events  []string `json:"events"`
}

// sales is a projection of two collections with switches for what may go wrong.
type sales struct {
	totals *view.Collection[total]
	orders *view.Collection[order]

	poison  sync.Map // reasons that make a cancelled event fail
	handled atomic.Int64
	effects effects
}

// effects counts runs by event id.
type effects struct {
	mu   sync.Mutex
	runs map[string]int
}

func (s *effects) ran(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs == nil {
		s.runs = map[string]int{}
	}
	s.runs[id]++
}

func (s *effects) count(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[id]
}

func newSales() *sales {
	return &sales{
		totals: view.NewCollection[total]("totals"),
		orders: view.NewCollection("orders", view.IndexOf("country", func(o order) string { return o.Country })),
	}
}

var errPoison = errors.New("poison of the test")

func (s *sales) define(o projection.Options) *projection.Definition {
	if o.Collections == nil {
		o.Collections = []projection.Collection{s.totals, s.orders}
	}
	d := projection.Define("sales", types, &o)
	projection.On(d, func(ctx context.Context, b *projection.Batch, p placed, e banyan.Event) error {
		s.handled.Add(1)
		b.Effect(func(context.Context) error { s.effects.ran(e.ID); return nil })
		return errors.Join(
			s.totals.Update(ctx, b.Writer(), p.Country, func(t *total) error { t.Orders++; t.Amount += p.Amount; return nil }),
			s.orders.Update(ctx, b.Writer(), e.Stream, func(o *order) error {
				o.Country, o.Events = p.Country, append(o.Events, e.ID)
				return nil
			}))
	})
	projection.On(d, func(ctx context.Context, b *projection.Batch, c cancelled, e banyan.Event) error {
		s.handled.Add(1)
		b.Effect(func(context.Context) error { s.effects.ran(e.ID); return nil })
		err := s.orders.Update(ctx, b.Writer(), e.Stream, func(o *order) error { o.Events = append(o.Events, e.ID); return nil })
		if _, bad := s.poison.Load(c.Reason); bad {
			return errPoison // after a write, which must not stay
		}
		return errors.Join(err, s.totals.Update(ctx, b.Writer(), "cancelled", func(t *total) error { t.Cancelled++; return nil }))
	})
	return d
}

// fixture is a store and a view database on mem.
type fixture struct {
	testing.TB
	db    *mem.DB
	store *store.Store
	views *view.DB
}

func setup(tb testing.TB) *fixture {
	tb.Helper()
	db := mem.Open()
	st, err := db.Store(nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return &fixture{TB: tb, db: db, store: st, views: view.New(db.ViewBackend())}
}

func (f *fixture) append(stream string, payloads ...any) store.Result {
	f.Helper()
	events := make([]banyan.Event, len(payloads))
	for i, p := range payloads {
		e, ok := p.(banyan.Event)
		if !ok {
			var err error
			if e, err = types.Encode(p); err != nil {
				f.Fatal(err)
			}
		}
		events[i] = e
	}
	result, err := f.store.Append(context.Background(), stream, store.Any, events...)
	if err != nil {
		f.Fatal(err)
	}
	return result
}

func (f *fixture) runner(d *projection.Definition, o *projection.RunnerOptions) *projection.Runner {
	f.Helper()
	r, err := projection.NewRunner(f.store, f.views, d, o)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

// start runs r until the returned function is called, which waits for its end.
func (f *fixture) start(r *projection.Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.Errorf("run: %v", err)
			}
		})
	}
	f.Cleanup(stop)
	return stop
}

// caughtUp waits until the live generation has handled the whole log.
func (f *fixture) caughtUp(r *projection.Runner) {
	f.Helper()
	f.eventually("the projection has caught up", func() bool {
		s := f.status(r)
		return s.Active().Number > 0 && s.Active().Lag == 0
	})
}

func (f *fixture) status(r *projection.Runner) projection.Status {
	f.Helper()
	s, err := r.Status(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func (f *fixture) eventually(what string, ok func() bool) {
	f.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			f.Fatalf("waited a minute in vain until %s", what)
		}
		pause(time.Millisecond)
	}
}

func pause(d time.Duration) { <-time.After(d) }

// rows returns all documents of the live generation, by collection and key.
func (f *fixture) rows(s *sales) map[string]string {
	f.Helper()
	all := map[string]string{}
	put := func(name, key string, v any) {
		doc, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		all[name+"/"+key] = string(doc)
	}
	totals, errTotals := s.totals.Scan(context.Background(), f.views, view.Query{Limit: 10_000})
	orders, errOrders := s.orders.Scan(context.Background(), f.views, view.Query{Limit: 10_000})
	if err := errors.Join(errTotals, errOrders); err != nil {
		f.Fatal(err)
	}
	for _, item := range totals.Items {
		put("totals", item.Key, item.Value)
	}
	for _, item := range orders.Items {
		put("orders", item.Key, item.Value)
	}
	return all
}

// fold computes the rows from the log up to a position in the plainest way. A
// stream is left alone from its first event that fails.
func (f *fixture) fold(s *sales, until banyan.Position) map[string]string {
	f.Helper()
	totals, orders, stuck := map[string]total{}, map[string]order{}, map[string]bool{}
	for e, err := range f.store.All(context.Background(), 0, store.Filter{}) {
		if err != nil {
			f.Fatal(err)
		}
		if e.Position > until {
			break
		}
		payloads, err := types.Decode(e)
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range payloads {
			switch p := p.(type) {
			case placed:
				if stuck[e.Stream] {
					continue
				}
				t := totals[p.Country]
				t.Orders++
				t.Amount += p.Amount
				totals[p.Country] = t
				orders[e.Stream] = order{p.Country, append(orders[e.Stream].Events, e.ID)}
			case cancelled:
				if _, bad := s.poison.Load(p.Reason); bad {
					stuck[e.Stream] = true
				}
				if stuck[e.Stream] {
					continue
				}
				t := totals["cancelled"]
				t.Cancelled++
				totals["cancelled"] = t
				o := orders[e.Stream]
				o.Events = append(o.Events, e.ID)
				orders[e.Stream] = o
			}
		}
	}
	all := map[string]string{}
	for key, v := range totals {
		doc, _ := json.Marshal(v)
		all["totals/"+key] = string(doc)
	}
	for key, v := range orders {
		doc, _ := json.Marshal(v)
		all["orders/"+key] = string(doc)
	}
	return all
}

func stream(i int) string { return fmt.Sprintf("order-%03d", i) }
