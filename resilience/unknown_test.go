package resilience_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
)

var errBusy = errors.New("stands for a 503")

// Nothing is certain any more when the first attempt of a write got no answer
// and the second was turned away.
func TestUnknownStaysUnknown(t *testing.T) {
	t.Parallel()
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	for _, c := range []struct {
		method string
		errs   []error
		want   error
	}{
		{"PUT", []error{dial, nil, nil}, nil}, // the answer stands for itself
		{"PUT", []error{errBusy, dial, dial}, banyan.ErrUnavailable},
		{"PUT", []error{io.ErrUnexpectedEOF, dial, dial}, banyan.ErrUnknown},
		{"PUT", []error{dial, dial, dial}, banyan.ErrUnavailable},
		{"PUT", []error{dial, dial, io.ErrUnexpectedEOF}, banyan.ErrUnknown},
		{"PUT", []error{nil, dial, dial}, banyan.ErrUnknown},
		{"GET", []error{nil, dial, dial}, banyan.ErrUnavailable},
		{"GET", []error{io.ErrUnexpectedEOF, dial, dial}, banyan.ErrUnavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			rt := policy(t, retrying()).Transport(upstream(func(*http.Request) (*http.Response, error) {
				n++
				switch err := c.errs[n-1]; err {
				case nil:
					return answer(502), nil
				case errBusy:
					return answer(503), nil
				default:
					return nil, err
				}
			}))
			_, err := roundTrip(rt, request(t, t.Context(), c.method, ""))
			if banyan.Kind(err) != c.want || err != nil && !strings.Contains(err.Error(), "3 attempts") {
				t.Errorf("%s %v: %v, want %v", c.method, c.errs, err, c.want)
			}
		})
	}
}

func TestUnknownStaysUnknownInDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		err := policy(t, retrying()).Do(t.Context(), func(context.Context) error {
			if n++; n == 1 {
				return banyan.ErrUnknown
			}
			return banyan.ErrUnavailable
		})
		if banyan.Kind(err) != banyan.ErrUnknown || n != 3 {
			t.Errorf("after %d attempts, the first unknown: %v", n, err)
		}
	})
}

// Whatever a server asks for, nobody waits longer than allowed.
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"3", "-1", "+1", "9999999999", "1.5", "", "Wed, 21 Oct 2015 07:28:00 GMT", "Sat, 01 Jan 2000 00:00:03 GMT", "Friday, 31-Dec-99 23:59:59 GMT"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			o := retrying()
			o.Retry.MaxAttempts = 2
			plain(t, policy(t, o).Transport(upstream(func(*http.Request) (*http.Response, error) {
				resp := answer(503)
				resp.Header["Retry-After"] = []string{value}
				return resp, nil
			})))
			if took := time.Since(start); took > 5*time.Second+50*time.Millisecond {
				t.Errorf("%q made the call wait %v", value, took)
			}
		})
	})
}

// blocks is a body that never comes.
type blocks struct{ ctx context.Context }

func (b blocks) Read([]byte) (int, error) { <-b.ctx.Done(); return 0, b.ctx.Err() }

// A short body is read for the sake of the connection, but not waited for.
func TestRetryDoesNotWaitForADiscardedBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		n, closed := 0, false
		o := retrying()
		o.Retry.Backoff = time.Millisecond
		rt := policy(t, o).Transport(upstream(func(r *http.Request) (*http.Response, error) {
			if n++; n > 1 {
				return answer(200), nil
			}
			resp := answer(503)
			resp.Body = &closer{Reader: blocks{r.Context()}, closed: func() { closed = true }}
			return resp, nil
		}))
		status, err := roundTrip(rt, request(t, t.Context(), "GET", ""))
		if took := time.Since(start); status != 200 || err != nil || !closed || took > 60*time.Millisecond {
			t.Errorf("%d %v after %v, body closed %v", status, err, took, closed)
		}
	})
}
