package http1_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

// serve starts a server and returns its address.
func serve(t *testing.T, h http.HandlerFunc, o *http1.Options) string {
	t.Helper()
	return gatetest.Serve(t, h, o)
}

// wire is a client that sends bytes as they are given.
type wire struct {
	net.Conn
	*bufio.Reader
	t *testing.T
}

func (w wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

func dial(t *testing.T, address string) wire {
	t.Helper()
	conn := gatetest.Dial(t, address)
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return wire{conn, bufio.NewReader(conn), t}
}

func (w wire) send(text string) {
	w.t.Helper()
	if _, err := io.WriteString(w.Conn, text); err != nil {
		w.t.Fatalf("send: %v", err)
	}
}

// answer reads one answer to a request of a method.
func (w wire) answer(method string) (*http.Response, string) {
	w.t.Helper()
	resp, err := http.ReadResponse(w.Reader, &http.Request{Method: method})
	if err != nil {
		w.t.Fatalf("read the answer: %v", err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("read the answer's body: %v", err)
	}
	_ = resp.Body.Close()
	return resp, string(text)
}

// ended reports whether the server has closed the connection.
func (w wire) ended() bool {
	_, err := w.Reader.ReadByte()
	return errors.Is(err, io.EOF)
}

// echo answers with what it saw.
func echo(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%s %s host=%s body=%q", r.Method, r.RequestURI, r.Host, text)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	address := serve(t, echo, nil)
	for name, c := range map[string]struct{ send, want string }{
		"get":           {"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", `GET /a?b=c host=x body=""`},
		"lower case":    {"GET / HTTP/1.1\r\nhost: x:80\r\nuser-agent: u\r\n\r\n", `GET / host=x:80 body=""`},
		"length":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", `POST / host=x body="hello"`},
		"empty":         {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", `POST / host=x body=""`},
		"chunked":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n00003;a=b\r\nllo\r\n0\r\n\r\n", `POST / host=x body="hello"`},
		"trailer":       {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", `POST / host=x body="x"`},
		"absolute":      {"GET http://y/p HTTP/1.1\r\nHost: y\r\n\r\n", `GET http://y/p host=y body=""`},
		"options":       {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", `OPTIONS * host=x body=""`},
		"empty line":    {"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", `GET / host=x body=""`},
		"ipv6":          {"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", `GET / host=[::1]:8080 body=""`},
		"1.0 keepalive": {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", `GET / host= body=""`},
		"expect":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n", `POST / host=x body=""`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := dial(t, address)
			for range 2 { // the connection stays in step
				w.send(c.send)
				resp, text := w.answer("GET")
				if resp.StatusCode != 200 || text != c.want {
					t.Fatalf("answer %d %q, want 200 %q", resp.StatusCode, text, c.want)
				}
			}
		})
	}
}

// Each refused request has its answer, its connection ends, and no handler has
// seen it. What follows it on the connection is not served either.
func TestRefused(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	long := strings.Repeat("a", 9000)
	for _, c := range []struct {
		name, basis, send string
		status            int
	}{
		{"TE and CL", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400},
		{"CL and TE", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"two CL", "RFC 9112 §6.3", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400},
		{"same CL twice", "RFC 9112 §6.3", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400},
		{"CL list", "RFC 9112 §6.3", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4,4\r\n\r\nabcd", 400},
		{"CL +4", "RFC 9110 §8.6", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd", 400},
		{"CL -1", "RFC 9110 §8.6", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nabcd", 400},
		{"CL 0x4", "RFC 9110 §8.6", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nabcd", 400},
		{"CL empty", "RFC 9110 §8.6", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabcd", 400},
		{"CL overflow", "RFC 9110 §8.6", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551620\r\n\r\nabcd", 400},
		{"TE identity", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\nabcd", 501},
		{"TE xchunked", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\nabcd", 501},
		{"TE list", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\nabcd", 501},
		{"TE twice", "RFC 9112 §6.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE with a space", "RFC 9112 §5.1", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
		{"TE with a tab", "RFC 9110 §5.5", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
		{"TE in 1.0", "RFC 9112 §6.1", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"bare LF", "RFC 9112 §2.2", "GET / HTTP/1.1\nHost: x\n\n", 400},
		{"bare LF in a field", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", 400},
		{"bare CR", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400},
		{"NUL", "RFC 9110 §5.5", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400},
		{"fold", "RFC 9112 §5.2", "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400},
		{"space before the colon", "RFC 9112 §5.1", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400},
		{"no colon", "RFC 9112 §5", "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", 400},
		{"empty name", "RFC 9110 §5.1", "GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400},
		{"name with a slash", "RFC 9110 §5.1", "GET / HTTP/1.1\r\nHost: x\r\na/b: c\r\n\r\n", 400},
		{"no Host", "RFC 9112 §3.2", "GET / HTTP/1.1\r\n\r\n", 400},
		{"two Hosts", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400},
		{"Host with a path", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"Host with user", "RFC 9110 §4.2.4", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
		{"Host with a bad port", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400},
		{"Host UTF-8", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost: b\xc3\xbccher\r\n\r\n", 400},
		{"Host empty", "RFC 9112 §3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
		{"other authority", "RFC 9112 §3.2.2", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400},
		{"authority with user", "RFC 9110 §4.2.4", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"other scheme", "RFC 9112 §3.2.2", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"no slash", "RFC 9112 §3.2.1", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"fragment", "RFC 9112 §3.2", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"star", "RFC 9112 §3.2.4", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"control in target", "RFC 9112 §3.2", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"UTF-8 in target", "RFC 9112 §3.2", "GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"broken escape", "RFC 3986 §2.1", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"two spaces", "RFC 9112 §3", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"trailing space", "RFC 9112 §3", "GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400},
		{"leading space", "RFC 9112 §3", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"no version", "RFC 9112 §3", "GET /\r\nHost: x\r\n\r\n", 400},
		{"version 1.2", "RFC 9110 §15.6.6", "GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505},
		{"version 2.0", "RFC 9110 §15.6.6", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
		{"version 11", "RFC 9112 §2.3", "GET / HTTP/11\r\nHost: x\r\n\r\n", 400},
		{"version in lower case", "RFC 9112 §2.3", "GET / http/1.1\r\nHost: x\r\n\r\n", 400},
		{"HTTP/2 preface", "RFC 9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"CONNECT", "RFC 9110 §9.3.6", "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n", 405},
		{"TRACE", "RFC 9110 §9.3.8", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		{"unknown method", "RFC 9110 §9.1", "BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
		{"method in lower case", "RFC 9110 §9.1", "get / HTTP/1.1\r\nHost: x\r\n\r\n", 501},
		{"expectation", "RFC 9110 §10.1.1", "POST / HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 1\r\n\r\na", 417},
		{"long target", "RFC 9112 §3", "GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
		{"endless target", "RFC 9112 §3", "GET /" + strings.Repeat("a", 40000), 414},
		{"long field", "RFC 6585 §5", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 40000) + "\r\n\r\n", 431},
		{"many fields", "RFC 6585 §5", "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 120) + "\r\n", 431},
		{"two empty lines", "RFC 9112 §2.2", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := make(chan string, 10)
			address := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.RequestURI }, nil)
			w := dial(t, address)
			_, _ = io.WriteString(w.Conn, c.send+smuggled) // the server may have closed already
			resp, _ := w.answer("GET")
			if resp.StatusCode != c.status {
				t.Errorf("%s: status %d, want %d", c.basis, resp.StatusCode, c.status)
			}
			if !resp.Close {
				t.Errorf("the answer does not say Connection: close")
			}
			if !w.ended() {
				t.Errorf("the connection goes on")
			}
			select {
			case uri := <-seen:
				t.Errorf("a handler saw %s", uri)
			default:
			}
		})
	}
}

// A body that is wrong is the client's fault: the handler's read says so, and
// the connection ends.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, basis, body string }{
		{"bare LF after the size", "CVE-2025-22871", "5\nhello\r\n0\r\n\r\n"},
		{"bare LF after the data", "RFC 9112 §7.1", "5\r\nhello\n0\r\n\r\n"},
		{"no size", "RFC 9112 §7.1", "\r\nhello\r\n0\r\n\r\n"},
		{"0x", "RFC 9112 §7.1", "0x5\r\nhello\r\n0\r\n\r\n"},
		{"sign", "RFC 9112 §7.1", "+5\r\nhello\r\n0\r\n\r\n"},
		{"space", "RFC 9112 §7.1", "5 \r\nhello\r\n0\r\n\r\n"},
		{"overflow", "RFC 9112 §7.1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"},
		{"longer than its size", "RFC 9112 §7.1", "3\r\nhello\r\n0\r\n\r\n"},
		{"long extension", "CVE-2023-39326", "5;" + strings.Repeat("a", 1100) + "\r\nhello\r\n0\r\n\r\n"},
		{"many extensions", "CVE-2023-39326", strings.Repeat("1;"+strings.Repeat("a", 200)+"\r\nx\r\n", 100) + "0\r\n\r\n"},
		{"control in an extension", "RFC 9112 §7.1.1", "5;\x00\r\nhello\r\n0\r\n\r\n"},
		{"Content-Length trailer", "RFC 9110 §6.5.1", "0\r\nContent-Length: 5\r\n\r\n"},
		{"Transfer-Encoding trailer", "RFC 9110 §6.5.1", "0\r\ntransfer-encoding: chunked\r\n\r\n"},
		{"long trailer", "RFC 9112 §7.1.2", "0\r\nA: " + strings.Repeat("a", 5000) + "\r\n\r\n"},
		{"many trailers", "RFC 9112 §7.1.2", "0\r\n" + strings.Repeat("A: b\r\n", 50) + "\r\n"},
		{"broken trailer", "RFC 9112 §5.1", "0\r\nA : b\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			read := make(chan error, 10)
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				read <- err
				w.WriteHeader(http.StatusBadRequest)
			}, nil)
			w := dial(t, address)
			_, _ = io.WriteString(w.Conn, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+c.body+"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, _ := w.answer("POST")
			var refused *http1.Error
			if err := <-read; !errors.As(err, &refused) || refused.Status != 400 {
				t.Errorf("%s: the handler read %v, want a refusal with 400", c.basis, err)
			}
			if resp.StatusCode != 400 || !w.ended() {
				t.Errorf("status %d, and the connection has to end", resp.StatusCode)
			}
			if len(read) > 0 {
				t.Errorf("a second request was served")
			}
		})
	}
}

// A request that was on its way when the drain began is answered, on a new
// connection and on one that was used before; then it is over.
func TestLastCall(t *testing.T) {
	t.Parallel()
	s, err := http1.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), &http1.Options{LastCall: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l := gatetest.Listen(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	fresh, used := dial(t, l.Addr().String()), dial(t, l.Addr().String())
	const post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nonce"
	used.send(post) // the server has both then: it accepts in their order
	if resp, _ := used.answer("POST"); resp.Close {
		t.Error("the connection ends before the drain")
	}
	drained := make(chan error, 1)
	go func() { drained <- s.Shutdown(context.Background()) }()
	if err := <-served; !errors.Is(err, http1.ErrServerClosed) {
		t.Error(err)
	}
	for _, w := range []wire{fresh, used} {
		w.send(post)
		if resp, text := w.answer("POST"); text != "once" || !resp.Close {
			t.Errorf("answer %q, close %v", text, resp.Close)
		}
		if !w.ended() {
			t.Error("the connection goes on")
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}
