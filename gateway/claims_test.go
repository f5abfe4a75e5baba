package gateway_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestClaims: what only proxies say does not pass, in no spelling, and in no
// trailer either (G12).
func TestClaims(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		names := slices.Concat(slices.Collect(maps.Keys(r.Header)), slices.Collect(maps.Keys(r.Trailer)))
		slices.Sort(names)
		_, _ = io.WriteString(w, "<"+strings.Join(names, " ")+"> "+strings.Join(r.Header["X-Forwarded-For"], "|"))
	})
	address := front(t, opened(t, to(u)))
	const want = "<Traceparent X-Checksum X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Own X-Request-Timeout> 127.0.0.1"
	for _, claim := range []string{
		"X-Forwarded-User: admin", "X-Forwarded-Email: a@b", "X-Forwarded-Uri: /admin", "X-Forwarded-Path: /admin", "X-Forwarded-Method: PUT", "X-Forwarded-Protocol: https",
		"X-Original-Method: PUT", "X-Original-Forwarded-For: 10.0.0.1", "X-Rewrite-Path: /admin", "X-REWRITE-URL: /admin", "Proxy: http://elsewhere",
		"X.Forwarded.For: 10.0.0.1", "X~Forwarded-For: 10.0.0.1", "X.Original-Url: /admin", "x!real!ip: 10.0.0.1", "X_Real_Ip: 10.0.0.1", "X-Http-Method-Override: DELETE", "X.HTTP.Method.Override: DELETE",
	} {
		got := say(t, address, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX-Own: x\r\n"+claim+"\r\n\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\n"+claim+"\r\n\r\n")
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s", claim, got)
		}
	}
}
