package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// An append says where it expects the stream, so that of two who decided on the
// same state one is told. Sent again with the same ids, it is stored once.
func ExampleStore_Append() {
	ctx := context.Background()
	st, err := mem.Open().Store(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	placed := banyan.Event{ID: "536365-placed", Type: "order.placed", Data: []byte(`{"customer":"17850"}`)}
	result, err := st.Append(ctx, "order-536365", store.NoStream, placed)
	fmt.Println("revision", result.Revision(), err)

	result, err = st.Append(ctx, "order-536365", store.NoStream, placed) // the answer got lost
	fmt.Println("revision", result.Revision(), "duplicate", result.Duplicate, err)

	paid := banyan.Event{Type: "order.paid", Data: []byte(`{}`)}
	_, err = st.Append(ctx, "order-536365", store.NoStream, paid)
	fmt.Println(err, errors.Is(err, banyan.ErrConflict))

	_, err = st.Append(ctx, "order-536365", store.Exact(1), paid)
	fmt.Println(err)
	// Output:
	// revision 1 <nil>
	// revision 1 duplicate true <nil>
	// store: append order-536365: stream order-536365: conflict: expected no stream, it is at revision 1 true
	// <nil>
}

// A reader keeps the position of the last event it has handled and goes on from
// there. Follow would wait for what comes next.
func ExampleStore_All() {
	ctx := context.Background()
	st, err := mem.Open().Store(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	event := func(eventType string) banyan.Event { return banyan.Event{Type: eventType, Data: []byte(`{}`)} }
	if _, err := st.AppendAll(ctx,
		store.Write{Stream: "order-1", Expect: store.NoStream, Events: []banyan.Event{event("order.placed"), event("order.paid")}},
		store.Write{Stream: "stock-85123A", Expect: store.Any, Events: []banyan.Event{event("stock.reserved")}},
	); err != nil {
		log.Fatal(err)
	}
	if _, err := st.Append(ctx, "order-2", store.NoStream, event("order.placed")); err != nil {
		log.Fatal(err)
	}

	var position banyan.Position
	for e, err := range st.All(ctx, position, store.Filter{Prefixes: []string{"order-"}}) {
		if err != nil {
			log.Fatal(err)
		}
		position = e.Position
		fmt.Printf("%d %s@%d %s\n", e.Position, e.Stream, e.Revision, e.Type)
	}
	// Output:
	// 1 order-1@1 order.placed
	// 2 order-1@2 order.paid
	// 4 order-2@1 order.placed
}
