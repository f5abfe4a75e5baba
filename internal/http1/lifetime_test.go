package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan/internal/http1"
)

var errOwn = errors.New("own")

type nameKey struct{}

// A Lifetime behaves as the standard library's contexts do.
func TestLifetimeIsAContext(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		by    func(l *http1.Lifetime, parent context.CancelCauseFunc)
		is    error // of Err
		cause error
	}{
		"parent":            {func(_ *http1.Lifetime, parent context.CancelCauseFunc) { parent(errOwn) }, context.Canceled, errOwn},
		"itself":            {func(l *http1.Lifetime, _ context.CancelCauseFunc) { l.Cancel(errOwn) }, context.Canceled, errOwn},
		"a deadline":        {func(l *http1.Lifetime, _ context.CancelCauseFunc) { l.Cancel(context.DeadlineExceeded) }, context.DeadlineExceeded, context.DeadlineExceeded},
		"the first":         {func(l *http1.Lifetime, _ context.CancelCauseFunc) { l.Cancel(errOwn); l.Cancel(io.EOF) }, context.Canceled, errOwn},
		"the end of a call": {func(l *http1.Lifetime, _ context.CancelCauseFunc) { l.End() }, context.Canceled, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), nameKey{}, "value"))
				defer cancel(nil)
				var l http1.Lifetime
				l.Begin(parent)
				defer l.End()
				child, stop := context.WithTimeout(&l, time.Hour)
				defer stop()
				var called, kept atomic.Int64
				context.AfterFunc(&l, func() { called.Add(1) })
				keep := context.AfterFunc(&l, func() { kept.Add(1) })
				if !keep() || keep() || l.Err() != nil || child.Err() != nil || l.Value(nameKey{}) != "value" {
					t.Fatalf("before the end: %v, %v, %v", l.Err(), child.Err(), l.Value(nameKey{}))
				}
				end.by(&l, cancel)
				synctest.Wait()
				for who, ctx := range map[string]context.Context{"it": &l, "its child": child} {
					<-ctx.Done()
					if !errors.Is(ctx.Err(), end.is) || !errors.Is(context.Cause(ctx), end.cause) {
						t.Errorf("%s: Err %v, Cause %v", who, ctx.Err(), context.Cause(ctx))
					}
				}
				context.AfterFunc(&l, func() { called.Add(1) }) // too late: at once
				synctest.Wait()
				if called.Load() != 2 || kept.Load() != 0 {
					t.Errorf("%d calls, want 2, and %d that were stopped", called.Load(), kept.Load())
				}
			})
		})
	}
}

// A Lifetime of a request ends when its client goes, and one that was taken from
// it by the standard library's means does not.
func TestLifetimeOfARequest(t *testing.T) {
	t.Parallel()
	type outcome struct {
		name string
		err  error
		want error
	}
	outcomes := make(chan outcome, 10)
	address := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		hang := func(name string, parent context.Context, end func(), want error) {
			var l http1.Lifetime
			l.Begin(parent)
			all.Go(func() {
				defer l.End()
				if end != nil {
					<-r.Context().Done()
					if l.Err() != nil {
						outcomes <- outcome{name + ", too early", l.Err(), nil}
					}
					end()
				}
				<-l.Done()
				outcomes <- outcome{name, context.Cause(&l), want}
			})
		}
		hang("request", r.Context(), nil, http1.ErrClientGone)
		hang("request with a value", context.WithValue(r.Context(), nameKey{}, 1), nil, http1.ErrClientGone)
		child, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		hang("child", child, nil, http1.ErrClientGone)
		detached, end := context.WithCancelCause(context.WithoutCancel(r.Context()))
		hang("detached", detached, func() { end(errOwn) }, errOwn)
		dropped, drop := context.WithCancelCause(r.Context())
		drop(errOwn)
		hang("dropped", dropped, nil, errOwn)
		all.Wait()
		close(outcomes)
	}), &http1.Options{WatchAfter: time.Millisecond})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	n := 0
	for o := range outcomes {
		if n++; !errors.Is(o.err, o.want) || o.want == nil {
			t.Errorf("%s: %v, want %v", o.name, o.err, o.want)
		}
	}
	if n != 5 {
		t.Errorf("%d outcomes, want 5", n)
	}
}

// Whatever begins, ends and hangs on at once: each hook runs once, or was stopped.
func TestLifetimesTogether(t *testing.T) {
	t.Parallel()
	for range 2000 {
		parent, cancel := context.WithCancelCause(t.Context())
		var l http1.Lifetime
		l.Begin(parent)
		var ran, all sync.WaitGroup
		var runs, stops atomic.Int64
		ran.Add(4)
		for i := range 4 {
			all.Go(func() {
				stop := context.AfterFunc(&l, func() { runs.Add(1); ran.Done() })
				if i%2 == 0 && stop() {
					stops.Add(1)
					ran.Done()
				}
			})
		}
		all.Go(func() { cancel(errOwn) })
		all.Go(func() { l.Cancel(io.EOF) })
		all.Wait()
		ran.Wait()
		if runs.Load()+stops.Load() != 4 || l.Err() == nil {
			t.Fatalf("%d hooks ran and %d were stopped, of 4: %v", runs.Load(), stops.Load(), l.Err())
		}
		l.End()
	}
}

// What package context asks first is asked here of the Lifetime itself.
func TestLifetimeByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l http1.Lifetime
		l.Begin(t.Context())
		var called [3]atomic.Int64
		hang := func(i int) func() bool { return l.AfterFunc(func() { called[i].Add(1) }) }
		hang(0)
		stop := hang(1)
		hang(2)
		if !stop() || stop() {
			t.Error("a hook can be stopped once")
		}
		l.Cancel(errOwn)
		synctest.Wait()
		if stop() || hang(1)() {
			t.Error("a hook can be stopped after the end")
		}
		synctest.Wait()
		for i, n := range []int64{1, 1, 1} {
			if called[i].Load() != n {
				t.Errorf("hook %d was called %d times, want %d", i, called[i].Load(), n)
			}
		}
		select {
		case <-l.Done():
		default:
			t.Error("it is over, and not done")
		}
	})
}
