package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway"
)

// TestUpgradeToTwo: a handshake that an upstream of HTTP/2 cannot get is no failure
// of that upstream.
func TestUpgradeToTwo(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	c := to(s.URL)
	c.Upstreams["u"] = gateway.Upstream{Targets: []string{s.URL}, Protocol: "h2", Breaker: &gateway.Breaker{FailureRate: 0.5, MinCalls: 5}}
	g := opened(t, c)
	address := front(t, g)
	for range 6 {
		got := say(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		if strings.HasPrefix(got, "HTTP/1.1 5") && !strings.HasPrefix(got, "HTTP/1.1 501") {
			t.Errorf("a handshake: %s", got)
		}
	}
	if got := say(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("after them a good request gets %s", got)
	}
	if n := g.Status().Upstreams[0].Targets[0].Failures; n != 0 {
		t.Errorf("%d failures are counted against the upstream", n)
	}
}
