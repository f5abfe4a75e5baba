package projection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/projection"
	"github.com/banyanhq/banyan/view"
)

func TestNamesAndUnknownProjections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		names := func() []string {
			all, err := projection.Names(t.Context(), f.views)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		if got := names(); len(got) != 0 {
			t.Errorf("an empty database: got %v, want no names", got)
		}
		if _, err := f.remote("sales").Status(t.Context()); !errors.Is(err, banyan.ErrNotFound) || !strings.Contains(err.Error(), "no projection has ever run") {
			t.Errorf("an empty database: got error %v, want one of kind not found", err)
		}
		other := projection.Define("audit", types, nil)
		projection.OnAny(other, func(context.Context, *projection.Batch, any, banyan.Event) error { return nil })
		for _, d := range []*projection.Definition{s.define(projection.Options{}), other} {
			r := f.runner(d, nil)
			f.start(r)
			f.caughtUp(r)
		}
		if diff := cmp.Diff([]string{"audit", "sales"}, names()); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		unknown := f.remote("sails")
		_, errStatus := unknown.Status(t.Context())
		_, errParked := unknown.ParkedKeys(t.Context())
		_, errRebuild := unknown.Rebuild(t.Context(), nil)
		for _, err := range []error{errStatus, errParked, errRebuild} {
			if !errors.Is(err, banyan.ErrNotFound) || !strings.Contains(err.Error(), "there are audit, sales") {
				t.Errorf("an unknown name: got error %v, want one of kind not found with the names there are", err)
			}
		}
	})
}

func TestRemoteStatusIsTheOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		s.poison.Store("bad", true)
		r := f.runner(s.define(projection.Options{}), &projection.RunnerOptions{Owner: "me"})
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		f.append(stream(2), placed{"DE", 1})
		stop := f.start(r)
		f.caughtUp(r)
		if diff := cmp.Diff(f.status(r), f.remoteStatus(f.remote("sales"))); diff != "" {
			t.Errorf("status (-runner +remote):\n%s", diff)
		}
		stop()
		f.append(stream(1), banyan.Event{Type: "order.unheard", Data: []byte(`{}`)})
		pause(time.Minute)
		got := f.remoteStatus(f.remote("sales"))
		if g := got.Active(); got.Owner != "" || !got.Until.IsZero() || g.Lag != 1 || g.LagTime != time.Minute {
			t.Errorf("nobody runs it: got %+v, want no owner and a lag of one event and a minute", got)
		}
	})
}

// An operator rebuilds, looks, switches, switches back and drops, without the
// definition.
func TestRemoteRebuildSwitchAndBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		f.fill(300)
		r := f.runner(s.define(projection.Options{BatchSize: 8}), nil)
		f.start(r)
		f.caughtUp(r)
		remote := f.remote("sales")
		began := time.Now()
		number, err := remote.Rebuild(t.Context(), &projection.RebuildOptions{Hold: true})
		if err != nil || number != 2 {
			t.Fatalf("rebuild: got generation %d and error %v, want 2", number, err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("an idle owner took %v to begin, want at most a third of its lease of 10 s", took)
		}
		if _, err := remote.Rebuild(t.Context(), nil); !errors.Is(err, banyan.ErrExists) || !strings.Contains(err.Error(), "generation 2 is being built") {
			t.Errorf("a second rebuild: got error %v, want one of kind already exists", err)
		}
		f.waiting(r, 2, "held")
		pause(time.Minute)
		f.fill(10)
		for _, to := range []int{2, 1} {
			if err := remote.Switch(t.Context(), to, nil); err != nil {
				t.Fatalf("switch to %d: %v", to, err)
			}
			if got := f.remoteStatus(remote).Active(); got.Number != to || got.Position != 310 || got.Waiting != "" {
				t.Errorf("after the switch: got %+v, want generation %d live at the end of the log", got, to)
			}
			if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
				t.Errorf("rows of generation %d (-want +got):\n%s", to, diff)
			}
		}
		if err := remote.Switch(t.Context(), 1, nil); err != nil {
			t.Errorf("switch to the live generation: %v", err)
		}
		if err := remote.Switch(t.Context(), 7, nil); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("switch to generation 7: got error %v, want one of kind not found", err)
		}
		if err := remote.Drop(t.Context(), 1); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("drop of the live generation: got error %v, want one of kind invalid", err)
		}
		if err := remote.Drop(t.Context(), 2); err != nil {
			t.Error(err)
		}
		if got := f.remoteStatus(remote).Generations; len(got) != 1 {
			t.Errorf("got %+v, want the live generation alone", got)
		}
		f.effectsOnce(s)
	})
}

func TestRemoteRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		for i := range 6 {
			reason := fmt.Sprint("bad ", i)
			s.poison.Store(reason, true)
			f.append(stream(i), placed{"DE", 1}, cancelled{reason}, cancelled{"waits"})
		}
		r := f.runner(s.define(projection.Options{}), nil)
		f.start(r)
		f.caughtUp(r)
		remote := f.remote("sales")
		keys, err := remote.ParkedKeys(t.Context())
		if err != nil || len(keys) != 6 {
			t.Fatalf("got %+v and error %v, want six parked keys", keys, err)
		}
		if k := keys[1]; k.Key != stream(1) || k.Position != 5 || k.Attempts != 5 || k.Generation != 1 || !strings.Contains(k.Error, errPoison.Error()) {
			t.Errorf("got %+v, want the event that failed of the second stream", k)
		}
		if _, err := remote.Retry(t.Context(), stream(0)); err == nil || !strings.Contains(err.Error(), errPoison.Error()) || banyan.Kind(err) != nil {
			t.Errorf("retry of what still fails: got error %v, want that of the handler, without a kind", err)
		}
		if _, err := remote.Retry(t.Context(), "nobody"); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("retry of a key that is not parked: got error %v, want one of kind not found", err)
		}
		s.poison.Delete("bad 0")
		got, err := remote.Retry(t.Context(), stream(0))
		if diff := cmp.Diff(projection.Retried{Events: 2, Keys: 1}, got); err != nil || diff != "" {
			t.Errorf("retry: error %v (-want +got):\n%s", err, diff)
		}
		for _, i := range []int{1, 3, 4} {
			s.poison.Delete(fmt.Sprint("bad ", i))
		}
		got, err = remote.RetryAll(t.Context())
		if err != nil || got.Events != 6 || got.Keys != 3 || got.Failed != 2 || !strings.Contains(got.Error, stream(2)) || !strings.Contains(got.Error, errPoison.Error()) {
			t.Errorf("retry all: got %+v and error %v, want 6 events, 3 keys, 2 failed and the error of the first", got, err)
		}
		if keys, err := remote.ParkedKeys(t.Context()); err != nil || len(keys) != 2 || keys[0].Attempts != 6 {
			t.Errorf("got %+v and error %v, want two keys with one more attempt", keys, err)
		}
		s.poison.Clear()
		if got, err = remote.RetryAll(t.Context()); err != nil || got.Keys != 2 || got.Failed != 0 {
			t.Errorf("retry all once more: got %+v and error %v, want 2 keys", got, err)
		}
		if diff := cmp.Diff(f.fold(s, 1000), f.rows(s)); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		f.effectsOnce(s)
	})
}

// A key that only a generation of other code has parked cannot be retried, and
// the operator learns why.
func TestRemoteRetryOfAHeldGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s1, s2 := setup(t), newSales(), newSales()
		s1.poison.Store("bad", true)
		f.append(stream(1), placed{"DE", 1}, cancelled{"bad"})
		v1 := f.runner(s1.define(projection.Options{}), nil)
		stop := f.start(v1)
		f.caughtUp(v1)
		stop()
		s2.orders = view.NewCollection("orders", view.IndexOf("land", func(o order) string { return o.Country }))
		v2 := f.runner(s2.define(projection.Options{Version: 2}), nil)
		f.start(v2)
		f.waiting(v2, 2, stream(1))
		if g := f.remoteStatus(f.remote("sales")).Active(); !strings.Contains(g.Held, "version 2") {
			t.Errorf("remote status: got %+v, want the reason why the live generation is held", g)
		}
		if _, err := f.remote("sales").Retry(t.Context(), stream(1)); !errors.Is(err, banyan.ErrInvalid) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("got error %v, want one of kind invalid that says which code is needed", err)
		}
		if err := f.remote("sales").Switch(t.Context(), 2, &projection.SwitchOptions{Force: true}); err != nil {
			t.Errorf("forced switch: %v", err)
		}
	})
}

func TestRemoteSaysThatNobodyRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		dying := &faulty{Backend: f.db.ViewBackend()}
		a, err := projection.NewRunner(f.store, view.New(dying), s.define(projection.Options{}), &projection.RunnerOptions{Owner: "a"})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.Run(t.Context()) }()
		f.fill(10)
		f.caughtUp(a)
		remote := f.remote("sales")
		dying.kill()
		<-ended
		ask := func(want string, within time.Duration) {
			t.Helper()
			began := time.Now()
			_, err := remote.Rebuild(t.Context(), nil)
			if !errors.Is(err, banyan.ErrUnavailable) || !strings.Contains(err.Error(), "no process runs") || !strings.Contains(err.Error(), want) {
				t.Errorf("got error %v, want one of kind unavailable with %q", err, want)
			}
			if took := time.Since(began); took > within {
				t.Errorf("answered after %v, want within %v", took, within)
			}
		}
		ask("its last owner a", 16*time.Second)
		b := f.runner(s.define(projection.Options{}), &projection.RunnerOptions{Owner: "b"})
		stop := f.start(b)
		f.eventually("b leads", func() bool { return f.status(b).Owner == "b" })
		stop()
		ask("nobody holds its lease", 6*time.Second)

		// What nobody waited for any more is not done later.
		f.start(b)
		f.fill(10)
		f.caughtUp(b)
		pause(time.Minute)
		if got := f.status(b).Generations; len(got) != 1 {
			t.Errorf("got %+v, want the requests withdrawn", got)
		}
	})
}

func TestRemoteWithdrawsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		stop := f.start(r)
		f.fill(10)
		f.caughtUp(r)
		stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.remote("sales").Rebuild(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want the deadline", err)
		}
		f.start(r)
		pause(time.Minute)
		if got := f.status(r).Generations; len(got) != 1 {
			t.Errorf("got %+v, want the request withdrawn", got)
		}
	})
}

// The owner tries what was asked for again when it fails, but not what was taken
// back meanwhile.
func TestWithdrawnRequestIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s, own := setup(t), newSales(), &failing{}
		r := f.runner(s.define(projection.Options{Setup: own.call}), &projection.RunnerOptions{Attempts: 1000})
		f.start(r)
		f.fill(10)
		f.caughtUp(r)
		own.fail(errUser)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := f.remote("sales").Rebuild(ctx, nil)
			done <- err
		}()
		f.eventually("Setup was tried twice", func() bool { return own.calls.Load() > 2 })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want that of the context", err)
		}
		own.err.Store(nil)
		pause(time.Minute)
		if got := f.status(r).Generations; len(got) != 1 {
			t.Errorf("got %+v, want one generation", got)
		}
	})
}

func TestRemoteSwitchToAGenerationThatIsFarBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{BatchSize: 8}), nil)
		f.start(r)
		f.fill(300)
		f.caughtUp(r)
		synctest.Wait() // the owner is idle, so that both requests are there when it looks
		var both sync.WaitGroup
		defer both.Wait()
		both.Go(func() {
			if _, err := f.remote("sales").Rebuild(t.Context(), &projection.RebuildOptions{Hold: true}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if err := f.remote("sales").Switch(t.Context(), 2, nil); !errors.Is(err, banyan.ErrConflict) || !strings.Contains(err.Error(), "292 positions behind") {
			t.Errorf("got error %v, want one of kind conflict that says how far it is behind", err)
		}
	})
}

func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, s := setup(t), newSales()
		r := f.runner(s.define(projection.Options{}), nil)
		f.fill(100)
		f.start(r)
		f.caughtUp(r)
		var mu sync.Mutex
		var all sync.WaitGroup
		got := map[string]int{}
		for range 20 { // more than may wait
			all.Go(func() {
				_, err := f.remote("sales").Rebuild(t.Context(), &projection.RebuildOptions{Hold: true})
				mu.Lock()
				defer mu.Unlock()
				got[fmt.Sprint(banyan.Kind(err))]++
			})
		}
		all.Wait()
		want := map[string]int{"<nil>": 1, "already exists": 15, "unavailable": 4}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answers by kind (-want +got):\n%s", diff)
		}
		if g := f.status(r).Generations; len(g) != 2 {
			t.Errorf("got generations %+v, want two", g)
		}
		// Every batch writes the document: nothing of the requests stays there.
		doc, err := f.db.ViewBackend().Get(t.Context(), "banyan_projections", "sales")
		if err != nil || bytes.Contains(doc, []byte(`"answers"`)) || bytes.Contains(doc, []byte(`"requests"`)) {
			t.Errorf("the state is %s, error %v; want no requests and answers", doc, err)
		}
	})
}
