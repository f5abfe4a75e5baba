package compose_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/gateway/compose"
)

// slow are services that answer after what their paths say: /1s/anything. What
// follows is answered as JSON text.
type slow struct {
	now, most, cancelled atomic.Int64
}

func (s *slow) upstream(string) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		s.most.Store(max(s.most.Load(), s.now.Add(1))) // a bubble is not that parallel
		defer s.now.Add(-1)
		head, rest, _ := strings.Cut(r.URL.Path[1:], "/")
		wait, err := time.ParseDuration(head)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			s.cancelled.Add(1)
			return nil, errors.New("use of a closed connection") // not all say why
		}
		w := httptest.NewRecorder()
		answer(w, strings.ReplaceAll(rest, "/", "\n"))
		return w.Result(), nil
	})
}

func TestTiming(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config    compose.Config
		want      string
		status    int
		took      time.Duration
		cancelled int64
	}{
		"in parallel":       {compose.Config{Parts: parts{"a": {To: "s", Get: "/2s/1"}, "b": {To: "s", Get: "/3s/2"}, "c": {To: "s", Get: "/1s/3"}}}, `{"a":1,"b":2,"c":3}`, 200, 3 * time.Second, 0},
		"as soon as it can": {compose.Config{Parts: parts{"a": {To: "s", Get: "/1s/%22x%22", As: "-"}, "b": {To: "s", Get: "/9s/2"}, "c": {To: "s", ForEach: "l", Get: "/{item}/3", As: "."}, "l": {To: "s", Get: `/1s/%5B%228s%22,%223s%22,%225s%22%5D`}}}, `{"b":2,"l":[3,3,3]}`, 200, 9 * time.Second, 0},
		"bounded":           {compose.Config{Parallel: 2, Parts: parts{"a": {To: "s", Get: "/2s/1"}, "b": {To: "s", Get: "/2s/2"}, "c": {To: "s", Get: "/2s/3"}}}, `{"a":1,"b":2,"c":3}`, 200, 4 * time.Second, 0},
		"one fails":         {compose.Config{Parts: parts{"a": {To: "s", Get: "/2s/status%20500"}, "b": {To: "s", Get: "/9s/2"}, "c": {To: "s", Get: "/8s/2", Optional: true}}}, "", 502, 2 * time.Second, 2},
		"one waits":         {compose.Config{Parallel: 1, Parts: parts{"a": {To: "s", Get: "/x"}, "b": {To: "s", Get: "/x/2"}, "c": {To: "s", Get: "/x/2"}}}, "", 502, 0, 0},
		"optional fails":    {compose.Config{Parts: parts{"a": {To: "s", Get: "/2s/status%20500", Optional: true}, "b": {To: "s", Get: "/3s/2"}}}, `{"a":null,"b":2}`, 200, 3 * time.Second, 0},
		"shared deadline":   {compose.Config{Timeout: 4 * time.Second, Parts: parts{"a": {To: "s", Get: "/3s/%225s%22"}, "b": {To: "s", Get: "/2s/2"}, "c": {To: "s", Get: "/{a.x}/3"}, "d": {To: "s", Get: "/5s/3"}}}, "", 502, 3 * time.Second, 1},
		"late":              {compose.Config{Timeout: 4 * time.Second, Parts: parts{"a": {To: "s", Get: "/5s/1"}, "b": {To: "s", Get: "/2s/2"}}}, "", 504, 4 * time.Second, 1},
		"late in line":      {compose.Config{Timeout: 4 * time.Second, Parallel: 1, Parts: parts{"a": {To: "s", Get: "/3s/1"}, "b": {To: "s", Get: "/3s/2"}}}, "", 504, 4 * time.Second, 1},
		"late and optional": {compose.Config{Timeout: 4 * time.Second, Parts: parts{"a": {To: "s", Get: "/5s/1", Optional: true}, "b": {To: "s", Get: "/2s/2"}}}, `{"a":null,"b":2}`, 200, 4 * time.Second, 1},
		"its own timeout":   {compose.Config{Parts: parts{"a": {To: "s", Get: "/5s/1", Timeout: time.Second, Default: "7"}, "b": {To: "s", Get: "/2s/2"}}}, `{"a":7,"b":2}`, 200, 2 * time.Second, 1},
		"its own in line":   {compose.Config{Parallel: 1, Parts: parts{"a": {To: "s", Get: "/5s/1", Timeout: time.Second}, "b": {To: "s", Get: "/5s/1", Timeout: time.Second}, "c": {To: "s", Get: "/5s/1"}, "d": {To: "s", Get: "/5s/1"}}}, "", 504, time.Second, 1},
		"the default":       {compose.Config{Parts: parts{"a": {To: "s", Get: "/1h/1"}}}, "", 504, 10 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var s slow
				h, f := build(t, &c.config, s.upstream)
				began := time.Now()
				w := get(h, "/home")
				if w.Code != c.status || c.want != "" && w.Body.String() != c.want {
					t.Errorf("%d %s, want %d %s\n%s", w.Code, w.Body, c.status, c.want, f.text())
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
				if n := s.cancelled.Load(); n != c.cancelled {
					t.Errorf("%d calls were cancelled, want %d", n, c.cancelled)
				}
				if limit := max(c.config.Parallel, 0); limit > 0 && s.most.Load() > int64(limit) {
					t.Errorf("%d calls were under way, limit %d", s.most.Load(), limit)
				}
				if told := strings.Count(f.text(), "\n"); told > 0 {
					t.Errorf("an operator hears of cancelled parts: %s", f.text())
				}
			})
		})
	}
}

func TestForEachIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		h, _ := build(t, &compose.Config{Parallel: 3, Parts: parts{
			"l": {To: "s", Get: "/0s/%5B1,2,3,4,5,6,7%5D"}, "p": {To: "s", ForEach: "l", As: ".", Get: "/1s/{item}"},
		}}, s.upstream)
		began := time.Now()
		if w := get(h, "/home"); w.Body.String() != `{"l":[1,2,3,4,5,6,7]}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if took := time.Since(began); took != 3*time.Second || s.most.Load() != 3 {
			t.Errorf("it took %v with %d at once", took, s.most.Load())
		}
	})
}

func TestClientIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s slow
		h, f := build(t, &compose.Config{Parts: parts{"a": {To: "s", Get: "/5s/1"}, "b": {To: "s", Get: "/6s/1", Optional: true}, "c": {To: "s", Get: "/{a.x}/1"}}}, s.upstream)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began := time.Now()
		defer func() {
			if v := recover(); v != http.ErrAbortHandler {
				t.Errorf("it ended with %v", v)
			}
			if took := time.Since(began); took != time.Second || s.cancelled.Load() != 2 || f.text() != "" {
				t.Errorf("it took %v, %d calls were cancelled, %q", took, s.cancelled.Load(), f.text())
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/home", nil).WithContext(ctx))
	})
}

func TestPanicIsTheServers(t *testing.T) {
	t.Parallel()
	boom := tripper(func(*http.Request) (*http.Response, error) { panic("boom") })
	for _, p := range []parts{
		{"a": {To: "a", Get: "/"}, "b": {To: "a", Get: "/{a.x}"}},
		{"l": {To: "l", Get: "/"}, "p": {To: "a", ForEach: "l", As: ".", Get: "/{item}"}},
	} {
		h, _ := build(t, &compose.Config{Parts: p}, func(name string) http.RoundTripper {
			if name == "l" {
				return services{"l/": "[1,2]"}.upstream("l")
			}
			return boom
		})
		func() {
			defer func() {
				if v := recover(); v != "boom" {
					t.Errorf("recovered %v", v)
				}
			}()
			get(h, "/home")
		}()
	}
}

type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestErrorsOfTransports(t *testing.T) {
	t.Parallel()
	secret := errors.New("10.0.0.7: secret")
	for _, c := range []struct {
		err  error
		want int
	}{
		{fmt.Errorf("x: %w: %w", banyan.ErrUnavailable, secret), 503},
		{&net.OpError{Op: "dial", Err: secret}, 503},
		{&net.OpError{Op: "read", Err: secret}, 502},
		{&net.OpError{Op: "read", Err: timeoutError{secret}}, 504},
		{fmt.Errorf("x: %w: %w", context.DeadlineExceeded, secret), 504},
		{fmt.Errorf("x: %w: %w", banyan.ErrUnknown, secret), 502},
	} {
		h, f := build(t, &compose.Config{Parts: parts{"a": {To: "a", Get: "/"}}}, func(string) http.RoundTripper {
			return tripper(func(*http.Request) (*http.Response, error) { return nil, c.err })
		})
		w := get(h, "/home")
		if w.Code != c.want || strings.Contains(w.Body.String(), "secret") || !strings.Contains(f.text(), "secret") {
			t.Errorf("%v: %d %s, want %d; operators see %q", c.err, w.Code, w.Body, c.want, f.text())
		}
	}
}

// TestNothingIsSharedBetweenRequests has two users ask the same at the same time.
func TestNothingIsSharedBetweenRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		h, _ := build(t, &compose.Config{Parts: parts{
			"me": {To: "s", Get: "/me"}, "l": {To: "s", Get: "/l"}, "p": {To: "s", ForEach: "l", Get: "/{item}", As: "."},
		}}, func(string) http.RoundTripper {
			return tripper(func(r *http.Request) (*http.Response, error) {
				calls.Add(1)
				time.Sleep(time.Second)
				w := httptest.NewRecorder()
				if r.URL.Path == "/l" {
					answer(w, "[1,1]")
				} else {
					answer(w, `"`+r.Header.Get("Authorization")+`"`)
				}
				return w.Result(), nil
			})
		})
		const users = 20
		ended := make(chan string, users)
		for i := range users {
			go func() {
				who := fmt.Sprintf("user-%d", i)
				got := get(h, "/home", "Authorization: "+who).Body.String()
				if want := fmt.Sprintf(`{"l":[%q,%q],"me":%q}`, who, who, who); got != want {
					ended <- "got " + got + ", want " + want
					return
				}
				ended <- ""
			}()
		}
		for range users {
			if wrong := <-ended; wrong != "" {
				t.Error(wrong)
			}
		}
		if n := calls.Load(); n != 3*users {
			t.Errorf("%d calls, want %d", n, 3*users)
		}
	})
}

// TestRealServer breaks an answer in the middle, and cancels over the network.
func TestRealServer(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"a":1}`))
		case "/slow":
			_, _ = w.Write([]byte(`[1,`))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			close(ended)
		case "/late":
			<-ended // so it fails only when the other one has been cancelled
		}
	})
	h, f := build(t, &compose.Config{Timeout: time.Minute, Parts: parts{"a": {To: "a", Get: "/broken"}, "b": {To: "a", Get: "/slow", Optional: true}}}, func(string) http.RoundTripper { return s })
	if w := get(h, "/home"); w.Code != 502 || !strings.Contains(f.text(), "unexpected EOF") {
		t.Errorf("%d %s", w.Code, f.text())
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the slow part was not cancelled")
	}
}
