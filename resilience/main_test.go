package resilience_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan/resilience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func policy(t testing.TB, o *resilience.Options) *resilience.Policy {
	t.Helper()
	p, err := resilience.New("users", o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// upstream is a RoundTripper that counts, and works in a synctest bubble.
type upstream func(*http.Request) (*http.Response, error)

func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) { return u(r) }

func answer(status int, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body")), ContentLength: 4}
}

func request(t testing.TB, ctx context.Context, method, body string) *http.Request { //nolint:revive // t comes first in helpers
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://users.test/7", r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// roundTrip sends and closes the body.
func roundTrip(rt http.RoundTripper, req *http.Request) (int, error) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// hang answers only when its context ends, as an upstream that hangs does.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// within waits as long as a call of d and obeys the context.
func within(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
