package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/resilience"
)

func everything() *resilience.Options {
	return &resilience.Options{
		Timeout: 5 * time.Second, Deadline: &resilience.Deadline{}, Retry: &resilience.Retry{Backoff: time.Millisecond},
		Breaker: &resilience.Breaker{}, Bulkhead: &resilience.Bulkhead{Max: 100, MaxWait: time.Second}, Shed: &resilience.Shed{},
		Hedge: &resilience.Hedge{Delay: 20 * time.Millisecond}, Budget: &resilience.Budget{Ratio: 1},
	}
}

func TestOffCostsNothing(t *testing.T) {
	p := policy(t, nil)
	resp := answer(200)
	next := upstream(func(*http.Request) (*http.Response, error) { return resp, nil })
	rt, req := p.Transport(next), request(t, t.Context(), "GET", "")
	if n := testing.AllocsPerRun(100, func() { _, _ = rt.RoundTrip(req) }); n != 0 {
		t.Errorf("Transport: %v allocations", n)
	}
	inner := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	h, w := p.Handler(inner), httptest.NewRecorder()
	if n := testing.AllocsPerRun(100, func() { h.ServeHTTP(w, req) }); n != 0 {
		t.Errorf("Handler: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = p.Do(req.Context(), func(context.Context) error { return nil }) }); n != 0 {
		t.Errorf("Do: %v allocations", n)
	}
}

func TestClientAgainstARealServer(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1)%3 == 1 { // the connection breaks on every third
					panic(http.ErrAbortHandler)
				}
				body, _ := io.ReadAll(r.Body)
				w.Header().Set("Trailer", "X-Sum")
				fmt.Fprintf(w, "%s %s %s", r.Proto, r.Method, body)
				w.Header().Set("X-Sum", "42")
			}))
			s.EnableHTTP2 = version == "HTTP/2.0"
			s.Config.ErrorLog = nil
			s.StartTLS()
			t.Cleanup(s.Close)
			client := s.Client()
			client.Transport = policy(t, everything()).Transport(client.Transport)
			t.Cleanup(client.CloseIdleConnections)
			for range 10 {
				req, _ := http.NewRequestWithContext(t.Context(), "PUT", s.URL, strings.NewReader("body"))
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != version+" PUT body" || err != nil || resp.Trailer.Get("X-Sum") != "42" {
					t.Errorf("%q, %v, trailer %v", body, err, resp.Trailer)
				}
			}
		})
	}
}

// One megabyte comes in pieces, each read before the next is sent.
func TestStreamsAreNotBuffered(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 16 {
			_, _ = io.WriteString(w, strings.Repeat("x", 64<<10))
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	client := &http.Client{Transport: policy(t, everything()).Transport(s.Client().Transport)}
	resp, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	piece := make([]byte, 64<<10)
	for i := range 16 {
		if _, err := io.ReadFull(resp.Body, piece); err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		next <- struct{}{}
	}
	if n, err := resp.Body.Read(piece); n != 0 || err != io.EOF {
		t.Errorf("end: %d, %v", n, err)
	}
}

// Closing the body early and cancelling both reach the server.
func TestLeavingReachesTheServer(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"close", "cancel"} {
		gone := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(gone)
		}))
		client := &http.Client{Transport: policy(t, everything()).Transport(s.Client().Transport)}
		ctx, cancel := context.WithCancel(t.Context())
		req, _ := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if how == "close" {
			_ = resp.Body.Close()
		} else {
			cancel()
		}
		<-gone // hangs if the server never hears of it
		cancel()
		_ = resp.Body.Close()
		s.Close()
	}
}

func TestHedgeAgainstARealServer(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	var left sync.WaitGroup
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			left.Add(1)
			defer left.Done()
			<-r.Context().Done() // the loser is cancelled
			return
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 512<<10)) // more than any buffer
	}))
	t.Cleanup(s.Close)
	client := &http.Client{Transport: policy(t, everything()).Transport(s.Client().Transport)}
	resp, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); len(body) != 512<<10 || err != nil {
		t.Errorf("%d bytes of the winner, %v", len(body), err)
	}
	left.Wait()
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	url := s.URL
	s.Close()
	client := &http.Client{Transport: policy(t, usual()).Transport(&http.Transport{})}
	_, err := client.Post(url, "text/plain", strings.NewReader("x")) //nolint:bodyclose // there is none
	var e *resilience.Error
	if !errors.As(err, &e) || banyan.Kind(err) != banyan.ErrUnavailable || !strings.Contains(err.Error(), "users") {
		t.Errorf("a POST that was never sent: %v", err)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*resilience.Options{
		"Timeout":     {Timeout: -1},
		"Deadline":    {Deadline: &resilience.Deadline{Overall: -1}},
		"MaxAttempts": {Retry: &resilience.Retry{MaxAttempts: -1}},
		"MaxBackoff":  {Retry: &resilience.Retry{Backoff: time.Hour}},
		"Ratio":       {Budget: &resilience.Budget{Ratio: 1.5}},
		"FailureRate": {Breaker: &resilience.Breaker{FailureRate: 50}},
		"MinCalls":    {Breaker: &resilience.Breaker{MinCalls: -1}},
		"Window":      {Breaker: &resilience.Breaker{Window: -1}},
		"Bulkhead":    {Bulkhead: &resilience.Bulkhead{}},
		"Shed":        {Shed: &resilience.Shed{Min: 5, Max: 3}},
		"Hedge":       {Hedge: &resilience.Hedge{}},
		"Budget":      {Budget: &resilience.Budget{Ratio: math.NaN()}},
		"Breaker":     {Breaker: &resilience.Breaker{FailureRate: math.NaN()}},
		"Quantile":    {Hedge: &resilience.Hedge{Quantile: 95}},
	} {
		_, err := resilience.New("users", o)
		if !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := resilience.New("", nil); !errors.Is(err, banyan.ErrInvalid) {
		t.Errorf("no name: %v", err)
	}
	if name := policy(t, nil).Name(); name != "users" {
		t.Errorf("Name is %q", name)
	}
	own := &resilience.Options{Retry: &resilience.Retry{}, Breaker: &resilience.Breaker{}, Shed: &resilience.Shed{Min: 300}}
	policy(t, own)
	if d := cmp.Diff(&resilience.Retry{}, own.Retry); d != "" {
		t.Errorf("New changed the caller's options: %s", d)
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]resilience.Error{
		"resilience: call users: the bulkhead is full; try again later, or raise Bulkhead.Max or MaxWait":           {Reason: resilience.ReasonFull},
		"resilience: call users: no answer within Options.Timeout (3 attempts)":                                     {Reason: resilience.ReasonTimeout, Attempts: 3},
		"resilience: call users: it failed: reset":                                                                  {Reason: resilience.ReasonFailed, Err: errors.New("reset"), Attempts: 1},
		"resilience: call users: the breaker is open because too many calls failed; try again in 4.2s":              {Reason: resilience.ReasonOpen, RetryAfter: 4200 * time.Millisecond},
		"resilience: call users: shed under load; try again later or with a higher priority":                        {Reason: resilience.ReasonShed},
		"resilience: call users: the budget is used up, so this is not sent again; see Options.Budget: it said 503": {Reason: resilience.ReasonBudget, Err: errors.New("it said 503")},
	} {
		e.Policy = "users"
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A gateway stands one Policy with retries above one per target: what a target's
// breaker turns away goes to the next, and nothing is called unknown.
func TestPoliciesStack(t *testing.T) {
	t.Parallel()
	open := policy(t, &resilience.Options{Breaker: &resilience.Breaker{MinCalls: 1}})
	plain(t, open.Transport(&target{status: 500}))
	good := policy(t, usual())
	calls := 0
	pick := upstream(func(r *http.Request) (*http.Response, error) {
		calls++
		if calls%2 == 1 {
			return open.Transport(&target{status: 200}).RoundTrip(r)
		}
		return good.Transport(&target{status: 200}).RoundTrip(r)
	})
	above := policy(t, &resilience.Options{Retry: &resilience.Retry{Backoff: time.Nanosecond}})
	if status, err := roundTrip(above.Transport(pick), request(t, t.Context(), "PUT", "x")); err != nil || status != 200 || calls != 2 {
		t.Errorf("%d %v after %d calls", status, err, calls)
	}
	_, err := roundTrip(above.Transport(pick), request(t, t.Context(), "POST", "x"))
	if banyan.Kind(err) != banyan.ErrUnavailable || calls != 3 {
		t.Errorf("a POST that a breaker below turned away: %v", err)
	}
}

func TestWhatIsTurnedAwayEarnsNoRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{
			Breaker: &resilience.Breaker{MinCalls: 1, Open: time.Second, Counts: func(resp *http.Response, _ error) bool { return resp.StatusCode == 500 }},
			Retry:   &resilience.Retry{},
			Budget:  &resilience.Budget{MinPerSecond: -1},
		})
		up := &target{status: 500}
		for range 1000 {
			plain(t, p.Transport(up))
		}
		time.Sleep(time.Second)
		up.status = 503
		plain(t, p.Transport(up))
		if up.calls != 2 {
			t.Errorf("%d calls reached the target, want 2: one call pays for no retry", up.calls)
		}
	})
}
