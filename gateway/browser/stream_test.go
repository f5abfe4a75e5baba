package browser_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/internal/http1"
)

// Streams, early hints and trailers pass, in each way to write.
func TestStreams(t *testing.T) {
	t.Parallel()
	read := make(chan string)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Access-Control-Allow-Credentials", "true") // after the hints, and not to get through
		control := http.NewResponseController(w)
		for i := range 3 {
			line := fmt.Sprintf("data: %d\n", i)
			switch r.URL.Path {
			case "/write":
				_, _ = io.WriteString(w, line)
			case "/copy":
				_, _ = http1.Copy(w, strings.NewReader(line))
			case "/read-from":
				_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(line)})
			case "/flush-first":
				_ = control.Flush()
				_, _ = io.WriteString(w, line)
			}
			if err := control.Flush(); err != nil {
				t.Error(err)
			}
			if got := <-read; got != line {
				t.Errorf("got %q, want %q", got, line)
			}
		}
		w.Header().Set("X-Sum", "42")
	})
	h := wrap(t, browser.Config{Security: &browser.Security{}, CORS: &browser.CORS{Origins: []string{"*"}}, CDN: &browser.CDN{}}, mux)
	each(t, h, func(t *testing.T, address string) {
		for _, path := range []string{"/write", "/copy", "/read-from", "/flush-first"} {
			hints := 0
			trace := &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
				if h.Get("Link") != "" {
					hints++
				}
				return nil
			}}
			r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			tr := &http.Transport{}
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			in := bufio.NewReader(resp.Body)
			for range 3 {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				read <- line
			}
			_, _ = io.Copy(io.Discard, in)
			_ = resp.Body.Close()
			tr.CloseIdleConnections()
			if hints != 1 || resp.Trailer.Get("X-Sum") != "42" || resp.Header.Get("X-Frame-Options") != "SAMEORIGIN" || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %d hints, header %v, trailer %v", path, hints, resp.Header, resp.Trailer)
			}
		}
	})
}

// G24 over the wire: the page's own WebSocket gets through, another's does not, and
// what follows a refusal is a request of its own.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	h := wrap(t, browser.Config{CrossSite: &browser.CrossSite{}, Security: &browser.Security{}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	}))
	each(t, h, func(t *testing.T, address string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for origin, want := range map[string]int{"http://evil.example": 403, "": 403} {
			head := "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: a=b\r\n"
			if origin != "" {
				head += "Origin: " + origin + "\r\n"
			}
			fmt.Fprint(conn, head+"\r\n")
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != want || resp.Header.Get("X-Content-Type-Options") == "" {
				t.Fatalf("%q: %v %v", origin, resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: a=b\r\nOrigin: http://shop.example\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%v %v", resp, err)
		}
		fmt.Fprint(conn, "hello\n")
		if all, err := io.ReadAll(in); err != nil || string(all) != "echo hello\n" {
			t.Errorf("got %q, %v", all, err)
		}
	})
}
