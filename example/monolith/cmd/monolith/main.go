// Command monolith runs the shop as one application: the "before".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/banyanhq/banyan/example/monolith"
	"github.com/banyanhq/banyan/example/shop/api"
	"github.com/banyanhq/banyan/example/shop/orders"
)

func main() {
	path := flag.String("db", "monolith.db", "SQLite file")
	listen := flag.String("listen", "127.0.0.1:8081", "address to serve at")
	latency := flag.Duration("latency", 60*time.Millisecond, "how long each of the five dependencies takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, *path, *listen, *latency); err != nil {
		fmt.Fprintln(os.Stderr, "monolith:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, path, listen string, latency time.Duration) (err error) {
	if latency == 0 {
		latency = -1 // the option's zero is its default
	}
	s, err := monolith.Open(ctx, path, &monolith.Options{Latency: latency})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mux := http.NewServeMux()
	orders.ServeDesk(api.New(mux, "monolith"), s)
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	drained := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		drained <- server.Shutdown(limit)
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}
