package acme_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// The gateway's front door gets its certificate through itself, and serves both
// protocols with it.
func TestBehindTheFront(t *testing.T) {
	t.Parallel()
	l, port := listener(t)
	ca := startAuthority(t, options{httpPort: 1, tlsPort: port})
	m, _, _ := manage(t, ca.config(t, "front.test"), time.Minute)
	f, err := gateway.NewFront(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }), &gateway.FrontOptions{TLS: m.TLS()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	addr := l.Addr().String()
	eventually(t, addr, "front.test", ca.roots)
	for _, two := range []bool{false, true} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{ServerName: "front.test", RootCAs: ca.roots}, ForceAttemptHTTP2: two}
		t.Cleanup(transport.CloseIdleConnections)
		resp, err := (&http.Client{Transport: transport}).Get("https://" + addr) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if want := map[bool]int{false: 1, true: 2}[two]; resp.ProtoMajor != want {
			t.Errorf("HTTP/%d, want %d", resp.ProtoMajor, want)
		}
	}
}
