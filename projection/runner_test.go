package projection_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

func TestDefinitionErrors(t *testing.T) {
	t.Parallel()
	f, s := setup(t), newSales()
	on := func(d *projection.Definition) *projection.Definition {
		projection.On(d, func(context.Context, *projection.Batch, placed, banyan.Event) error { return nil })
		return d
	}
	tests := map[string]struct {
		def  *projection.Definition
		want string
	}{
		"name":               {on(projection.Define("Sales!", types, nil)), "name"},
		"no handler":         {projection.Define("sales", types, nil), "handles no event"},
		"two handlers":       {on(on(projection.Define("sales", types, nil))), "has a handler already"},
		"no types":           {on(projection.Define("sales", nil, nil)), "types"},
		"bad types":          {on(projection.Define("sales", banyan.NewTypes(banyan.TypeOf[placed]("", 0)), nil)), "version from 1"},
		"negative batch":     {on(projection.Define("sales", types, &projection.Options{BatchSize: -1})), "batch size"},
		"collection twice":   {on(projection.Define("sales", types, &projection.Options{Collections: []projection.Collection{s.totals, s.totals}})), "twice"},
		"nil collection":     {on(projection.Define("sales", types, &projection.Options{Collections: []projection.Collection{nil}})), "nil"},
		"collection's name":  {on(projection.Define("sales", types, &projection.Options{Collections: []projection.Collection{view.NewCollection[total]("Bad")}})), "Bad"},
		"reserved name":      {on(projection.Define("sales", types, &projection.Options{Collections: []projection.Collection{view.NewCollection[total]("banyan_x")}})), "reserved"},
		"type not declared":  {undeclared(), "not declared"},
		"no definition":      {nil, "definition"},
		"two faults are two": {on(on(projection.Define("-", types, nil))), "name"},
	}
	for name, test := range tests {
		_, err := projection.NewRunner(f.store, f.views, test.def, nil)
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: got error %v, want one of kind invalid with %q", name, err, test.want)
		}
	}
	if _, err := projection.NewRunner(f.store, f.views, s.define(projection.Options{}), &projection.RunnerOptions{Lease: -1}); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("negative lease: got error %v, want one of kind invalid", err)
	}
}

func undeclared() *projection.Definition {
	d := projection.Define("sales", types, nil)
	projection.On(d, func(context.Context, *projection.Batch, int, banyan.Event) error { return nil })
	return d
}

func TestOnAnyAndPrefixes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		var seen []string
		d := projection.Define("audit", types, &projection.Options{Prefixes: []string{"order-"}})
		projection.OnAny(d, func(_ context.Context, _ *projection.Batch, payload any, e banyan.Event) error {
			seen = append(seen, fmt.Sprintf("%s %T", e.Type, payload))
			return nil
		})
		r := f.runner(d, nil)
		f.append("order-1", placed{"DE", 1}, banyan.Event{Type: "order.unheard", Data: []byte(`{}`)})
		f.append("basket-1", placed{"DE", 1})
		if _, err := f.store.Tombstone(t.Context(), "order-1", store.Exists); err != nil {
			t.Fatal(err)
		}
		stop := f.start(r)
		f.caughtUp(r)
		stop()
		want := []string{"order.placed projection_test.placed", "order.unheard banyan.Raw", "banyan.tombstone banyan.Raw"}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestWaitReadsYourWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		def := s.define(projection.Options{})
		leader, other := f.runner(def, nil), f.runner(def, nil)
		f.start(leader)
		for i := range 50 {
			token := f.append(stream(i), placed{"DE", 1}).Token()
			r := leader
			if i%2 == 1 {
				r = other // does not lead, nor even run
			}
			if err := r.Wait(t.Context(), token); err != nil {
				t.Fatal(err)
			}
			if _, found, err := s.orders.Get(t.Context(), f.views, stream(i)); err != nil || !found {
				t.Fatalf("order %d is not there after the wait (error %v)", i, err)
			}
		}
		if err := leader.Wait(t.Context(), ""); err != nil {
			t.Errorf("the empty token: %v", err)
		}
		if err := leader.Wait(t.Context(), "nobody"); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("an unknown token: got error %v, want one of kind not found", err)
		}
		parked := f.append(stream(1), cancelled{"bad"}).Token()
		if err := leader.Wait(t.Context(), parked); !errors.Is(err, banyan.ErrUnavailable) || !strings.Contains(err.Error(), "parked") {
			t.Errorf("a parked event: got error %v, want one of kind unavailable that says so", err)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		token := f.append(stream(1), placed{"DE", 1}).Token()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Wait(ctx, token); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody runs: got error %v, want the deadline", err)
		}
	})
}

func TestConsistent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		r := f.runner(s.define(projection.Options{}), &projection.RunnerOptions{MaxWait: 2 * time.Second})
		handler := projection.Consistent(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
		}), r)
		ask := func(result *store.Result, header string) *httptest.ResponseRecorder {
			q := httptest.NewRequest(http.MethodGet, "/", nil)
			if result != nil {
				answer := httptest.NewRecorder()
				projection.SetToken(answer, *result)
				header = answer.Header().Get(projection.TokenHeader)
			}
			if header != "" {
				q.Header.Set(projection.TokenHeader, header)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, q)
			return w
		}
		strange := f.append(stream(1), banyan.Event{ID: "ü 100%/?", Type: "order.placed", Schema: 2, Data: []byte(`{}`)})
		check := func(what string, got *httptest.ResponseRecorder, want int) {
			t.Helper()
			if got.Code != want {
				t.Errorf("%s: got status %d %s, want %d", what, got.Code, got.Body, want)
			}
			if want >= 400 && got.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: content type %q, want problem details", what, got.Header().Get("Content-Type"))
			}
		}
		check("without token", ask(nil, ""), http.StatusNoContent)
		check("nobody runs", ask(&strange, ""), http.StatusGatewayTimeout)
		check("unknown token", ask(nil, "nobody"), http.StatusBadRequest)
		check("broken token", ask(nil, "%zz"), http.StatusBadRequest)
		f.start(r)
		check("handled", ask(&strange, ""), http.StatusNoContent)
		bad := f.append(stream(1), cancelled{"bad"})
		check("parked", ask(&bad, ""), http.StatusServiceUnavailable)
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), &projection.RunnerOptions{Owner: "me"})
		f.fill(8)
		if st := f.status(r); len(st.Generations) != 0 || st.Head != 8 {
			t.Errorf("before the first run: got %+v, want no generation and head 8", st)
		}
		stop := f.start(r)
		f.caughtUp(r)
		want := projection.Status{Name: "sales", Owner: "me", Until: f.status(r).Until, Head: 8, Generations: []projection.Generation{{
			Number: 1, Version: 1, Role: "active", Position: 8, Handled: 8, Progress: 1,
		}}}
		if diff := cmp.Diff(want, f.status(r)); diff != "" {
			t.Errorf("caught up (-want +got):\n%s", diff)
		}
		if left := time.Until(want.Until); left <= 0 || left > 10*time.Second {
			t.Errorf("the lease ends in %v, want within its 10 s", left)
		}
		stop()
		f.append(stream(1), banyan.Event{Type: "order.unheard", Data: []byte(`{}`)})
		if g := f.status(r).Active(); g.Lag != 1 || g.LagTime != 0 {
			t.Errorf("behind by an event that does not concern it: got %+v, want lag 1 and no time", g)
		}
		f.fill(1)
		pause(time.Minute)
		f.fill(6)
		st := f.status(r)
		if g := st.Active(); g.Lag != 8 || g.LagTime != time.Minute || g.Progress != 0.5 || st.Owner != "" {
			t.Errorf("behind: got %+v, want lag 8, a minute, half the log, and no owner", st)
		}
	})
}

func TestEffectFailureIsTheEventsFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := setup(t)
		totals := view.NewCollection[total]("totals")
		broken := true
		ran := effects{}
		d := projection.Define("mails", types, &projection.Options{Collections: []projection.Collection{totals}})
		projection.On(d, func(ctx context.Context, b *projection.Batch, p placed, e banyan.Event) error {
			b.Effect(func(context.Context) error {
				if broken && p.Amount == 13 {
					return fmt.Errorf("mail server: %w", banyan.ErrUnavailable)
				}
				ran.ran(e.ID)
				return nil
			})
			return totals.Update(ctx, b.Writer(), "all", func(t *total) error { t.Orders++; return nil })
		})
		r := f.runner(d, nil)
		f.append(stream(1), placed{"DE", 1})
		bad := f.append(stream(2), placed{"DE", 13})
		f.append(stream(3), placed{"DE", 1})
		f.start(r)
		f.caughtUp(r)
		if all, _, err := totals.Get(t.Context(), f.views, "all"); err != nil || all.Orders != 2 {
			t.Errorf("got %+v and error %v, want the rows of the two others", all, err)
		}
		broken = false
		if err := r.Retry(t.Context(), stream(2)); err != nil {
			t.Fatal(err)
		}
		if n := ran.count(string(bad.Token())); n != 1 {
			t.Errorf("the effect of the parked event ran %d times, want once", n)
		}
	})
}
