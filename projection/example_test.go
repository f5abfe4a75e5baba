package projection_test

import (
	"context"
	"fmt"
	"log"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

// Deposited is the event of the examples.
type Deposited struct {
	Cents int64 `json:"cents"`
}

// Balance is the read model of the examples.
type Balance struct {
	Cents int64 `json:"cents"`
}

var (
	bankTypes = banyan.NewTypes(banyan.TypeOf[Deposited]("account.deposited", 1))
	balances  = view.NewCollection("balances", view.IndexOf("cents", func(b Balance) string { return view.Int(b.Cents) }))
)

// bank is a projection: what an event does to the rows.
func bank() *projection.Definition {
	d := projection.Define("bank", bankTypes, &projection.Options{Collections: []projection.Collection{balances}})
	projection.On(d, func(ctx context.Context, b *projection.Batch, p Deposited, e banyan.Event) error {
		return balances.Update(ctx, b.Writer(), e.Stream, func(x *Balance) error {
			x.Cents += p.Cents
			return nil
		})
	})
	return d
}

func deposit(ctx context.Context, st *store.Store, account string, cents int64) store.Token {
	e, err := bankTypes.Encode(Deposited{cents})
	if err != nil {
		log.Fatal(err)
	}
	result, err := st.Append(ctx, account, store.Any, e)
	if err != nil {
		log.Fatal(err)
	}
	return result.Token()
}

// A projection that runs, and a reader that sees what it has just written.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	db := mem.Open()
	st, err := db.Store(nil)
	if err != nil {
		log.Fatal(err)
	}
	views, err := db.Views()
	if err != nil {
		log.Fatal(err)
	}
	runner, err := projection.NewRunner(st, views, bank(), nil)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- runner.Run(ctx) }()

	deposit(ctx, st, "account-1", 500)
	deposit(ctx, st, "account-2", 2000)
	token := deposit(ctx, st, "account-1", 250)
	if err := runner.Wait(ctx, token); err != nil {
		log.Fatal(err)
	}
	page, err := balances.Scan(ctx, views, view.Query{Index: "cents", Desc: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range page.Items {
		fmt.Println(item.Key, item.Value.Cents)
	}
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// account-2 2000
	// account-1 750
	// stopped: <nil>
}

// Rebuild makes the rows anew beside the live ones and then switches readers.
func ExampleRunner_Rebuild() {
	ctx, stop := context.WithCancel(context.Background())
	db := mem.Open()
	st, _ := db.Store(nil)
	views, _ := db.Views()
	runner, err := projection.NewRunner(st, views, bank(), nil)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- runner.Run(ctx) }()
	if err := runner.Wait(ctx, deposit(ctx, st, "account-1", 500)); err != nil {
		log.Fatal(err)
	}

	number, err := runner.Rebuild(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	for {
		status, err := runner.Status(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if status.Active().Number == number {
			break
		}
	}
	balance, _, err := balances.Get(ctx, views, "account-1")
	fmt.Println("generation", number, "has", balance.Cents, err)
	stop()
	<-done
	// Output:
	// generation 2 has 500 <nil>
}
