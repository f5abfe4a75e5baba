package http1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/banyanhq/banyan/internal/gatetest"
	"github.com/banyanhq/banyan/internal/http1"
)

func TestFraming(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 100_000)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/short":
			_, _ = io.WriteString(w, "short")
		case "/big":
			_, _ = io.WriteString(w, big)
		case "/length":
			w.Header().Set("Content-Length", strconv.Itoa(len(big)))
			_, _ = io.WriteString(w, big)
		case "/copy":
			_, _ = io.Copy(w, strings.NewReader(big))
		case "/flush":
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "b")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/unchanged":
			w.Header().Set("Content-Length", "7")
			w.WriteHeader(http.StatusNotModified)
		case "/trailer":
			w.Header().Set("Trailer", "Sum")
			_, _ = io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			w.Header().Set("Sum", "1")
			w.Header().Set(http.TrailerPrefix+"More", "2")
		case "/short-trailer":
			_, _ = io.WriteString(w, "a")
			w.Header().Set(http.TrailerPrefix+"Late", "1")
		case "/early":
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "end")
		case "/split":
			w.Header().Set("A", "b\r\nInjected: c")
			w.Header()["Bad Name"] = []string{"d"}
		}
	}, nil)
	w := dial(t, address)
	w.send("GET /short-trailer HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, text := w.answer("GET"); text != "a" || resp.Trailer.Get("Late") != "1" {
		t.Errorf("a short answer's trailer: %q %v", text, resp.Trailer)
	}
	for _, c := range []struct {
		method, path string
		status       int
		body         string
		length       int64
		chunked      bool
	}{
		{"GET", "/short", 200, "short", 5, false},
		{"HEAD", "/length", 200, "", int64(len(big)), false},
		{"GET", "/big", 200, big, -1, true},
		{"GET", "/length", 200, big, int64(len(big)), false},
		{"GET", "/copy", 200, big, -1, true},
		{"GET", "/flush", 200, "ab", -1, true},
		{"GET", "/none", 204, "", 0, false},
		{"GET", "/unchanged", 304, "", 0, false},
		{"GET", "/trailer", 200, "a", -1, true},
		{"GET", "/split", 200, "", 0, false},
	} {
		t.Run(c.method+c.path, func(t *testing.T) {
			t.Parallel()
			w := dial(t, address)
			for range 3 {
				w.send(c.method + " " + c.path + " HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, text := w.answer(c.method)
				if resp.StatusCode != c.status || text != c.body || resp.ContentLength != c.length || (resp.TransferEncoding != nil) != c.chunked {
					t.Fatalf("status %d, %d bytes, length %d, coding %v", resp.StatusCode, len(text), resp.ContentLength, resp.TransferEncoding)
				}
				if c.path == "/trailer" && (resp.Trailer.Get("Sum") != "1" || resp.Trailer.Get("More") != "2") {
					t.Errorf("trailer %v", resp.Trailer)
				}
				if c.path == "/split" && (resp.Header.Get("Injected") != "" || len(resp.Header) != 3) {
					t.Errorf("header %v", resp.Header)
				}
			}
		})
	}
	t.Run("early hints", func(t *testing.T) {
		t.Parallel()
		w := dial(t, address)
		w.send("GET /early HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := w.answer("GET"); resp.StatusCode != 103 || resp.Header.Get("Link") == "" {
			t.Errorf("first answer %d %v", resp.StatusCode, resp.Header)
		}
		if resp, text := w.answer("GET"); resp.StatusCode != 200 || text != "end" {
			t.Errorf("second answer %d %q", resp.StatusCode, text)
		}
	})
	t.Run("HTTP/1.0", func(t *testing.T) {
		t.Parallel()
		w := dial(t, address)
		w.send("GET /big HTTP/1.0\r\n\r\n")
		resp, text := w.answer("GET")
		if text != big || resp.TransferEncoding != nil || !w.ended() {
			t.Errorf("%d bytes, coding %v", len(text), resp.TransferEncoding)
		}
	})
}

// Requests that arrive together are answered in their order.
func TestPipelined(t *testing.T) {
	t.Parallel()
	w := dial(t, serve(t, echo, nil))
	w.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\naGET /3 HTTP/1.1\r\nHost: x\r\n\r\n")
	for _, want := range []string{"GET /1", "POST /2", "GET /3"} {
		if _, text := w.answer("GET"); !strings.HasPrefix(text, want) {
			t.Errorf("answer %q, want that to %s", text, want)
		}
	}
}

// A head that arrives byte by byte is the same head.
func TestSlowBytes(t *testing.T) {
	t.Parallel()
	w := dial(t, serve(t, echo, nil))
	for range 2 {
		for _, b := range []byte("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n") {
			w.send(string(b))
		}
		if _, text := w.answer("POST"); text != `POST /a host=x body="hello"` {
			t.Errorf("answer %q", text)
		}
	}
}

// What a handler does not read is not taken for a request.
func TestBodyLeft(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }, nil)
	t.Run("short", func(t *testing.T) {
		t.Parallel()
		w := dial(t, address)
		for range 3 {
			w.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 31\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: \r")
			if resp, text := w.answer("POST"); text != "/1" || resp.Close {
				t.Fatalf("answer %q", text)
			}
		}
	})
	t.Run("not sent yet", func(t *testing.T) { // the answer does not wait for it
		t.Parallel()
		w := dial(t, address)
		w.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		if _, text := w.answer("POST"); text != "/1" {
			t.Fatalf("answer %q", text)
		}
		w.send("helloGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, text := w.answer("GET"); text != "/2" {
			t.Fatalf("answer %q", text)
		}
	})
	t.Run("long", func(t *testing.T) {
		t.Parallel()
		w := dial(t, address)
		w.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + strings.Repeat("x", 100_000))
		if _, text := w.answer("POST"); text != "/1" || !w.ended() {
			t.Fatalf("answer %q; the connection has to end", text)
		}
	})
	t.Run("expected", func(t *testing.T) { // nobody can know whether the client will send it
		t.Parallel()
		w := dial(t, address)
		w.send("POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if resp, text := w.answer("POST"); text != "/1" || !resp.Close || !w.ended() {
			t.Fatalf("answer %q, close %v", text, resp.Close)
		}
	})
}

// A chunk is passed on when it is there, although what follows it is not.
func TestChunksAsTheyCome(t *testing.T) {
	t.Parallel()
	pieces := make(chan string, 10)
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			pieces <- string(buf[:n])
			if err != nil {
				return
			}
		}
	}, nil)
	w := dial(t, address)
	w.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i, part := range []string{"3\r\none\r\n", "3\r\ntwo", "\r\n5\r\nthree\r\n0", "000\r\n\r\n"} {
		w.send(part)
		if got, want := <-pieces, []string{"one", "two", "three", ""}[i]; got != want {
			t.Fatalf("piece %d is %q, want %q", i, got, want)
		}
	}
	if resp, _ := w.answer("POST"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestContinue(t *testing.T) {
	t.Parallel()
	w := dial(t, serve(t, echo, nil))
	for range 3 {
		w.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		if resp, _ := w.answer("POST"); resp.StatusCode != 100 {
			t.Fatalf("status %d before the body", resp.StatusCode)
		}
		w.send("hello")
		if resp, text := w.answer("POST"); text != `POST / host=x body="hello"` || resp.Close {
			t.Fatalf("answer %q", text)
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	values := make(chan any, 2)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
			panic("late")
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Secret", "s")
		_, _ = io.WriteString(w, "half")
		panic("early")
	}, &http1.Options{Panicked: func(_ *http.Request, v any, stack []byte) {
		if len(stack) == 0 {
			v = "no stack"
		}
		values <- v
	}})
	w := dial(t, address)
	w.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, text := w.answer("GET"); resp.StatusCode != 500 || text != "" || resp.Header.Get("Secret") != "" || !w.ended() {
		t.Errorf("answer %d %q %v", resp.StatusCode, text, resp.Header)
	}
	if v := <-values; v != "early" {
		t.Errorf("reported %v", v)
	}
	w = dial(t, address)
	w.send("GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(w.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("half an answer looks like a whole one")
	}
	if v := <-values; v != "late" {
		t.Errorf("reported %v", v)
	}
	w = dial(t, address)
	w.send("GET /abort HTTP/1.1\r\nHost: x\r\n\r\n")
	if !w.ended() || len(values) != 0 {
		t.Errorf("an abort is answered, or reported: %d", len(values))
	}
}

func TestHijack(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(conn, io.LimitReader(conn, 10))
	}, nil)
	w := dial(t, address)
	w.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n01234") // sent too early, not lost
	if resp, err := http.ReadResponse(w.Reader, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("answer %v, %v", resp, err)
	}
	w.send("56789")
	if text, err := io.ReadAll(w); err != nil || string(text) != "0123456789" {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestPreface(t *testing.T) {
	t.Parallel()
	taken := make(chan string, 1)
	address := serve(t, echo, &http1.Options{Preface: func(c net.Conn) {
		text := make([]byte, 24)
		_, _ = io.ReadFull(c, text)
		_ = c.Close()
		taken <- string(text)
	}})
	w := dial(t, address)
	w.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if got := <-taken; got != "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
		t.Errorf("the new owner read %q", got)
	}
}

// A drain lets requests finish, tells their clients, and closes idle
// connections.
func TestShutdown(t *testing.T) {
	t.Parallel()
	began, release := make(chan bool), make(chan bool)
	s, err := http1.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		began <- true
		<-release
		_, _ = io.WriteString(w, "whole")
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := gatetest.Listen(t)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	unused, busy := dial(t, l.Addr().String()), dial(t, l.Addr().String())
	busy.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-began
	drained := make(chan error, 1)
	go func() { drained <- s.Shutdown(context.Background()) }()
	if err := <-served; !errors.Is(err, http1.ErrServerClosed) {
		t.Errorf("Serve returned %v", err)
	}
	if !unused.ended() {
		t.Errorf("an idle connection is still open")
	}
	select {
	case err := <-drained:
		t.Fatalf("Shutdown returned %v while a request was under way", err)
	default:
	}
	release <- true
	if resp, text := busy.answer("GET"); text != "whole" || !resp.Close {
		t.Errorf("answer %q, close %v", text, resp.Close)
	}
	if err := <-drained; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Serve(l); !errors.Is(err, http1.ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}
