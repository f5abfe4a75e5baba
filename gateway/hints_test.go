package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// TestHedgedHints: informational answers of a call and of its hedge would be
// written to one client at the same time. That ended the whole program
// ("concurrent map iteration and map write").
func TestHedgedHints(t *testing.T) {
	t.Parallel()
	pair := make(chan bool)
	u := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		select { // a call and its hedge wait for each other
		case pair <- true:
		case <-pair:
		case <-time.After(20 * time.Millisecond): // it has none
		}
		w.Header().Set("Link", "</a.css>")
		for range 10 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		_, _ = w.Write([]byte("ok"))
	})
	c := to(u)
	c.Routes[0].Retry = &gateway.Retry{Budget: 1}
	c.Routes[0].Hedge = &gateway.Hedge{After: time.Microsecond}
	const calls = 30
	got := say(t, front(t, opened(t, c)), strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", calls)+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if n := strings.Count(got, "HTTP/1.1 200 OK"); n != calls+1 || strings.Count(got, "HTTP/1.1 ") != n {
		t.Errorf("%d answers of %d, and %d others", n, calls+1, strings.Count(got, "HTTP/1.1 ")-n)
	}
}
