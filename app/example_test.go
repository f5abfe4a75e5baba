package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/store"
)

// A service in a test: the same App that Main runs, on a free port.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a, err := app.New(ctx, app.Config{Name: "orders", StoreURL: "mem:", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	a.Handle("POST /orders/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := a.Store.Append(r.Context(), "order-"+r.PathValue("id"), store.NoStream, banyan.Event{Type: "order.placed", Data: []byte("{}")})
		if err != nil {
			app.Error(w, r, err)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()

	for range 2 {
		resp, err := http.Post("http://"+a.Addr()+"/orders/17", "", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		fmt.Println(resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	cancel() // what a signal does under Main
	fmt.Println("stopped:", <-done)
	// Output:
	// 201 Created
	// 409 Conflict
	// stopped: <nil>
}

// What is wrong with a configuration is told with its place.
func ExampleLoad() {
	_, err := app.Load("orders", []string{"--drain-timeout", "20"}, func(string) string { return "" })
	fmt.Println(err)

	c, _ := app.Load("orders", []string{"--listen", ":9000"}, func(name string) string {
		return map[string]string{"BANYAN_ORDERS_LISTEN": ":8000", "BANYAN_ORDERS_STORE": "mem:"}[name]
	})
	fmt.Println(c.Listen, c.StoreURL)
	// Output:
	// app: config: flag --drain-timeout: invalid: "20" is not a duration; write it like 500ms, 20s or 1m30s
	// :9000 mem:
}

func ExampleRedact() {
	fmt.Println(app.Redact("postgres://shop:correct-horse@db.example:5432/shop?sslmode=verify-full"))
	// Output: postgres://shop:xxxxx@db.example:5432/shop?sslmode=verify-full
}
