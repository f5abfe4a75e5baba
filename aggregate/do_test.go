package aggregate_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

func TestDoStoresTheDecision(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	at := time.Date(2010, 12, 1, 8, 26, 0, 0, time.UTC)
	ctx := banyan.WithMetadata(context.Background(), banyan.Metadata{Actor: "from context", Tenant: "acme"})
	answer, err := f.accounts.Do(ctx, "1", aggregate.Command{
		ID: "c1", Time: at, Meta: banyan.Metadata{Actor: "ann", Correlation: "process"},
	}, func(account) ([]any, error) { return []any{opened{"ann"}, deposited{7}}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(account{Owner: "ann", Balance: 7, Events: 2}, answer.State); diff != "" {
		t.Errorf("state: %s", diff)
	}
	if answer.Repeated || answer.Duplicate || answer.Revision() != 2 {
		t.Errorf("got %+v, want a new answer at revision 2", answer)
	}
	meta := banyan.Metadata{Actor: "ann", Correlation: "process", Causation: "c1", Tenant: "acme"}
	for _, e := range answer.Events {
		if !e.Time.Equal(at) || e.Stream != "account-1" {
			t.Errorf("event at %v in %s, want %v in account-1", e.Time, e.Stream, at)
		}
		if diff := cmp.Diff(meta, e.Meta); diff != "" {
			t.Errorf("metadata: %s", diff)
		}
	}
	want := aggregate.Loaded[account]{State: answer.State, Revision: 2, Exists: true}
	if diff := cmp.Diff(want, f.load("1")); diff != "" {
		t.Errorf("loaded: %s", diff)
	}
	if l := f.load("2"); l.Exists || l.Revision != 0 {
		t.Errorf("a stream without events: got %+v", l)
	}
}

func TestClockGivesTheTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2011, 1, 2, 3, 4, 5, 0, time.UTC)
	f := setup(t, &aggregate.Options[account]{Clock: func() time.Time { return at }})
	if e := f.do("1", aggregate.Command{}, deposit(1)).Events[0]; !e.Time.Equal(at) {
		t.Errorf("got %v, want %v", e.Time, at)
	}
}

func TestInitialState(t *testing.T) {
	t.Parallel()
	f := setup(t, &aggregate.Options[account]{Initial: account{Balance: 100}})
	if got := f.do("1", aggregate.Command{}, withdraw(30)).State.Balance; got != 70 {
		t.Errorf("got balance %d, want 70", got)
	}
}

func TestRaceLosesNoDecision(t *testing.T) {
	t.Parallel()
	f := setup(t, &aggregate.Options[account]{Retries: 1000})
	const workers, each = 16, 10
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				if _, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, deposit(1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if l := f.load("1"); l.State.Balance != workers*each || l.Revision != workers*each {
		t.Errorf("got balance %d at revision %d, want %d", l.State.Balance, l.Revision, workers*each)
	}
}

func TestRaceKeepsTheRule(t *testing.T) {
	t.Parallel()
	f := setup(t, &aggregate.Options[account]{Retries: 1000})
	f.do("1", aggregate.Command{}, deposit(50))
	var mu sync.Mutex
	done, refused := 0, 0 // guarded by mu
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, withdraw(10))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case errors.Is(err, errNoMoney):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if balance := f.load("1").State.Balance; done != 5 || refused != 11 || balance != 0 {
		t.Errorf("got %d done, %d refused, balance %d; want 5, 11, 0", done, refused, balance)
	}
}

func TestRefusalIsNotRetried(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	calls := 0
	_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: "c"}, func(a account) ([]any, error) {
		calls++
		return withdraw(1)(a)
	})
	wantKind(t, err, errNoMoney)
	if calls != 1 || f.events("account-1") != 0 {
		t.Errorf("decided %d times and stored %d events, want 1 and 0", calls, f.events("account-1"))
	}
}

func TestNothingToDo(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	f.do("1", aggregate.Command{}, deposit(3))
	answer := f.do("1", aggregate.Command{ID: "c"}, func(account) ([]any, error) { return nil, nil })
	if len(answer.Events) != 0 || answer.Repeated || answer.State.Balance != 3 {
		t.Errorf("got %+v, want no events and the state as it is", answer)
	}
}

// disturb decides like next, but appends an event behind its back first, so that
// its own append conflicts; at most n times.
func (f fixture) disturb(n int, calls *int, next aggregate.Decide[account]) aggregate.Decide[account] {
	return func(a account) ([]any, error) {
		if *calls++; *calls <= n {
			f.append("account-1", banyan.Event{Type: "account.deposited", Data: []byte(`{"Amount":1}`)})
		}
		return next(a)
	}
}

func TestConflictIsDecidedAgain(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	calls := 0
	answer := f.do("1", aggregate.Command{}, f.disturb(2, &calls, deposit(10)))
	if calls != 3 || answer.State.Balance != 12 || answer.Revision() != 3 {
		t.Errorf("got %d calls, balance %d, revision %d; want 3, 12, 3", calls, answer.State.Balance, answer.Revision())
	}
}

func TestConflictForEver(t *testing.T) {
	t.Parallel()
	for retries, want := range map[int]int{-1: 1, 3: 4} {
		f := setup(t, &aggregate.Options[account]{Retries: retries})
		calls := 0
		_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: "c"}, f.disturb(1000, &calls, deposit(10)))
		wantKind(t, err, banyan.ErrConflict)
		var conflict *store.ConflictError
		if !errors.As(err, &conflict) || !strings.Contains(err.Error(), "gave up after") {
			t.Errorf("retries %d: got %q, want the conflict and that it gave up", retries, err)
		}
		if calls != want {
			t.Errorf("retries %d: decided %d times, want %d", retries, calls, want)
		}
	}
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	_, err := f.accounts.Do(ctx, "1", aggregate.Command{}, func(a account) ([]any, error) {
		cancel()
		return f.disturb(1, &calls, deposit(10))(a)
	})
	wantKind(t, err, context.Canceled)
	if _, err := f.accounts.Load(ctx, "1"); !errors.Is(err, context.Canceled) {
		t.Errorf("load: got %v, want the context's end", err)
	}
	if got := f.load("1").State.Balance; got != 1 {
		t.Errorf("got balance %d: the ended call has stored something", got)
	}
}

func TestClosedStream(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	first := f.do("1", aggregate.Command{ID: "c"}, deposit(5))
	if _, err := f.store.Tombstone(context.Background(), "account-1", store.Any); err != nil {
		t.Fatal(err)
	}
	_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{ID: "d"}, func(account) ([]any, error) {
		t.Error("it decided on a closed stream")
		return nil, nil
	})
	wantKind(t, err, banyan.ErrGone)
	_, err = f.accounts.Load(context.Background(), "1")
	wantKind(t, err, banyan.ErrGone)
	l, err := f.accounts.LoadAt(context.Background(), "1", aggregate.At{Revision: 1})
	if err != nil || l.State.Balance != 5 {
		t.Errorf("the past of a closed stream: got %+v, %v", l, err)
	}
	if again := f.do("1", aggregate.Command{ID: "c"}, deposit(5)); !again.Repeated || again.State != first.State {
		t.Errorf("a repetition on a closed stream: got %+v", again)
	}
}

func TestClosedBetweenLoadAndAppend(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, func(account) ([]any, error) {
		f.append("account-1", banyan.Event{Type: banyan.Tombstone, Data: []byte("{}")})
		return []any{deposited{1}}, nil
	})
	wantKind(t, err, banyan.ErrGone)
}

func TestUnknownEvents(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]banyan.Event{
		"type":   {ID: "strange", Type: "account.frozen", Data: []byte("{}")},
		"schema": {ID: "strange", Type: "account.deposited", Schema: 2, Data: []byte(`{"Cents":100}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, nil)
			f.do("1", aggregate.Command{}, deposit(5))
			f.append("account-1", e)
			decided := false
			_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, func(account) ([]any, error) {
				decided = true
				return []any{deposited{1}}, nil
			})
			wantKind(t, err, banyan.ErrUnavailable)
			for _, part := range []string{"strange", "account-1@2", e.Type, "run a newer version of this program"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
			if decided {
				t.Error("it decided on a state that it does not know")
			}
			if l := f.load("1"); l.State.Unknown != 1 || l.State.Balance != 5 {
				t.Errorf("load: got %+v, want the event shown raw", l)
			}
			tolerant := newAccounts(t, f.store, accountTypes(), &aggregate.Options[account]{IgnoreUnknown: true})
			if _, err := tolerant.Do(context.Background(), "1", aggregate.Command{}, deposit(1)); err != nil {
				t.Error(err)
			}
		})
	}
}

type unreadable struct{ A int }

func (unreadable) MarshalJSON() ([]byte, error) { return []byte(`"text"`), nil }

func TestNothingUnreadableIsWritten(t *testing.T) {
	t.Parallel()
	st := openStore(t, nil)
	types := banyan.NewTypes(banyan.TypeOf[unreadable]("account.odd", 1))
	f := fixture{t, st, newAccounts(t, st, types, nil)}
	for _, payload := range []any{unreadable{1}, deposited{1}, nil} {
		_, err := f.accounts.Do(context.Background(), "1", aggregate.Command{}, func(account) ([]any, error) { return []any{payload}, nil })
		wantKind(t, err, banyan.ErrInvalid)
	}
	if n := f.events("account-1"); n != 0 {
		t.Errorf("%d events were written", n)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	st := openStore(t, nil)
	bare, err := store.New(struct{ bareBackend }{bareBackend{mem.Open().Backend()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := banyan.NewTypes(banyan.TypeOf[opened]("", 0))
	cases := map[string]func() error{
		"no store":          func() error { return newErr(nil, "account", accountTypes(), nil) },
		"no types":          func() error { return newErr(st, "account", nil, nil) },
		"no category":       func() error { return newErr(st, "", accountTypes(), nil) },
		"dash":              func() error { return newErr(st, "a-b", accountTypes(), nil) },
		"broken types":      func() error { return newErr(st, "account", broken, nil) },
		"negative snapshot": func() error { return newErr(st, "account", accountTypes(), every(-1, 0)) },
		"no snapshots":      func() error { return newErr(bare, "account", accountTypes(), every(1, 1)) },
	}
	for name, call := range cases {
		t.Run(name, func(t *testing.T) { wantKind(t, call(), banyan.ErrInvalid) })
	}
}

func newErr(st *store.Store, category string, types *banyan.Types, o *aggregate.Options[account]) error {
	_, err := aggregate.New(st, category, types, o)
	return err
}

func every(n, schema int) *aggregate.Options[account] {
	return &aggregate.Options[account]{Snapshot: aggregate.Snapshot{Every: n, Schema: schema}}
}

// bareBackend hides the optional abilities of a back end.
type bareBackend struct{ store.Backend }

func (b bareBackend) Promises() store.Promises {
	p := b.Backend.Promises()
	p.Snapshots = false
	return p
}

func TestEmptyID(t *testing.T) {
	t.Parallel()
	f := setup(t, nil)
	_, err := f.accounts.Do(context.Background(), "", aggregate.Command{}, deposit(1))
	wantKind(t, err, banyan.ErrInvalid)
	_, err = f.accounts.Load(context.Background(), "")
	wantKind(t, err, banyan.ErrInvalid)
}
