package wscases_test

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// WebSockets over HTTP/2 (RFC 8441) are not offered: the setting is missing, and a
// client that tries nevertheless loses its stream, not its connection. Browsers
// open a connection of HTTP/1.1 then. Fields of a handshake of HTTP/1.1 ask for
// nothing in HTTP/2 (RFC 9113 §8.2.2).
func TestHTTP2(t *testing.T) {
	t.Parallel()
	everyWay(t, handled(t, http.HandlerFunc(door))[1:], func(t *testing.T, r road) {
		if r.tls != nil {
			r.tls = &tls.Config{RootCAs: r.tls.RootCAs, ServerName: r.tls.ServerName, NextProtos: []string{"h2"}}
		}
		conn := r.dial(t)
		say(conn, http2.ClientPreface)
		f := http2.NewFramer(conn, conn)
		f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		common := []string{":scheme", "https", ":authority", "localhost", "sec-websocket-version", "13"}
		_ = f.WriteSettings() // a dead connection shows at the answers
		ask(f, 1, append([]string{":method", "CONNECT", ":protocol", "websocket", ":path", "/echo"}, common...))
		ask(f, 3, append(append([]string{":method", "GET", ":path", "/echo"}, common...), "sec-websocket-key", key, "connection", "upgrade", "upgrade", "websocket"))
		ask(f, 5, append([]string{":method", "GET", ":path", "/plain"}, common...))
		got := map[uint32]string{}
		for len(got) < 3 {
			next, err := f.ReadFrame()
			if err != nil {
				t.Fatalf("the connection ends after %v: %v", got, err)
			}
			switch next := next.(type) {
			case *http2.SettingsFrame:
				if v, ok := next.Value(http2.SettingEnableConnectProtocol); ok && v != 0 {
					t.Error("extended CONNECT is offered")
				}
			case *http2.RSTStreamFrame:
				got[next.StreamID] = next.ErrCode.String()
			case *http2.MetaHeadersFrame:
				got[next.StreamID] = next.PseudoValue("status")
			}
		}
		if got[1] != "PROTOCOL_ERROR" || got[3] != "400" || got[5] != "200" {
			t.Errorf("the streams end with %v", got)
		}
	})
}

// ask sends the head of a request without a body; an extended CONNECT goes on.
func ask(f *http2.Framer, stream uint32, fields []string) {
	var block bytes.Buffer
	encode := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = encode.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // to memory
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: fields[1] != "CONNECT", EndHeaders: true}) // as above
}
