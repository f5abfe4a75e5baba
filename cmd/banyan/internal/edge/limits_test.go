package edge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/cmd/banyan/internal/edge"
	"github.com/banyanhq/banyan/gateway/limit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"), // one for each account, for the life of the process
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),             // sees within 5 s that its lock is gone
	)
}

// A URL that can never be opened keeps a gateway from starting, and a new
// configuration from being taken; it is not tried again and again in silence.
func TestLimitsOfAWrongURL(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "s3cret", "mysql://u:s3cret@h/limits", "redis://u:s3cret@h/database", "redis://u:s3cret@h/0?unknown=1", "rediss://u:s3cret@h/0/1",
		"postgres://u:s3cret@h/limits?sslmode=s3cret", "postgres://u:s3cret@h:port/limits", "redis://u:s3%zzcret@h",
	} {
		began := time.Now()
		s, err := edge.OpenLimits(url, func(err error) { t.Errorf("%s: it was told as if it were for now: %v", url, err) })
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, banyan.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want it invalid, without the password", url, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: found out after %s", url, took)
		}
	}
}

// failing is a store that can be told to fail.
type failing struct {
	limit.Store
	err error
}

func (f *failing) Take(ctx context.Context, requests []limit.Request) ([]limit.Result, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Store.Take(ctx, requests)
}

// The operator is told when a store that was there does not answer any more: once
// for each time, and not of a single call that failed.
func TestLimitsTellOfAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := limit.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		store := &failing{Store: memory}
		var told []string
		s, err := edge.Opening(func(context.Context) (limit.Store, error) { return store, nil }, func(err error) { told = append(told, err.Error()) })
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close() //nolint:errcheck // it never fails
		take := func(n int, err error) {
			store.err = err
			for range n {
				_, _ = s.Take(t.Context(), nil)
			}
		}
		down := errors.New("the server has gone")
		take(2, down)
		take(5, nil)
		take(2, down)
		if take(1, nil); len(told) != 0 {
			t.Errorf("told of single failures: %q", told)
		}
		if take(100, down); len(told) != 1 || !strings.Contains(told[0], "the server has gone") {
			t.Errorf("told %q, want the outage once", told)
		}
		take(1, nil)
		if take(100, down); len(told) != 1 {
			t.Errorf("told %q, want no more than once a minute", told)
		}
		time.Sleep(2 * time.Minute)
		take(1, nil)
		if take(3, down); len(told) != 2 {
			t.Errorf("told %q, want the next outage too", told)
		}
	})
}

// A store that is not there yet is opened when it is; what failed is told once.
func TestLimitsOpenLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory, err := limit.NewMemory(nil)
		if err != nil {
			t.Fatal(err)
		}
		tries, told := 0, 0
		s, err := edge.Opening(func(context.Context) (limit.Store, error) {
			if tries++; tries < 4 {
				return nil, banyan.ErrUnavailable
			}
			return memory, nil
		}, func(error) { told++ })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Take(t.Context(), nil); !errors.Is(err, banyan.ErrUnavailable) {
			t.Errorf("before: %v", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := s.Take(t.Context(), nil); err != nil || told != 1 || tries != 4 {
			t.Errorf("after: %v, told %d times, tried %d times", err, told, tries)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
