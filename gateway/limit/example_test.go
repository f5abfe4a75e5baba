package limit_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/banyanhq/banyan/gateway/limit"
)

// Three requests a second from each address, and two of them at once.
func Example() {
	rate, err := limit.ParseRate("3/s burst 2")
	if err != nil {
		fmt.Println(err)
		return
	}
	address := func(r *http.Request) string {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return host
	}
	l, err := limit.New([]limit.Rule{{Name: "client", Rate: rate, Key: address}}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	shop := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "welcome") }))
	for range 3 {
		w := httptest.NewRecorder()
		shop.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(w.Code, w.Header().Get("RateLimit"))
	}
	// Output:
	// 200 "client";r=1;t=1
	// 200 "client";r=0;t=1
	// 429 "client";r=0;t=1
}

// An export costs as much as twenty other requests, and nobody may do more than
// fifty a day; what is refused by one rule takes nothing from the other.
func ExampleLimiter_Decide() {
	cost := func(r *http.Request) int64 {
		if r.URL.Path == "/export" {
			return 20
		}
		return 1
	}
	l, err := limit.New([]limit.Rule{
		{Name: "hour", Rate: limit.Rate{Count: 30, Per: 3600e9}, Cost: cost},
		{Name: "day", Rate: limit.Rate{Count: 50, Per: 24 * 3600e9}, Cost: cost},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range []string{"/export", "/export", "/", "/"} {
		d := l.Decide(httptest.NewRequest(http.MethodGet, path, nil))
		fmt.Printf("%s %t %q\n", path, d.Allowed, d.Rule)
	}
	// Output:
	// /export true ""
	// /export false "hour"
	// / true ""
	// / true ""
}

// Two processes with one store. A Memory stands in for postgres.DB.Limits here.
func ExampleNewCluster() {
	store, err := limit.NewMemory(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	process := func() (*limit.Limiter, error) {
		c, err := limit.NewCluster(store, &limit.ClusterOptions{Processes: 2})
		if err != nil {
			return nil, err
		}
		return limit.New([]limit.Rule{{Rate: limit.Rate{Count: 3, Per: 3600e9}}}, &limit.Options{Cluster: c})
	}
	one, err := process()
	if err != nil {
		fmt.Println(err)
		return
	}
	other, err := process()
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for range 2 {
		fmt.Println(one.Decide(r).Allowed, other.Decide(r).Allowed)
	}
	// Output:
	// true true
	// true false
}

// Programs read rates from their configuration.
func ExampleParseRate() {
	for _, text := range []string{"100/s", "1000/1h burst 50", "ten/s"} {
		fmt.Println(limit.ParseRate(text))
	}
	// Output:
	// 100/s <nil>
	// 1000/h burst 50 <nil>
	// 0/0s limit: parse rate "ten/s": invalid: the count is "ten"; want a whole number from 1, in digits only
}
