package http1_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
)

// What a server sends behind an answer, in a segment of its own, is not taken for
// the answer to the next call: it may be what somebody else has uploaded.
func TestUnasked(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct{ method, answer string }{
		"a body behind HEAD": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n"},
		"a body behind 204":  {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		"a longer body":      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers, more := make(chan string, 1), make(chan string)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() {
				for first := true; ; first = false {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						r := bufio.NewReader(conn)
						for range 2 {
							if _, err := http.ReadRequest(r); err != nil {
								return
							}
							_, _ = io.WriteString(conn, <-answers)
							if first {
								_, _ = io.WriteString(conn, <-more)
								more <- "" // it is on its way
							}
						}
					}()
				}
			}()
			c := newClient(t, l.Addr().String(), nil)
			answers <- k.answer
			if _, _, err := call(t, c, k.method, "/", nil); err != nil {
				t.Fatal(err)
			}
			more <- "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
			<-more
			answers <- "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"
			if _, text, err := call(t, c, "GET", "/", nil); err != nil || text != "true" {
				t.Errorf("the next call got %q, %v", text, err)
			}
		})
	}
}
