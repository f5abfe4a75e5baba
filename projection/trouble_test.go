package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/view"
)

var errUser = errors.New("trouble of the test")

// failing counts calls and fails while it is told to.
type failing struct {
	calls atomic.Int64
	err   atomic.Pointer[error]
}

func (u *failing) fail(err error) { u.err.Store(&err) }

func (u *failing) call(context.Context, *projection.Batch) error {
	u.calls.Add(1)
	if err := u.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (f *fixture) remote(name string) *projection.Remote {
	f.Helper()
	r, err := projection.NewRemote(f.store, f.views, name, nil)
	if err != nil {
		f.Fatal(err)
	}
	return r
}

func (f *fixture) remoteStatus(r *projection.Remote) projection.Status {
	f.Helper()
	s, err := r.Status(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func TestSetupErrorShowsAtOnceAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, own := setup(t), newSales(), &failing{}
		own.fail(errUser)
		r := f.runner(s.define(projection.Options{Setup: own.call}), nil)
		f.fill(5)
		f.start(r)
		began := time.Now()
		f.eventually("the error shows", func() bool { return f.status(r).Error != "" })
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("the error shows after %v, want at once", took)
		}
		pause(8 * time.Second) // less than the lease, after which the runner competes anew
		for name, got := range map[string]projection.Status{"runner": f.status(r), "remote": f.remoteStatus(f.remote("sales"))} {
			if !strings.Contains(got.Error, errUser.Error()) || !strings.Contains(got.Error, "set up generation 1") {
				t.Errorf("%s: error %q, want that of Setup", name, got.Error)
			}
			if since := got.ErrorSince.Sub(began); since < 0 || since > 100*time.Millisecond {
				t.Errorf("%s: error since %v after the start, want the first failure", name, since)
			}
			if len(got.Generations) != 0 {
				t.Errorf("%s: generations %+v, want none", name, got.Generations)
			}
		}
		// 50 ms doubled up to 5 s, less up to a half of it.
		if n := own.calls.Load(); n < 7 || n > 12 {
			t.Errorf("tried %d times within 8 s, want growing pauses", n)
		}
		own.err.Store(nil)
		f.caughtUp(r)
		if got := f.status(r); got.Error != "" || !got.ErrorSince.IsZero() {
			t.Errorf("after the error had gone: got %q since %v, want none", got.Error, got.ErrorSince)
		}
		if got := f.remoteStatus(f.remote("sales")); got.Error != "" {
			t.Errorf("remote after the error had gone: got %q, want none", got.Error)
		}
	})
}

func TestPermanentErrorsOfUserCodeStopTheRunner(t *testing.T) {
	t.Parallel()
	for _, kind := range []error{banyan.ErrInvalid, banyan.ErrDenied, banyan.ErrNotFound} {
		for _, step := range []string{"set up", "activate"} {
			synctest.Test(t, func(t *testing.T) {
				f, s, own := setup(t), newSales(), &failing{}
				own.fail(errors.Join(errUser, kind))
				o := projection.Options{Setup: own.call}
				if step == "activate" {
					o = projection.Options{Activate: own.call}
				}
				r := f.runner(s.define(o), nil)
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := r.Run(ctx)
				if !errors.Is(err, kind) || !errors.Is(err, errUser) || !strings.Contains(err.Error(), step) || time.Since(began) > time.Second {
					t.Errorf("%s, %v: run returned %v after %v, want the error at once", step, kind, err, time.Since(began))
				}
				if own.calls.Load() != 1 {
					t.Errorf("%s, %v: tried %d times, want once", step, kind, own.calls.Load())
				}
				got := f.remoteStatus(f.remote("sales"))
				if !strings.Contains(got.Error, errUser.Error()) || got.Owner != "" {
					t.Errorf("%s, %v: remote shows error %q and owner %q, want the error and nobody", step, kind, got.Error, got.Owner)
				}
				if got := f.status(r); !strings.Contains(got.Error, errUser.Error()) {
					t.Errorf("%s, %v: the stopped runner shows error %q, want the one it returned", step, kind, got.Error)
				}
			})
		}
	}
}

// While a generation cannot become live, the live one goes on.
func TestActivateErrorDoesNotStopTheLiveGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, own := setup(t), newSales(), &failing{}
		r := f.runner(s.define(projection.Options{Activate: own.call}), nil)
		f.fill(10)
		f.start(r)
		f.caughtUp(r)
		own.fail(errUser)
		own.calls.Store(0)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.eventually("the error shows", func() bool { return strings.Contains(f.status(r).Error, errUser.Error()) })
		for range 60 {
			token := f.append(stream(1), placed{"DE", 1}).Token()
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			err := r.Wait(ctx, token)
			cancel()
			if err != nil || time.Since(began) > time.Second {
				t.Fatalf("the live generation handled an event after %v, error %v; want it to go on", time.Since(began), err)
			}
			pause(time.Second)
		}
		if n := own.calls.Load(); n < 12 || n > 35 {
			t.Errorf("tried %d times in a minute, want every 2.5 to 5 seconds in the end", n)
		}
		if got := f.remoteStatus(f.remote("sales")); !strings.Contains(got.Error, "activate generation 2") || got.Owner == "" {
			t.Errorf("remote shows error %q and owner %q, want the error and an owner", got.Error, got.Owner)
		}
		own.err.Store(nil)
		f.activeIs(r, 2)
		if got := f.status(r).Error + f.remoteStatus(f.remote("sales")).Error; got != "" {
			t.Errorf("after the switch: got error %q, want none", got)
		}
	})
}

// What cannot become live is dropped, and the trouble with it.
func TestDropEndsTheTroubleOfABuiltGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, own := setup(t), newSales(), &failing{}
		r := f.runner(s.define(projection.Options{Activate: own.call}), nil)
		f.fill(10)
		f.start(r)
		f.caughtUp(r)
		own.fail(errUser)
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		f.eventually("the error shows", func() bool { return f.status(r).Error != "" })
		if err := r.Drop(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		f.eventually("the error has gone", func() bool {
			return f.status(r).Error == "" && f.remoteStatus(f.remote("sales")).Error == ""
		})
	})
}

func TestPermanentActivateErrorAfterARebuildStopsTheRunner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, own := setup(t), newSales(), &failing{}
		r := f.runner(s.define(projection.Options{Activate: own.call}), nil)
		f.fill(10)
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { ended <- r.Run(ctx) }()
		f.caughtUp(r)
		own.fail(errors.Join(errUser, banyan.ErrDenied))
		if _, err := r.Rebuild(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		pause(time.Minute)
		cancel()
		if err := <-ended; !errors.Is(err, banyan.ErrDenied) || !strings.Contains(err.Error(), "activate generation 2") {
			t.Errorf("run returned %v, want the error of Activate", err)
		}
	})
}

// fullDisk is a database that answers readers and refuses writers.
type fullDisk struct {
	view.Backend
	full atomic.Bool
}

func (d *fullDisk) Batch(ctx context.Context, name string, fn func(view.Tx) error) error {
	if d.full.Load() {
		return fmt.Errorf("the disk is full: %w", banyan.ErrUnavailable)
	}
	return d.Backend.Batch(ctx, name, fn)
}

func TestStatusShowsThatRowsCannotBeWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		disk := &fullDisk{Backend: f.db.ViewBackend()}
		r, err := projection.NewRunner(f.store, view.New(disk), s.define(projection.Options{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		f.start(r)
		f.fill(10)
		f.caughtUp(r)
		disk.full.Store(true)
		f.fill(10)
		f.eventually("the error shows", func() bool { return strings.Contains(f.status(r).Error, "the disk is full") })
		disk.full.Store(false)
		f.caughtUp(r)
		if got := f.status(r).Error; got != "" {
			t.Errorf("after the disk had space: got error %q, want none", got)
		}
	})
}

// What stopped a runner is forgotten when the next one begins.
func TestNextRunnerForgetsTheTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, wrong := setup(t), newSales(), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		stop := f.start(r)
		f.fill(10)
		f.caughtUp(r)
		stop()
		wrong.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		if err := f.runner(wrong.define(projection.Options{}), nil).Run(t.Context()); !errors.Is(err, banyan.ErrInvalid) {
			t.Fatalf("got error %v, want one of kind invalid", err)
		}
		if got := f.status(r).Error; !strings.Contains(got, "raise Options.Version") {
			t.Errorf("got error %q, want that of the runner that stopped", got)
		}
		f.start(r)
		f.fill(10)
		f.caughtUp(r)
		if got := f.status(r).Error; got != "" {
			t.Errorf("while the next one runs: got error %q, want none", got)
		}
	})
}

// damagedLog has bytes that are not what was written.
type damagedLog struct{ *store.Store }

func (damagedLog) ReadPage(context.Context, banyan.Position, store.Filter, int) (store.Page, error) {
	return store.Page{}, fmt.Errorf("event 3: %w", banyan.ErrCorrupt)
}

// Other processes learn why a runner ended.
func TestReasonOfTheEndIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r, err := projection.NewRunner(damagedLog{f.store}, f.views, s.define(projection.Options{}), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, banyan.ErrCorrupt) {
			t.Errorf("run returned %v, want an error of kind corrupt", err)
		}
		if got := f.remoteStatus(f.remote("sales")); !strings.Contains(got.Error, "event 3") || got.Owner != "" {
			t.Errorf("remote shows error %q and owner %q, want the reason and nobody", got.Error, got.Owner)
		}
	})
}
