package redislimit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/banyanhq/banyan/gateway/limit"
	"github.com/banyanhq/banyan/gateway/limit/redislimit"
)

// One limit for all gateways that have the same Redis. (Compiled, not run: it
// needs a server.)
func Example() {
	ctx := context.Background()
	store, err := redislimit.Open(ctx, os.Getenv("REDIS_URL"), &redislimit.Options{Prefix: "shop:limit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	cluster, err := limit.NewCluster(store, &limit.ClusterOptions{Processes: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close() // before the store
	rate, err := limit.ParseRate("100/s burst 200")
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := limit.New([]limit.Rule{{Rate: rate}}, &limit.Options{Cluster: cluster})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Decide(httptest.NewRequest(http.MethodGet, "/", nil)).Allowed)
}

// A wrong URL is not repeated: any part of it may be the password.
func ExampleOpen() {
	_, err := redislimit.Open(context.Background(), "redis://gateway:pass/word@redis.internal", nil)
	fmt.Println(err)
	// Output:
	// redislimit: open: invalid: the URL is not understood; want redis://user:password@host:port/database, rediss:// or unix://user:password@/path?db=database, with %-encoding of special characters in the password, and only known parameters
}
