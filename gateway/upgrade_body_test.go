package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/internal/http1"
)

// switching is an upstream that switches protocols as soon as it has a head, and
// answers other requests with what it saw.
func switching(t *testing.T, unasked bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	serve := func(conn net.Conn) {
		defer conn.Close()
		for r := bufio.NewReader(conn); ; {
			req, err := http.ReadRequest(r)
			switch {
			case err != nil:
				return
			case req.Header.Get("Upgrade") != "" || unasked && req.URL.Path == "/ws":
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_, _ = io.Copy(conn, r)
				return
			}
			text := req.URL.Path + " " + req.Header.Get("Cookie")
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
		}
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + l.Addr().String()
}

// TestUpgradeWithBody: a body that is still being read when protocols are switched
// is read into no buffer that belongs to the connection of somebody else.
func TestUpgradeWithBody(t *testing.T) {
	t.Parallel()
	for name, unasked := range map[string]bool{"asked": false, "unasked": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := front(t, opened(t, to(switching(t, unasked))))
			for range 30 {
				evil := connect(t, address)
				_, _ = io.WriteString(evil, "POST /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n")
				head, err := bufio.NewReader(evil).ReadString('\n')
				if err != nil || strings.Contains(head, " 101 ") {
					t.Fatalf("a request with a body switched protocols: %q, %v", head, err)
				}
				other := connect(t, address)
				_, _ = io.WriteString(other, "GET /mine HTTP/1.1\r\nHost: x\r\n")
				_, _ = io.WriteString(evil, "GET /evil HTTP/1.1\r\nHost: x\r\n")
				_, _ = io.WriteString(other, "Cookie: a=b\r\nConnection: close\r\n\r\n")
				if all, _ := io.ReadAll(other); !strings.HasSuffix(string(all), "/mine a=b") {
					t.Fatalf("the other's answer: %s", all)
				}
				_ = evil.Close()
			}
		})
	}
}

// TestHijackWithBody: not even a handler can have the connection while the body of
// its request is unread.
func TestHijackWithBody(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/read" {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http1.Problem(w, http.StatusConflict, err.Error())
			return
		}
		_, _ = io.WriteString(conn, "taken")
		_ = conn.Close()
	})
	address := front(t, h)
	for request, want := range map[string]string{
		"GET /none HTTP/1.1\r\nHost: x\r\n\r\n":                                                "taken",
		"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi":                        "taken",
		"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi": "HTTP/1.1 409 ",
	} {
		if got := say(t, address, request); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", request, got, want)
		}
	}
}
