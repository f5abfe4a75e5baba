package gateway_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/banyanhq/banyan/gateway"
)

// overRaw sends a request over HTTP/2 that no client of Go would send, and returns
// the status of its answer; "": there was none.
func overRaw(t *testing.T, address string, fields ...hpack.HeaderField) (status string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range append([]hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "x"}}, fields...) {
		_ = encoder.WriteField(field)
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	decoder := hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == ":status" {
			status = field.Value
		}
	})
	for status == "" {
		frame, err := f.ReadFrame()
		if err != nil {
			return "cut off"
		}
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			_, _ = decoder.Write(frame.HeaderBlockFragment())
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		}
	}
	return status
}

// TestBlameOverTwo: what a client writes over HTTP/2 that cannot be said over
// HTTP/1.1 is its own fault, and no failure of the upstream.
func TestBlameOverTwo(t *testing.T) {
	t.Parallel()
	u := behind(t, func(http.ResponseWriter, *http.Request) {})
	c := to(u)
	up := c.Upstreams["u"]
	up.Breaker = &gateway.Breaker{FailureRate: 0.5, MinCalls: 5}
	c.Upstreams["u"] = up
	g := opened(t, c)
	address, _ := run(t, g, nil)
	for query, want := range map[string]string{"a b": "400", "é": "400", "a#b": "400", "\u00a0": "400", "\xff": "400", `a"b\<>`: "200", "%C3%A9": "200"} {
		for range 6 {
			if got := overRaw(t, address, hpack.HeaderField{Name: ":path", Value: "/?" + query}); got != want {
				t.Errorf("query %q: %s, want %s", query, got, want)
			}
		}
	}
	if got := overRaw(t, address, hpack.HeaderField{Name: ":path", Value: "/"}); got != "200" {
		t.Errorf("after them a good request gets %s", got)
	}
	if n := g.Status().Upstreams[0].Targets[0].Failures; n != 0 {
		t.Errorf("%d failures are counted against the upstream", n)
	}
}
