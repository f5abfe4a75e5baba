package aggregate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/aggregate"
	"github.com/banyanhq/banyan/mem"
)

// Domain code: events, a state that folds them, and decisions. No I/O.

type SeatReserved struct{ Guest string }

type Show struct{ Taken int }

func (s Show) Apply(event any) Show {
	if _, ok := event.(SeatReserved); ok {
		s.Taken++
	}
	return s
}

var ErrSoldOut = errors.New("sold out")

func Reserve(guest string) aggregate.Decide[Show] {
	return func(s Show) ([]any, error) {
		if s.Taken == 2 {
			return nil, ErrSoldOut
		}
		return []any{SeatReserved{guest}}, nil
	}
}

func Example() {
	ctx := context.Background()
	db := mem.Open()
	defer db.Close()
	st, err := db.Store(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	types := banyan.NewTypes(banyan.TypeOf[SeatReserved]("show.seat-reserved", 1))
	shows, err := aggregate.New[Show](st, "show", types, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, guest := range []string{"ann", "bob", "cid"} {
		answer, err := shows.Do(ctx, "hamlet", aggregate.Command{ID: "reserve-" + guest}, Reserve(guest))
		fmt.Println(guest, answer.State.Taken, errors.Is(err, ErrSoldOut))
	}
	// Ann's browser sends the request again.
	again, err := shows.Do(ctx, "hamlet", aggregate.Command{ID: "reserve-ann"}, Reserve("ann"))
	fmt.Println("ann again", again.State.Taken, again.Repeated, err)
	// Output:
	// ann 1 false
	// bob 2 false
	// cid 0 true
	// ann again 1 true <nil>
}

func ExampleAggregate_LoadAt() {
	ctx := context.Background()
	db := mem.Open()
	defer db.Close()
	st, _ := db.Store(nil)
	types := banyan.NewTypes(banyan.TypeOf[SeatReserved]("show.seat-reserved", 1))
	shows, err := aggregate.New[Show](st, "show", types, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, guest := range []string{"ann", "bob"} {
		if _, err := shows.Do(ctx, "hamlet", aggregate.Command{}, Reserve(guest)); err != nil {
			fmt.Println(err)
		}
	}
	before, _ := shows.LoadAt(ctx, "hamlet", aggregate.At{Revision: 1})
	now, _ := shows.Load(ctx, "hamlet")
	fmt.Println(before.State.Taken, now.State.Taken)
	// Output: 1 2
}
