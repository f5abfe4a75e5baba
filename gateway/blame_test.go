package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
	"github.com/banyanhq/banyan/internal/gatetest"
)

// twoBehind is a server that speaks HTTP/2 in the clear.
func twoBehind(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// takes reads the body and then waits, if it is asked to, until the call ends.
func takes(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	if r.URL.Path == "/hang" {
		<-r.Context().Done()
	}
	_, _ = io.WriteString(w, "taken")
}

// What a client does is no failure of the target, whatever both speak.
func TestBlame(t *testing.T) {
	t.Parallel()
	for name, upstream := range map[string]gateway.Upstream{
		"HTTP/1.1": {Targets: []string{behind(t, takes)}},
		"HTTP/2":   {Targets: []string{twoBehind(t, takes)}, Protocol: "h2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := opened(t, &gateway.Config{
				Upstreams: map[string]gateway.Upstream{"u": upstream},
				Routes:    []gateway.Route{{Match: "/", To: "u"}, {Match: "/brief", To: "u", Timeout: 200 * time.Millisecond}, {Match: "/retried", To: "u", Retry: &gateway.Retry{}}},
			})
			address, _ := run(t, g, nil)
			for range 6 { // five failures in a row would put the target aside
				cutOff(t, address, "/")
				cutOff(t, address, "/retried")
				leaveOverTwo(t, address)
				hesitate(t, address)
			}
			at := g.Status().Upstreams[0].Targets[0]
			if at.Failures != 0 || at.Health != "well" {
				t.Errorf("the target is %s after %d failures of %d calls", at.Health, at.Failures, at.Calls)
			}
		})
	}
}

// cutOff ends a body early, and the client is told.
func cutOff(t *testing.T, address, path string) {
	t.Helper()
	conn := connect(t, address)
	_, _ = io.WriteString(conn, "PUT "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answered(t, conn, http.StatusBadRequest)
}

// hesitate pauses in a body for longer than the route's timeout, which is not for
// clients.
func hesitate(t *testing.T, address string) {
	t.Helper()
	conn := connect(t, address)
	_, _ = io.WriteString(conn, "PUT /brief HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
	timer := time.NewTimer(350 * time.Millisecond)
	<-timer.C
	_, _ = io.WriteString(conn, "world")
	answered(t, conn, http.StatusOK)
}

// leaveOverTwo gives up a call over HTTP/2 that takes too long.
func leaveOverTwo(t *testing.T, address string) {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/hang", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err == nil {
		t.Errorf("it was answered: %s", resp.Status)
		_ = resp.Body.Close()
	}
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn := gatetest.Dial(t, address)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func answered(t *testing.T, conn net.Conn, status int) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return
	}
	if resp.StatusCode != status {
		t.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	_ = conn.Close() // first: closing a body reads it to its end
	_ = resp.Body.Close()
}

// The head of a stream does not wait for its first piece: it may be the client
// that has to speak first.
func TestHeadOfStream(t *testing.T) {
	t.Parallel()
	h := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for name, upstream := range map[string]gateway.Upstream{
		"HTTP/1.1": {Targets: []string{behind(t, h)}},
		"HTTP/2":   {Targets: []string{twoBehind(t, h)}, Protocol: "h2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := run(t, opened(t, &gateway.Config{Upstreams: map[string]gateway.Upstream{"u": upstream}, Routes: []gateway.Route{{Match: "/", To: "u"}}}), nil)
			conn := connect(t, address)
			_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			answered(t, conn, http.StatusOK)
		})
	}
}
