package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/gateway"
)

// The end of the client ends the call behind.
func TestClientGoes(t *testing.T) {
	t.Parallel()
	began, ended := make(chan bool), make(chan bool)
	u := behind(t, func(_ http.ResponseWriter, r *http.Request) {
		began <- true
		<-r.Context().Done()
		ended <- true
	})
	conn, err := net.Dial("tcp", front(t, opened(t, to(u))))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	_ = conn.Close()
	<-ended
}

// Events of a stream arrive when they are sent.
func TestStreams(t *testing.T) {
	t.Parallel()
	next := make(chan bool)
	u := behind(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	c := to(u)
	c.Routes[0].Timeout = 50 * time.Millisecond                     // until the head; the stream lasts longer
	resp, err := http.Get("http://" + front(t, opened(t, c)) + "/") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		if lines.Scan(); lines.Text() != fmt.Sprint("data: ", i) {
			t.Fatalf("line %q", lines.Text())
		}
		lines.Scan()
		if i == 1 {
			timer := time.NewTimer(100 * time.Millisecond)
			<-timer.C
		}
		next <- true
	}
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("the end: %q, %v", lines.Text(), lines.Err())
	}
}

func TestTrailers(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "Sum")
		_, _ = io.WriteString(w, "a")
		_ = http.NewResponseController(w).Flush()
		w.Header().Set("Sum", r.Trailer.Get("Sum"))
	})
	got := say(t, front(t, opened(t, to(u))), "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nTrailer: Sum\r\n\r\n1\r\na\r\n0\r\nSum: 7\r\n\r\n")
	if !strings.HasSuffix(got, "1\r\na\r\n0\r\nSum: 7\r\n\r\n") {
		t.Errorf("answer %q", got)
	}
}

// A connection that switches protocols carries bytes both ways, and ends both
// ways.
func TestUpgrades(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "no", http.StatusUpgradeRequired)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Own: 1\r\n\r\n")
		_, _ = io.Copy(conn, buffered)
	})
	conn, err := net.Dial("tcp", front(t, opened(t, to(u))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("X-Own") != "1" {
		t.Fatalf("answer %v, %v", resp, err)
	}
	for i := range 1000 {
		text := strings.Repeat("x", i) + "\n"
		_, _ = io.WriteString(conn, text)
		if got, err := r.ReadString('\n'); got != text || err != nil {
			t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
		}
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("the end: %q, %v", rest, err)
	}
}

// A refused upgrade leaves the connection in step.
func TestRefusedUpgrade(t *testing.T) {
	t.Parallel()
	u := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUpgradeRequired)
		_, _ = io.WriteString(w, r.URL.Path)
	})
	got := say(t, front(t, opened(t, to(u))), "GET /1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 426") != 2 || !strings.Contains(got, "/1") || !strings.HasSuffix(got, "/2") {
		t.Errorf("answers %q", got)
	}
}

// Early hints are passed on, 100 Continue is not.
func TestEarlyHints(t *testing.T) {
	t.Parallel()
	u := "http://" + raw(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	got := say(t, front(t, opened(t, to(u))), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n") || strings.Count(got, "Link") != 1 {
		t.Errorf("answers %q", got)
	}
}

// HTTP/2 goes through whole: both directions at once, and trailers, as gRPC
// needs them.
func TestHTTP2Upstream(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "%s %s %s\n", r.Proto, r.Header.Get("Te"), lines.Text())
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("Grpc-Status", r.Trailer.Get("Sum"))
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	c := to(s.URL)
	c.Upstreams["u"] = gateway.Upstream{Targets: []string{s.URL}, Protocol: "h2"}
	address, _ := run(t, opened(t, c), nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	body, feed := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/shop.Orders/Place", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Te", "trailers")
	r.Trailer = http.Header{"Sum": {"7"}}
	go func() { _, _ = io.WriteString(feed, "0\n") }()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for i := range 5 { // each answer comes before the next message is sent
		if lines.Scan(); lines.Text() != fmt.Sprintf("HTTP/2.0 trailers %d", i) {
			t.Fatalf("line %q, %v", lines.Text(), lines.Err())
		}
		if i < 4 {
			fmt.Fprintf(feed, "%d\n", i+1)
		}
	}
	_ = feed.Close()
	if lines.Scan() || resp.Trailer.Get("Grpc-Status") != "7" {
		t.Errorf("the end: %q, trailer %v", lines.Text(), resp.Trailer)
	}
}
