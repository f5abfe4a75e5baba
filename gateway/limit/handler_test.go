package limit_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan/gateway/limit"
)

// ok answers 200 with a header of the application's own.
func ok() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusOK)
	})
}

// answer is what the tests look at.
type answer struct {
	Status     int
	Limit      []string
	Policy     []string
	RetryAfter string
	Cache      string
}

func ask(h http.Handler, r *http.Request) answer {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header()["Ratelimit"], w.Header()["Ratelimit-Policy"], w.Header().Get("Retry-After"), w.Header().Get("Cache-Control")}
}

func wantAnswer(t *testing.T, what string, got, want answer) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// G16: the request n + 1 gets 429 with Retry-After, not to be cached, and the
// headers of the draft.
func TestAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil, limit.Rule{Name: "client", Rate: rate(t, "10/m burst 2"), Key: byClient, Cost: byCost})
		h := l.Handler(ok())
		policy := []string{`"client";q=10;w=60;banyan-burst=2`}
		wantAnswer(t, "first", ask(h, request("a", 1)), answer{200, []string{`"client";r=1;t=6`}, policy, "", "max-age=60"})
		wantAnswer(t, "second", ask(h, request("a", 1)), answer{200, []string{`"client";r=0;t=6`}, policy, "", "max-age=60"})
		wantAnswer(t, "third", ask(h, request("a", 1)), answer{429, []string{`"client";r=0;t=6`}, policy, "6", "no-store"})
		time.Sleep(5*time.Second + 1)
		wantAnswer(t, "rounded up", ask(h, request("a", 1)), answer{429, []string{`"client";r=0;t=1`}, policy, "1", "no-store"})
		wantAnswer(t, "another client", ask(h, request("b", 1)), answer{200, []string{`"client";r=1;t=6`}, policy, "", "max-age=60"})
		time.Sleep(time.Second - 2) // a nanosecond is missing
		wantAnswer(t, "too early", ask(h, request("a", 1)), answer{429, []string{`"client";r=0;t=1`}, policy, "1", "no-store"})
		time.Sleep(time.Nanosecond)
		wantAnswer(t, "after Retry-After", ask(h, request("a", 1)), answer{200, []string{`"client";r=0;t=6`}, policy, "", "max-age=60"})
		time.Sleep(6 * time.Second)
		wantAnswer(t, "more than there is", ask(h, request("a", 2)), answer{429, []string{`"client";r=1;t=6`}, policy, "6", "no-store"})
		wantAnswer(t, "never", ask(h, request("a", 3)), answer{403, nil, policy, "", "no-store"})
		wantAnswer(t, "free", ask(h, request("a", 0)), answer{200, []string{`"client";r=1;t=6`}, policy, "", "max-age=60"})
		wantAnswer(t, "below free", ask(h, request("a", -5)), answer{200, []string{`"client";r=1;t=6`}, policy, "", "max-age=60"})
	})
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"100/s":            `"default";q=100;w=1`,
		"1000/1h burst 50": `"default";q=1000;w=3600;banyan-burst=50`,
		"10/100ms":         `"default";q=100;w=1;banyan-burst=10`,
		"10/1500ms":        `"default";q=10`, // the draft has whole seconds only
	}
	for text, want := range tests {
		h := newLimiter(t, nil, limit.Rule{Rate: rate(t, text)}).Handler(ok())
		if got := ask(h, request("", 1)).Policy; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %s", text, got, want)
		}
	}
}

// Several rules: all or none take, and the longest wait is told.
func TestSeveralRules(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil,
			limit.Rule{Name: "second", Rate: rate(t, "2/s"), Key: byClient},
			limit.Rule{Name: "day", Rate: rate(t, "3/d"), Key: byClient})
		h := l.Handler(ok())
		policy := []string{`"second";q=2;w=1, "day";q=3;w=86400`}
		wantAnswer(t, "first", ask(h, request("a", 1)), answer{200, []string{`"second";r=1;t=1, "day";r=2;t=57600`}, policy, "", "max-age=60"})
		wantAnswer(t, "second", ask(h, request("a", 1)), answer{200, []string{`"second";r=0;t=1, "day";r=1;t=28800`}, policy, "", "max-age=60"})
		for range 10 { // the day has room; these take nothing of it
			wantAnswer(t, "by the second", ask(h, request("a", 1)), answer{429, []string{`"second";r=0;t=1`}, policy, "1", "no-store"})
		}
		time.Sleep(500 * time.Millisecond)
		wantAnswer(t, "third", ask(h, request("a", 1)), answer{200, []string{`"second";r=0;t=1, "day";r=0;t=28800`}, policy, "", "max-age=60"})
		wantAnswer(t, "by both", ask(h, request("a", 1)), answer{429, []string{`"second";r=0;t=1, "day";r=0;t=28800`}, policy, "28800", "no-store"})
	})
}

func TestProblems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newLimiter(t, nil,
			limit.Rule{Name: "second", Rate: rate(t, "2/s"), Cost: byCost},
			limit.Rule{Name: "minute", Rate: rate(t, "2/m"), Cost: byCost}).Handler(ok())
		ask(h, request("", 2))
		tests := []struct {
			cost int64
			want map[string]any
		}{
			{1, map[string]any{
				"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "title": "Too Many Requests", "status": 429.0,
				"detail": "The limit minute is used up. Send the request again in 30 s.", "violated-policies": []any{"second", "minute"},
			}},
			{3, map[string]any{
				"type": "https://iana.org/assignments/http-problem-types#quota-exceeded", "title": "Forbidden", "status": 403.0,
				"detail": "This request costs 3 units, and the limit second allows at most 2 at once. Sending it again does not help.", "violated-policies": []any{"second"},
			}},
		}
		for _, tt := range tests {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request("", tt.cost))
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("cost %d (-want +got):\n%s", tt.cost, diff)
			}
			if kind := w.Header().Get("Content-Type"); kind != "application/problem+json" {
				t.Errorf("Content-Type %q", kind)
			}
		}
	})
}

// Limiters behind one another make lists, and no answer changes that of another.
func TestChain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer := newLimiter(t, nil, limit.Rule{Name: "all", Rate: rate(t, "100/s")})
		inner := newLimiter(t, nil, limit.Rule{Name: "route", Rate: rate(t, "10/s")})
		spoil := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Ratelimit-Policy"][0] = "spoilt" })
		h := outer.Handler(inner.Handler(ok()))
		want := answer{200, []string{`"all";r=99;t=1`, `"route";r=9;t=1`}, []string{`"all";q=100;w=1`, `"route";q=10;w=1`}, "", "max-age=60"}
		wantAnswer(t, "both", ask(h, request("", 1)), want)
		ask(outer.Handler(spoil), request("", 1))
		time.Sleep(time.Minute)
		wantAnswer(t, "later", ask(h, request("", 1)), want)
	})
}

func TestTrace(t *testing.T) {
	t.Parallel()
	var calls []string
	note := func(what string) func(*http.Request, limit.Decision) {
		return func(r *http.Request, d limit.Decision) {
			calls = append(calls, strings.Join([]string{what, r.Header.Get("Client"), d.Rule, http.StatusText(d.Status)}, " "))
		}
	}
	l := newLimiter(t, &limit.Options{Trace: &limit.Trace{Allowed: note("allowed"), Limited: note("limited")}},
		limit.Rule{Rate: rate(t, "1/h"), Key: byClient, Cost: byCost})
	h := l.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { calls = append(calls, "next "+r.Header.Get("Client")) }))
	for _, r := range []*http.Request{request("a", 1), request("a", 1), request("b", 2)} {
		ask(h, r)
	}
	want := []string{"allowed a  ", "next a", "limited a default Too Many Requests", "limited b default Forbidden"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
