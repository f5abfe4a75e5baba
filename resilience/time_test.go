package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func TestTimeoutEndsAnAttempt(t *testing.T) {
	t.Parallel()
	for method, kind := range map[string]error{"GET": banyan.ErrUnavailable, "POST": banyan.ErrUnknown, "PUT": banyan.ErrUnknown} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			rt := policy(t, &resilience.Options{Timeout: time.Second}).Transport(upstream(hang))
			_, err := roundTrip(rt, request(t, t.Context(), method, ""))
			var e *resilience.Error
			if !errors.As(err, &e) || e.Reason != resilience.ReasonTimeout || !e.Timeout() || time.Since(start) != time.Second {
				t.Fatalf("%s: %v after %v", method, err, time.Since(start))
			}
			if banyan.Kind(err) != kind || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v is of kind %v, want %v", method, err, banyan.Kind(err), kind)
			}
		})
	}
}

// A transport that notices nothing answers too late: nobody could read its body.
func TestLateHeaderIsATimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := false
		rt := policy(t, &resilience.Options{Timeout: time.Second}).Transport(upstream(func(*http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			resp := answer(200)
			resp.Body = &closer{Reader: strings.NewReader("x"), closed: func() { closed = true }}
			return resp, nil
		}))
		_, err := roundTrip(rt, request(t, t.Context(), "GET", ""))
		if !errors.Is(err, context.DeadlineExceeded) || !closed {
			t.Errorf("%v, body closed %v", err, closed)
		}
	})
}

// The timeout is per attempt: a slow attempt does not eat the next one's time.
func TestTimeoutIsPerAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := retrying()
		o.Timeout = time.Second
		up := &replicas{delays: []time.Duration{time.Hour, 900 * time.Millisecond}}
		status, err := roundTrip(policy(t, o).Transport(up), request(t, t.Context(), "GET", ""))
		if status != 200 || err != nil || up.sent != 2 {
			t.Errorf("%d %v, %d attempts", status, err, up.sent)
		}
	})
}

// A body may take as long as it likes after its header.
func TestTimeoutDoesNotCutABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ctx context.Context
		rt := policy(t, &resilience.Options{Timeout: time.Second, Retry: &resilience.Retry{}, Bulkhead: &resilience.Bulkhead{Max: 1}}).Transport(upstream(func(r *http.Request) (*http.Response, error) {
			ctx = r.Context()
			resp := answer(200)
			resp.Body = io.NopCloser(&needs{ctx, strings.NewReader("late")})
			return resp, nil
		}))
		resp, err := rt.RoundTrip(request(t, t.Context(), "GET", ""))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if b, err := io.ReadAll(resp.Body); string(b) != "late" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if ctx.Err() != nil {
			t.Error("the context ended before the body was closed")
		}
		_ = resp.Body.Close()
		if ctx.Err() == nil {
			t.Error("the context of the attempt outlives the body")
		}
	})
}

func TestCancellingReachesTheUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		seen := false
		rt := policy(t, &resilience.Options{Timeout: time.Hour}).Transport(upstream(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			seen = errors.Is(r.Context().Err(), context.Canceled)
			return nil, r.Context().Err()
		}))
		_, err := roundTrip(rt, request(t, ctx, "POST", "x"))
		if !seen || !errors.Is(err, context.Canceled) {
			t.Errorf("seen %v, %v", seen, err)
		}
		if banyan.Kind(err) != banyan.ErrUnknown {
			t.Errorf("a cancelled POST is of kind %v: it may have been done", banyan.Kind(err))
		}
	})
}

func TestDoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := policy(t, &resilience.Options{Timeout: time.Second})
		err := p.Do(t.Context(), func(ctx context.Context) error { return within(ctx, time.Hour) })
		var e *resilience.Error
		if !errors.As(err, &e) || e.Reason != resilience.ReasonTimeout || banyan.Kind(err) != banyan.ErrUnknown || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		knows := p.Do(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return banyan.ErrUnavailable })
		if banyan.Kind(knows) != banyan.ErrUnavailable {
			t.Errorf("%v: the function knew that nothing was done", knows)
		}
	})
}

// Of two Policies round a call the one whose time was over says so.
func TestTimeoutsAreToldApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer, err := resilience.New("outer", &resilience.Options{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		inner := policy(t, &resilience.Options{Timeout: time.Hour, Breaker: &resilience.Breaker{MinCalls: 1}})
		wait := func(ctx context.Context) error { return within(ctx, 2*time.Hour) }
		err = outer.Do(t.Context(), func(ctx context.Context) error { return inner.Do(ctx, wait) })
		if text := fmt.Sprint(err); !strings.Contains(text, "call outer") || strings.Contains(text, "call users") || inner.Stats().Breaker != resilience.Closed {
			t.Errorf("%s; breaker inside %v", text, inner.Stats().Breaker)
		}
	})
}

func TestOverallDeadlineCoversAllAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := retrying()
		o.Retry.MaxAttempts = 100
		o.Timeout = time.Second
		o.Deadline = &resilience.Deadline{Overall: 2500 * time.Millisecond}
		up := &replicas{delays: []time.Duration{time.Hour}}
		start := time.Now()
		_, err := roundTrip(policy(t, o).Transport(up), request(t, t.Context(), "GET", ""))
		if !errors.Is(err, context.DeadlineExceeded) || up.sent != 3 || time.Since(start) > 2500*time.Millisecond {
			t.Errorf("%v after %v and %d attempts", err, time.Since(start), up.sent)
		}
		start = time.Now()
		err = policy(t, o).Do(t.Context(), func(ctx context.Context) error { return within(ctx, time.Hour) })
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2500*time.Millisecond {
			t.Errorf("Do: %v after %v", err, time.Since(start))
		}
	})
}

func TestDeadlineTravelsOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		left   time.Duration // of the context; 0 is none
		o      *resilience.Deadline
		before string
		want   string
	}{
		{"what is left", 1500 * time.Millisecond, &resilience.Deadline{}, "", "1500"},
		{"less than a millisecond", time.Microsecond, &resilience.Deadline{}, "", "1"},
		{"of the policy", 0, &resilience.Deadline{Overall: 2 * time.Second}, "", "2000"},
		{"the shorter of both", time.Second, &resilience.Deadline{Overall: 2 * time.Second}, "", "1000"},
		{"the request says less", time.Second, &resilience.Deadline{}, "300", "300"},
		{"the request says more", time.Second, &resilience.Deadline{}, "5000", "1000"},
		{"the request says nonsense", time.Second, &resilience.Deadline{}, "soon", "1000"},
		{"no deadline", 0, &resilience.Deadline{}, "", ""},
		{"off", time.Second, nil, "", ""},
		{"a year", 10_000 * time.Hour, &resilience.Deadline{}, "", "999999999"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.left > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.left)
					defer cancel()
				}
				req := request(t, ctx, "GET", "")
				if c.before != "" {
					req.Header.Set(resilience.HeaderTimeout, c.before)
				}
				got := "not called"
				rt := policy(t, &resilience.Options{Timeout: time.Hour, Deadline: c.o}).Transport(upstream(func(r *http.Request) (*http.Response, error) {
					got = r.Header.Get(resilience.HeaderTimeout)
					return answer(200), nil
				}))
				if _, err := roundTrip(rt, req); err != nil || got != c.want {
					t.Errorf("X-Request-Timeout: %q, want %q; %v", got, c.want, err)
				}
				if req.Header.Get(resilience.HeaderTimeout) != c.before {
					t.Error("the caller's request was changed")
				}
			})
		})
	}
}

func TestDeadlineTravelsIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, header string
		own          time.Duration // of the request's context before
		o            resilience.Deadline
		want         time.Duration // 0: none
	}{
		{"shortens", "1500", 0, resilience.Deadline{}, 1500 * time.Millisecond},
		{"never lengthens", "5000", time.Second, resilience.Deadline{}, time.Second},
		{"never above Overall", "5000", 0, resilience.Deadline{Overall: 2 * time.Second}, 2 * time.Second},
		{"below Overall", "1000", 0, resilience.Deadline{Overall: 2 * time.Second}, time.Second},
		{"capped", "999999999", 0, resilience.Deadline{Max: time.Minute}, time.Minute},
		{"capped by default", "999999999", 0, resilience.Deadline{}, time.Hour},
		{"absent", "", 0, resilience.Deadline{}, 0},
		{"zero", "0", 0, resilience.Deadline{}, 0},
		{"negative", "-5", 0, resilience.Deadline{}, 0},
		{"unit", "5s", 0, resilience.Deadline{}, 0},
		{"fraction", "1.5", 0, resilience.Deadline{}, 0},
		{"too long", "1000000000", 0, resilience.Deadline{}, 0},
		{"space", " 5", 0, resilience.Deadline{}, 0},
		{"other digits", "٥", 0, resilience.Deadline{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var got time.Duration
				h := policy(t, &resilience.Options{Deadline: &c.o}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if d, ok := r.Context().Deadline(); ok {
						got = time.Until(d)
					}
				}))
				ctx := t.Context()
				if c.own > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.own)
					defer cancel()
				}
				req := request(t, ctx, "GET", "")
				req.Header.Set(resilience.HeaderTimeout, c.header)
				h.ServeHTTP(httptest.NewRecorder(), req)
				if got != c.want {
					t.Errorf("the handler has %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestTraceAndCorrelationTravel(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	meta := banyan.Metadata{Correlation: "order-17", TraceParent: parent, Extra: map[string]string{"tracestate": "a=b"}}
	all := map[string]string{"Traceparent": parent, "Tracestate": "a=b", "X-Correlation-Id": "order-17"}
	for _, c := range []struct {
		name string
		meta banyan.Metadata
		set  map[string]string
		want map[string]string
	}{
		{"set", meta, nil, all},
		{"none", banyan.Metadata{}, nil, map[string]string{}},
		{"own trace stays, with its own state", meta, map[string]string{"Traceparent": "mine"}, map[string]string{"Traceparent": "mine", "X-Correlation-Id": "order-17"}},
		{"own correlation stays", meta, map[string]string{"X-Correlation-Id": "mine"}, map[string]string{"Traceparent": parent, "Tracestate": "a=b", "X-Correlation-Id": "mine"}},
		{"line break", banyan.Metadata{Correlation: "a\r\nEvil: 1"}, nil, map[string]string{}},
	} {
		for name, o := range map[string]*resilience.Options{"off": nil, "on": usual()} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				t.Parallel()
				got := map[string]string{}
				rt := policy(t, o).Transport(upstream(func(r *http.Request) (*http.Response, error) {
					for key := range r.Header {
						got[key] = r.Header.Get(key)
					}
					return answer(200), nil
				}))
				req := request(t, banyan.WithMetadata(t.Context(), c.meta), "GET", "")
				for key, value := range c.set {
					req.Header.Set(key, value)
				}
				if _, err := roundTrip(rt, req); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.want, got); d != "" {
					t.Error(d)
				}
				if len(req.Header) != len(c.set) {
					t.Errorf("the caller's request was changed: %v", req.Header)
				}
			})
		}
	}
}

// Numbers that anybody may send: nothing panics, nothing gets longer.
func FuzzTimeoutHeader(f *testing.F) {
	for _, seed := range []string{"1", "1500", "999999999", "0", "-1", "", "1e3", "0x10", "00000001"} {
		f.Add(seed)
	}
	p := policy(f, &resilience.Options{Deadline: &resilience.Deadline{Overall: time.Minute}})
	f.Fuzz(func(t *testing.T, value string) {
		h := p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if d, ok := r.Context().Deadline(); !ok || time.Until(d) > time.Minute {
				t.Errorf("%q made the deadline %v, %v", value, d, ok)
			}
		}))
		req := request(t, t.Context(), "GET", "")
		req.Header[resilience.HeaderTimeout] = []string{value}
		req.Header[resilience.HeaderAttempt] = []string{value}
		h.ServeHTTP(httptest.NewRecorder(), req)
	})
}
