package resilience_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

func serve(h http.Handler, req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

type problem struct {
	Title, Detail, Kind string
	Status              int
	Retryable           bool
}

// checkProblem is for an answer that the package wrote.
func checkProblem(t *testing.T, resp *http.Response, status int, kind string) {
	t.Helper()
	var p problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatalf("status %d without problem details: %v", resp.StatusCode, err)
	}
	if resp.StatusCode != status || p.Status != status || p.Kind != kind || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("answered %d %+v, want %d %s", resp.StatusCode, p, status, kind)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q", ct)
	}
}

func TestHandlerTurnsAwayWhatIsTooMuch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1}})
		h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
		release := hold(t, p, t.Context())
		w := serve(h, request(t, t.Context(), "GET", ""))
		checkProblem(t, w.Result(), 503, "unavailable")
		if after := w.Header().Get("Retry-After"); after != "1" {
			t.Errorf("Retry-After %q", after)
		}
		release()
		if w := serve(h, request(t, t.Context(), "GET", "")); w.Code != 200 || w.Body.String() != "ok" {
			t.Errorf("afterwards: %d %s", w.Code, w.Body)
		}
	})
}

func TestHandlerFallback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cause error
		p := policy(t, &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1}, Fallback: &resilience.Fallback{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				cause = resilience.Cause(r.Context())
				fmt.Fprint(w, "degraded")
			}),
		}})
		defer hold(t, p, t.Context())()
		w := serve(p.Handler(http.NotFoundHandler()), request(t, t.Context(), "GET", ""))
		if w.Body.String() != "degraded" || !errors.Is(cause, banyan.ErrUnavailable) {
			t.Errorf("%s, cause %v", w.Body, cause)
		}
	})
}

// The client has its 504 although the handler does not obey its context, and the
// place stays taken while it works.
func TestHandlerTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Timeout: time.Second, Bulkhead: &resilience.Bulkhead{Max: 1}})
		var late error
		var ended time.Duration
		start := time.Now()
		h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Own", "1")
			<-r.Context().Done()
			ended = time.Since(start)
			time.Sleep(time.Hour)
			w.WriteHeader(200)
			_, late = io.WriteString(w, "late")
		}))
		w := httptest.NewRecorder()
		w.Header().Set("X-Request-Id", "r1") // of a middleware outside
		done := make(chan struct{})
		go func() { defer close(done); h.ServeHTTP(w, request(t, t.Context(), "GET", "")) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if ended != time.Second {
			t.Errorf("the context ended after %v", ended)
		}
		if err := p.Do(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("the handler works and its place is free: %v", err)
		}
		if !w.Flushed || w.Code != 504 {
			t.Errorf("flushed %v, %d: the client waits for the handler", w.Flushed, w.Code)
		}
		<-done
		if !errors.Is(late, http.ErrHandlerTimeout) {
			t.Errorf("writing after the 504: %v", late)
		}
		checkProblem(t, w.Result(), 504, "timeout")
		if w.Header().Get("X-Own") != "" || w.Header().Get("X-Request-Id") != "r1" {
			t.Errorf("headers of the 504: %v", w.Header())
		}
		fill(t, p, 1)
	})
}

func TestAnswersThatBeganAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(w http.ResponseWriter){
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(201) },
		"Write":       func(w http.ResponseWriter) { fmt.Fprint(w, "a") },
		"Flush":       func(w http.ResponseWriter) { w.(http.Flusher).Flush() },
		"ReadFrom":    func(w http.ResponseWriter) { _, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader("a")}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			var ended error
			h := policy(t, &resilience.Options{Timeout: time.Second}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begin(w)
				time.Sleep(time.Hour)
				ended = r.Context().Err()
				fmt.Fprint(w, "z")
			}))
			w := serve(h, request(t, t.Context(), "GET", ""))
			if w.Code >= 300 || !strings.HasSuffix(w.Body.String(), "z") || ended != nil {
				t.Errorf("%s: %d %q, context %v", name, w.Code, w.Body, ended)
			}
		})
	}
}

// A deadline that came with the request ends the context, and an answer too if
// it has not begun; a handler that gives up silently is not a 200.
func TestHandlerDeadline(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]http.HandlerFunc{
		"obeys":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"sleeps": func(http.ResponseWriter, *http.Request) { time.Sleep(time.Hour) },
	} {
		synctest.Test(t, func(t *testing.T) {
			h := policy(t, &resilience.Options{Deadline: &resilience.Deadline{}}).Handler(next)
			req := request(t, t.Context(), "GET", "")
			req.Header.Set(resilience.HeaderTimeout, "250")
			w := serve(h, req)
			if w.Code != 504 {
				t.Errorf("%s: %d", name, w.Code)
			}
			checkProblem(t, w.Result(), 504, "timeout")
		})
	}
}

func TestHandlerPassesTheMarkerOn(t *testing.T) {
	t.Parallel()
	var mark string
	out := policy(t, retrying()).Transport(upstream(func(r *http.Request) (*http.Response, error) {
		mark = r.Header.Get(resilience.HeaderAttempt)
		return answer(200), nil
	}))
	h := policy(t, usual()).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = roundTrip(out, request(t, r.Context(), "POST", "x"))
	}))
	for sent, want := range map[string]string{"": "", "2": "1", "x": ""} {
		mark = "not called"
		req := request(t, t.Context(), "GET", "")
		req.Header.Set(resilience.HeaderAttempt, sent)
		serve(h, req)
		if mark != want {
			t.Errorf("%q came in, %q went out, want %q", sent, mark, want)
		}
	}
}

// server is a real one, with every part of the handler on.
func server(t *testing.T, next http.HandlerFunc) *httptest.Server {
	t.Helper()
	p := policy(t, &resilience.Options{
		Timeout: 300 * time.Millisecond, Deadline: &resilience.Deadline{}, Bulkhead: &resilience.Bulkhead{Max: 10}, Shed: &resilience.Shed{},
	})
	s := httptest.NewServer(p.Handler(next))
	t.Cleanup(s.Close)
	return s
}

func TestServerStreamsTrailersAndEarlyHints(t *testing.T) {
	t.Parallel()
	read := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("the connection below cannot be reached: %v", err)
		}
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "one")
		w.(http.Flusher).Flush()
		<-read // the client has "one" while the handler works: nothing is buffered
		fmt.Fprint(w, "two")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "1")
	})
	resp, err := s.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "one" {
		t.Fatalf("%q %v", first, err)
	}
	close(read)
	rest, err := io.ReadAll(resp.Body)
	if string(rest) != "two" || err != nil || resp.Trailer.Get("X-Sum") != "42" || resp.Trailer.Get("X-Late") != "1" {
		t.Errorf("%q, %v, trailers %v", rest, err, resp.Trailer)
	}
}

func TestServerHijacks(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = conn.Write([]byte("echo " + line))
	})
	// Through a Transport too: the body of a 101 is a connection.
	rt := policy(t, &resilience.Options{Timeout: time.Second, Bulkhead: &resilience.Bulkhead{Max: 1}}).Transport(s.Client().Transport)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", s.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body of %d is a %T, nobody can write", resp.StatusCode, resp.Body)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "hello\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "echo hello\n" {
		t.Errorf("%q %v", line, err)
	}
}

// The 504 must not wait for a client that sends its body slowly.
func TestServerAnswersASlowUploadInTime(t *testing.T) {
	t.Parallel()
	var read error
	returned := make(chan struct{})
	s := server(t, func(_ http.ResponseWriter, r *http.Request) {
		defer close(returned)
		_, read = io.ReadAll(r.Body)
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	checkProblem(t, resp, 504, "timeout")
	if !resp.Close {
		t.Error("the connection has half a request in it and stays open")
	}
	<-returned
	if read == nil {
		t.Error("the handler read a body that was never sent")
	}
}

func TestServerPanicAborts(t *testing.T) {
	t.Parallel()
	s := server(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if resp, err := s.Client().Get(s.URL); err == nil {
		resp.Body.Close()
		t.Errorf("a handler that panicked answered %d", resp.StatusCode)
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("10.1.2.3:8080 refused")}
	send := func(method string, o *resilience.Options, next upstream) error {
		req := request(t, t.Context(), method, "")
		_, err := roundTrip(policy(t, o).Transport(next), req)
		return err
	}
	fails := func(err error) upstream {
		return func(*http.Request) (*http.Response, error) { return nil, err }
	}
	on := func() *resilience.Options {
		return &resilience.Options{Bulkhead: &resilience.Bulkhead{Max: 1}}
	}
	short := &resilience.Options{Timeout: time.Millisecond}
	for _, c := range []struct {
		name   string
		err    error
		status int
		kind   string
		after  string
	}{
		{"nobody there", send("GET", on(), fails(dial)), 503, "unavailable", "1"},
		{"reset", send("GET", on(), fails(io.ErrUnexpectedEOF)), 502, "unavailable", ""},
		{"POST reset", send("POST", on(), fails(io.ErrUnexpectedEOF)), 502, "unknown-outcome", ""},
		{"hang", send("GET", short, hang), 504, "timeout", ""},
		{"POST hang", send("POST", short, hang), 504, "unknown-outcome", ""},
		{"open below another", fmt.Errorf("x: %w", &resilience.Error{Reason: resilience.ReasonFailed, Err: &resilience.Error{Reason: resilience.ReasonOpen, RetryAfter: time.Second}}), 503, "unavailable", "1"},
		{"open", &resilience.Error{Reason: resilience.ReasonOpen, RetryAfter: 4200 * time.Millisecond}, 503, "unavailable", "5"},
		{"too large", fmt.Errorf("x: %w", &http.MaxBytesError{Limit: 1}), 413, "invalid", ""},
		{"bad request body", fmt.Errorf("x: %w", banyan.ErrInvalid), 400, "invalid", ""},
		{"anything", errors.New("secret"), 502, "unavailable", ""},
	} {
		w := httptest.NewRecorder()
		w.Header().Set("Etag", "stale")
		resilience.Answer(w, c.err)
		if text := w.Body.String(); strings.Contains(text, "10.1.2.3") || strings.Contains(text, "secret") || strings.Contains(text, "users") {
			t.Errorf("%s: the answer shows the inside: %s", c.name, text)
		}
		if d := cmp.Diff(c.after, w.Header().Get("Retry-After")); d != "" || w.Header().Get("Etag") != "" {
			t.Errorf("%s: Retry-After %s, Etag %q", c.name, d, w.Header().Get("Etag"))
		}
		checkProblem(t, w.Result(), c.status, c.kind)
	}
}
