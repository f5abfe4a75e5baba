package browser_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/gateway/browser"
	"github.com/banyanhq/banyan/internal/gatetest"
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
	gatetest.Each(t, h, func(t *testing.T, address string) {
		for _, path := range []string{"/write", "/copy", "/read-from", "/flush-first"} {
			var hints []http.Header
			resp := gatetest.Fetch(t, gatetest.Hints(gatetest.To(t, http.MethodGet, address+path, nil), &hints))
			in := bufio.NewReader(resp.Body)
			for range 3 {
				line, err := in.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				read <- line
			}
			_, _ = io.Copy(io.Discard, in)
			if len(hints) != 1 || hints[0].Get("Link") == "" || resp.Trailer.Get("X-Sum") != "42" || resp.Header.Get("X-Frame-Options") != "SAMEORIGIN" || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: hints %v, header %v, trailer %v", path, hints, resp.Header, resp.Trailer)
			}
		}
	})
}

// G24 over the wire: the page's own WebSocket gets through, another's does not, and
// what follows a refusal is a request of its own.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	h := wrap(t, browser.Config{CrossSite: &browser.CrossSite{}, Security: &browser.Security{}}, gatetest.Switching(t))
	gatetest.Each(t, h, func(t *testing.T, address string) {
		conn := gatetest.Dial(t, address)
		in := bufio.NewReader(conn)
		for _, lines := range [][]string{{"Cookie: a=b", "Origin: http://evil.example"}, {"Cookie: a=b"}} {
			fmt.Fprint(conn, gatetest.Upgrade(lines...))
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != http.StatusForbidden || resp.Header.Get("X-Content-Type-Options") == "" {
				t.Fatalf("%q: %v %v", lines, resp, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		gatetest.Switched(t, conn, "Cookie: a=b", "Origin: http://shop.example")
	})
}
