package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// The domain of these tests: an account.
type (
	opened    struct{ Owner string }
	deposited struct{ Amount int }
	withdrawn struct{ Amount int }
)

type account struct {
	Owner   string
	Balance int
	Events  int // how many events were applied
	Unknown int // how many of them were raw
}

func (a account) Apply(event any) account {
	a.Events++
	switch e := event.(type) {
	case opened:
		a.Owner = e.Owner
	case deposited:
		a.Balance += e.Amount
	case withdrawn:
		a.Balance -= e.Amount
	case banyan.Raw:
		a.Unknown++
	}
	return a
}

var errNoMoney = errors.New("not enough money")

func deposit(amount int) aggregate.Decide[account] {
	return func(account) ([]any, error) { return []any{deposited{amount}}, nil }
}

func withdraw(amount int) aggregate.Decide[account] {
	return func(a account) ([]any, error) {
		if a.Balance < amount {
			return nil, fmt.Errorf("%w: %d of %d", errNoMoney, a.Balance, amount)
		}
		return []any{withdrawn{amount}}, nil
	}
}

func accountTypes() *banyan.Types {
	return banyan.NewTypes(
		banyan.TypeOf[opened]("account.opened", 1),
		banyan.TypeOf[deposited]("account.deposited", 1),
		banyan.TypeOf[withdrawn]("account.withdrawn", 1),
	)
}

type fixture struct {
	t        *testing.T
	store    *store.Store
	accounts *aggregate.Aggregate[account]
}

func setup(t *testing.T, o *aggregate.Options[account]) fixture {
	t.Helper()
	return setupStore(t, openStore(t, nil), o)
}

func setupStore(t *testing.T, st *store.Store, o *aggregate.Options[account]) fixture {
	t.Helper()
	return fixture{t, st, newAccounts(t, st, accountTypes(), o)}
}

func openStore(t *testing.T, o *store.Options) *store.Store {
	t.Helper()
	db := mem.Open()
	t.Cleanup(func() { _ = db.Close() })
	st, err := db.Store(o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func newAccounts(t *testing.T, st *store.Store, types *banyan.Types, o *aggregate.Options[account]) *aggregate.Aggregate[account] {
	t.Helper()
	a, err := aggregate.New(st, "account", types, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// do handles a command that must succeed.
func (f fixture) do(id string, c aggregate.Command, decide aggregate.Decide[account]) aggregate.Answer[account] {
	f.t.Helper()
	answer, err := f.accounts.Do(context.Background(), id, c, decide)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

func (f fixture) load(id string) aggregate.Loaded[account] {
	f.t.Helper()
	l, err := f.accounts.Load(context.Background(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// events counts what is in a stream.
func (f fixture) events(stream string) int {
	f.t.Helper()
	n := 0
	for _, err := range f.store.Read(context.Background(), stream, store.ReadOptions{}) {
		if err != nil {
			f.t.Fatal(err)
		}
		n++
	}
	return n
}

func (f fixture) append(stream string, events ...banyan.Event) {
	f.t.Helper()
	if _, err := f.store.Append(context.Background(), stream, store.Any, events...); err != nil {
		f.t.Fatal(err)
	}
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got error %v, want one of kind %v", err, kind)
	}
}
