package projection_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

var storeAll = store.Filter{}

func TestOneOfTwoRunnersWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		a := f.runner(s1.define(projection.Options{}), &projection.RunnerOptions{Owner: "a"})
		b := f.runner(s2.define(projection.Options{}), &projection.RunnerOptions{Owner: "b"})
		stopA := f.start(a)
		f.append(stream(0), placed{"DE", 1})
		f.caughtUp(a)
		f.start(b)
		for i := range 50 {
			f.append(stream(i), placed{"DE", 1})
			pause(30 * time.Second) // idle for many leases, and the lease stays
		}
		f.caughtUp(b)
		if n := s2.handled.Load(); n != 0 || f.status(b).Owner != "a" {
			t.Errorf("owner is %s and the other runner handled %d events, want a and none", f.status(b).Owner, n)
		}
		start := time.Now()
		stopA()
		f.append(stream(1), placed{"DE", 1})
		f.caughtUp(b)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the other runner took over an orderly stop after %v, want at most a tenth of the lease of 10 s", took)
		}
		if n := s2.handled.Load(); n != 1 {
			t.Errorf("the second runner handled %d events, want 1", n)
		}
		if diff := cmp.Diff(f.fold(s1, 1000), f.rows(s1)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestTakeOverAfterTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		dying := &faulty{Backend: f.db.ViewBackend()}
		a, err := projection.NewRunner(f.store, view.New(dying), s.define(projection.Options{}), &projection.RunnerOptions{Owner: "a"})
		if err != nil {
			t.Fatal(err)
		}
		b := f.runner(s.define(projection.Options{}), &projection.RunnerOptions{Owner: "b"})
		ended := make(chan error, 1)
		go func() { ended <- a.Run(t.Context()) }()
		f.append(stream(1), placed{"DE", 1})
		f.caughtUp(b)
		f.start(b)
		pause(20 * time.Second)
		if owner := f.status(b).Owner; owner != "a" {
			t.Fatalf("owner is %q while a gives signs of life, want a", owner)
		}
		dying.kill()
		died := time.Now()
		f.append(stream(2), placed{"DE", 1})
		f.caughtUp(b)
		if took := time.Since(died); took < 5*time.Second || took > 12*time.Second {
			t.Errorf("taken over after %v, want about the lease of 10 s", took)
		}
		if err := <-ended; !errors.Is(err, banyan.ErrClosed) {
			t.Errorf("run on a closed database: got error %v, want one of kind closed", err)
		}
	})
}

// pausedLog stands still in the middle of a read, as a process that was stopped
// does: it has read events and believes that it leads.
type pausedLog struct {
	*store.Store
	mu    sync.Mutex
	until chan struct{}
}

func (l *pausedLog) pause() (resume func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = make(chan struct{})
	return sync.OnceFunc(func() { close(l.until) })
}

func (l *pausedLog) resumed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = nil
}

func (l *pausedLog) ReadPage(ctx context.Context, after banyan.Position, f store.Filter, limit int) (store.Page, error) {
	page, err := l.Store.ReadPage(ctx, after, f, limit)
	l.mu.Lock()
	until := l.until
	l.mu.Unlock()
	if until != nil {
		<-until
	}
	return page, err
}

func TestPausedOwnerIsFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		log := &pausedLog{Store: f.store}
		a, err := projection.NewRunner(log, f.views, s1.define(projection.Options{}), &projection.RunnerOptions{Owner: "a"})
		if err != nil {
			t.Fatal(err)
		}
		f.start(a)
		f.append(stream(1), placed{"DE", 1})
		f.caughtUp(f.runner(s2.define(projection.Options{}), nil))
		resume := log.pause()
		defer resume()
		f.append(stream(2), placed{"DE", 1})
		synctest.Wait() // a stands still with the second event in its hands

		b := f.runner(s2.define(projection.Options{}), &projection.RunnerOptions{Owner: "b"})
		f.start(b)
		f.caughtUp(b)
		f.append(stream(3), placed{"DE", 1})
		f.caughtUp(b)
		resume()
		log.resumed()
		for i := range 40 { // who believes to lead still would get some of them
			f.append(stream(i), placed{"DE", 1})
			pause(time.Second)
		}
		f.caughtUp(b)
		if s1.handled.Load() != 1 || s2.handled.Load() != 42 {
			t.Errorf("the paused owner handled %d events and its successor %d, want 1 and 42", s1.handled.Load(), s2.handled.Load())
		}
		if owner := f.status(b).Owner; owner != "b" {
			t.Errorf("owner is %q, want b: who was paused competes anew", owner)
		}
		if diff := cmp.Diff(f.fold(s1, 1000), f.rows(s1)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	})
}

func TestSecondRunOfOneRunnerIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		stop := f.start(r)
		f.append(stream(1), placed{"DE", 1})
		f.caughtUp(r)
		if err := r.Run(t.Context()); !errors.Is(err, banyan.ErrExists) {
			t.Errorf("got error %v, want one of kind already exists", err)
		}
		stop()
		f.append(stream(1), placed{"DE", 1})
		f.start(r) // again, after the end of the first
		f.caughtUp(r)
	})
}
