package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// FuzzRequest: what this package takes for a request is one for net/http too, and
// means the same: who is strict agrees with who is lenient about all that both
// accept. It looks inside, because a connection for each input would be slow.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a?b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nhost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
		"GET http://x/%2e HTTP/1.0\r\nConnection: keep-alive\r\nA: b\r\nA: c\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\r\n\r\n", "GET  / HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n a\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	o := Options{}
	o.defaults()
	methods := o.methods()
	f.Fuzz(func(t *testing.T, input []byte) {
		var l lines
		n, refused := l.headEnd(input, o.MaxHeaderLines)
		if refused != nil || n <= 2 {
			return
		}
		ours, refused := parseRequest(t.Context(), string(input[:n]), methods)
		if refused != nil {
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(input)))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URI") || strings.Contains(err.Error(), "invalid port") || strings.Contains(err.Error(), "invalid host") {
				return // net/url has rules of its own for what stands in brackets
			}
			t.Fatalf("accepted, and net/http says %v: %q", err, input)
		}
		if ours.Method != theirs.Method || ours.RequestURI != theirs.RequestURI || ours.Host != theirs.Host || ours.ContentLength != theirs.ContentLength {
			t.Fatalf("%s %s %s %d, and for net/http %s %s %s %d: %q", ours.Method, ours.RequestURI, ours.Host, ours.ContentLength,
				theirs.Method, theirs.RequestURI, theirs.Host, theirs.ContentLength, input)
		}
		a, errA := bodyText(ours, input[n:])
		b, errB := io.ReadAll(theirs.Body)
		if errA == nil && (errB != nil || !bytes.Equal(a, b)) {
			t.Fatalf("the body is %q, and for net/http %q, %v: %q", a, b, errB, input)
		}
	})
}

// bodyText reads a request's body from what follows its head.
func bodyText(r *http.Request, rest []byte) ([]byte, error) {
	b := &body{in: &reader{conn: fixed{r: bytes.NewReader(rest)}}, left: r.ContentLength, chunked: r.ContentLength < 0}
	if b.chunked {
		b.left = 0
	}
	return io.ReadAll(b)
}

// fixed is a connection that holds its input.
type fixed struct {
	net.Conn
	r io.Reader
}

func (f fixed) Read(p []byte) (int, error) { return f.r.Read(p) }

// FuzzResponse: what this package takes for an answer is one for net/http too,
// with the same status and body.
func FuzzResponse(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.0 200\r\n\r\nhello", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var l lines
		n, refused := l.headEnd(input, 1000)
		if refused != nil || n <= 2 {
			return
		}
		r := &http.Request{Method: http.MethodGet}
		ours, err := parseResponse(string(input[:n]), r)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(input)), r)
		if err != nil {
			t.Fatalf("accepted, and net/http says %v: %q", err, input)
		}
		_ = theirs.Body.Close()
		if ours.StatusCode != theirs.StatusCode || ours.ContentLength >= 0 && ours.StatusCode >= 200 && ours.StatusCode != 204 && ours.StatusCode != 304 && ours.ContentLength != theirs.ContentLength {
			t.Fatalf("status %d, length %d, and for net/http %d, %d: %q", ours.StatusCode, ours.ContentLength, theirs.StatusCode, theirs.ContentLength, input)
		}
	})
}
