package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/app"
	"github.com/banyanhq/banyan/store"
)

type problem struct {
	Title, Detail, Kind, ID string
	Status                  int
	Retryable               bool
}

func TestProblems(t *testing.T) {
	t.Parallel()
	a, out := setup(t, nil)
	cause := errors.New("postgres://u:" + secret + "@h/db broke")
	tests := []struct {
		err    error
		status int
		kind   string
		retry  bool
		after  string
		shown  bool // the error's text is for the client
	}{
		{&store.ConflictError{Stream: "order-1", Want: 3, Have: 5}, 409, "conflict", false, "", true},
		{banyan.ErrExists, 409, "exists", false, "", true},
		{banyan.ErrNotFound, 404, "not-found", false, "", true},
		{banyan.ErrInvalid, 422, "invalid", false, "", true},
		{banyan.ErrDenied, 403, "denied", false, "", true},
		{banyan.ErrGone, 410, "gone", false, "", true},
		{banyan.ErrUnavailable, 503, "unavailable", true, "1", false},
		{banyan.ErrClosed, 503, "unavailable", true, "1", false},
		{banyan.ErrUnknown, 503, "unknown-outcome", true, "1", false},
		{fmt.Errorf("%w: %w", banyan.ErrUnknown, context.DeadlineExceeded), 503, "unknown-outcome", true, "1", false},
		{fmt.Errorf("%w: %w", banyan.ErrUnavailable, context.DeadlineExceeded), 504, "timeout", true, "", false},
		{context.DeadlineExceeded, 504, "timeout", true, "", false},
		{banyan.ErrCorrupt, 500, "corrupt", false, "", false},
		{errors.New("surprise"), 500, "internal", false, "", false},
		{&http.MaxBytesError{Limit: 10}, 413, "invalid", false, "", true},
	}
	for i, test := range tests {
		a.Handle(fmt.Sprintf("GET /%d", i), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			app.Error(w, r, fmt.Errorf("shop: place: %w: %w", test.err, cause))
		}))
	}
	start(t, a)
	for i, test := range tests {
		id := fmt.Sprintf("req-%d", i)
		got, err := send(t, a, http.MethodGet, fmt.Sprintf("/%d", i), map[string]string{"X-Request-Id": id})
		if err != nil {
			t.Fatal(err)
		}
		p := decode[problem](t, got.body)
		want := problem{Title: http.StatusText(test.status), Detail: p.Detail, Kind: test.kind, ID: id, Status: test.status, Retryable: test.retry}
		if diff := cmp.Diff(want, p); diff != "" || got.code != test.status {
			t.Errorf("%v: %d (-want +got):\n%s", test.err, got.code, diff)
		}
		if got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") != test.after {
			t.Errorf("%v: headers %v", test.err, got.header)
		}
		if shown := strings.Contains(p.Detail, test.err.Error()); shown != test.shown || p.Detail == "" {
			t.Errorf("%v: detail %q", test.err, p.Detail)
		}
		if logged := strings.Contains(out.String(), `"id":"`+id+`","kind"`); logged != (test.status >= 500) {
			t.Errorf("%v: logged = %v", test.err, logged)
		}
		if strings.Contains(got.body, "p4ss") {
			t.Errorf("the answer has the password: %s", got.body)
		}
	}
	if strings.Contains(out.String(), "p4ss") {
		t.Errorf("the log has the password:\n%s", out)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	a, out := setup(t, nil)
	a.Handle("GET /panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at the disco") }))
	a.Handle("GET /half", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half an ans")
		panic("late")
	}))
	start(t, a)
	got := get(t, a, "/panic")
	p := decode[problem](t, got.body)
	if got.code != 500 || p.Kind != "internal" || strings.Contains(got.body, "disco") || p.ID == "" || p.ID != got.header.Get("X-Request-Id") {
		t.Errorf("panic = %+v", got)
	}
	if !strings.Contains(out.String(), "at the disco") || !strings.Contains(out.String(), "problem_test.go") {
		t.Errorf("the log has no panic with its stack:\n%s", out)
	}
	if half, err := send(t, a, http.MethodGet, "/half", nil); err == nil {
		t.Errorf("half an answer looks whole: %+v", half)
	}
}

func TestMetadataFromHeaders(t *testing.T) {
	t.Parallel()
	a, _ := setup(t, nil)
	a.Handle("GET /meta", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := banyan.MetadataFrom(r.Context())
		fmt.Fprintf(w, "%s|%s|%s", m.Correlation, m.TraceParent, m.Actor)
	}))
	start(t, a)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, test := range []struct {
		name   string
		header map[string]string
		want   string
	}{
		{"correlation", map[string]string{"X-Correlation-Id": "c-1", "Traceparent": trace, "X-Request-Id": "r-1"}, "c-1|" + trace + "|"},
		{"trace", map[string]string{"Traceparent": trace, "X-Request-Id": "r-1"}, "0af7651916cd43dd8448eb211c80319c|" + trace + "|"},
		{"request", map[string]string{"X-Request-Id": "r-1", "X-Actor": "root", "Actor": "root"}, "r-1||"},
		{"nonsense", map[string]string{"X-Correlation-Id": "a b", "Traceparent": "x", "X-Request-Id": "r-1"}, "r-1||"},
	} {
		got, err := send(t, a, http.MethodGet, "/meta", test.header)
		if err != nil || got.body != test.want {
			t.Errorf("%s: metadata = %q, %v; want %q", test.name, got.body, err, test.want)
		}
	}
	if got := get(t, a, "/meta"); got.body != got.header.Get("X-Request-Id")+"||" || len(got.body) < 30 {
		t.Errorf("without headers = %+v, want a new id", got)
	}
}
