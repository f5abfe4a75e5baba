package gatetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

// Behind starts a server of net/http, as one behind the gateway, and returns its URL.
func Behind(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// Serve starts the strict server, as the front of the gateway is one, and returns
// its address. The test fails when it does not drain in ten seconds.
func Serve(t testing.TB, h http.Handler, o *http1.Options) string {
	t.Helper()
	s, err := http1.NewServer(h, o)
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
			_ = s.Close()
		}
		if err := <-ended; !errors.Is(err, http1.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// Each runs a test over the server of net/http and over the strict one.
func Each(t *testing.T, h http.Handler, test func(t *testing.T, address string)) {
	t.Helper()
	t.Run("net/http", func(t *testing.T) { test(t, strings.TrimPrefix(Behind(t, h.ServeHTTP), "http://")) })
	t.Run("http1", func(t *testing.T) { test(t, Serve(t, h, nil)) })
}

// Switching is a handler that takes over the connection, as for a WebSocket, and
// sends back one line.
func Switching(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	})
}

// Upgrade is a head that asks for a WebSocket.
func Upgrade(lines ...string) string {
	return strings.Join(append([]string{"GET / HTTP/1.1", "Host: shop.example", "Connection: Upgrade", "Upgrade: websocket"}, append(lines, "", "")...), "\r\n")
}

// Switched checks on a connection that an upgrade reaches a Switching handler, and
// that the bytes of both sides pass.
func Switched(t testing.TB, conn net.Conn, lines ...string) {
	t.Helper()
	fmt.Fprint(conn, Upgrade(lines...))
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v %v", resp, err)
	}
	fmt.Fprint(conn, "hello\n")
	if all, err := io.ReadAll(in); err != nil || string(all) != "echo hello\n" {
		t.Errorf("got %q, %v", all, err)
	}
}

// Listen returns a listener at a free port of this machine.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Dial returns a connection to a server.
func Dial(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
