package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// result is what an append in the background came to.
type result struct {
	store.Result
	err error
}

// background starts an append and returns where its result will be.
func background(ctx context.Context, st *store.Store, stream string, expect store.Expect, events ...banyan.Event) <-chan result {
	done := make(chan result, 1)
	go func() {
		r, err := st.Append(ctx, stream, expect, events...)
		done <- result{r, err}
	}()
	return done
}

// queue starts n appends behind one that is under way, and returns the call
// under way. All run in a synctest bubble, so the order is certain.
func queue(t *testing.T, g *gate, start ...func()) call {
	t.Helper()
	var first call
	for i, s := range start {
		s()
		if i == 0 {
			first = <-g.calls
		}
		synctest.Wait()
	}
	return first
}

func (c call) goOn(a answer) { c.answer <- a }

func TestAppendsThatWaitShareATransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		var groups, events int
		st := over(t, g, &store.Options{Hooks: &store.Hooks{Appended: func(appends, n int, _ time.Duration, err error) {
			groups, events = groups+1, events+n
			if err != nil || appends != n {
				t.Errorf("hook: %d appends, %d events, %v", appends, n, err)
			}
		}}})
		var done []<-chan result
		var start []func()
		for i := range 16 {
			start = append(start, func() {
				done = append(done, background(t.Context(), st, fmt.Sprintf("a-%d", i), store.NoStream, event("")))
			})
		}
		first := queue(t, g, start...)
		if len(first.commits) != 1 {
			t.Fatalf("the first group has %d appends; want 1, it waits for nobody", len(first.commits))
		}
		first.goOn(answer{})
		second := <-g.calls
		if len(second.commits) != 15 {
			t.Fatalf("the second group has %d appends; want the 15 that waited", len(second.commits))
		}
		second.goOn(answer{})
		for i, d := range done {
			if r := <-d; r.err != nil || r.Events[0].Stream != fmt.Sprintf("a-%d", i) {
				t.Fatalf("append %d: %+v, %v", i, r.Events, r.err)
			}
		}
		synctest.Wait()
		if groups != 2 || events != 16 {
			t.Fatalf("the hook saw %d groups and %d events; want 2 and 16", groups, events)
		}
	})
}

func TestConflictInAGroupTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		var done [5]<-chan result
		var start []func()
		for i := range done {
			expect := store.NoStream
			if i == 2 {
				expect = store.Exact(7)
			}
			start = append(start, func() { done[i] = background(t.Context(), st, fmt.Sprintf("a-%d", i), expect, event("")) })
		}
		queue(t, g, start...).goOn(answer{})
		(<-g.calls).goOn(answer{})
		for i, d := range done {
			r := <-d
			if i != 2 && r.err != nil {
				t.Fatalf("append %d: %v", i, r.err)
			}
			var conflict *store.ConflictError
			if i == 2 && (!errors.As(r.err, &conflict) || !errors.Is(r.err, banyan.ErrConflict) || *conflict != store.ConflictError{Stream: "a-2", Want: 7}) {
				t.Fatalf("append %d: %v; want a conflict", i, r.err)
			}
		}
	})
}

func TestGroupsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, &store.Options{MaxGroup: 5})
		var done []<-chan result
		add := func(n int) func() {
			return func() {
				events := make([]banyan.Event, n)
				for i := range events {
					events[i] = event(banyan.NewID())
				}
				done = append(done, background(t.Context(), st, "a-1", store.Any, events...))
			}
		}
		c := queue(t, g, add(1), add(2), add(2), add(2), add(9), add(1))
		for i, want := range []int{1, 4, 2, 9, 1} {
			if i > 0 {
				c = <-g.calls
			}
			if got := len(store.IDs(c.commits)); got != want {
				t.Fatalf("group %d has %d events; want %d (at most 5, or one append that has more)", i, got, want)
			}
			c.goOn(answer{})
		}
		for _, d := range done {
			if r := <-d; r.err != nil {
				t.Fatal(r.err)
			}
		}
	})
}

func TestCancelledInTheQueueLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var left, stays <-chan result
		first := queue(t, g,
			func() { background(t.Context(), st, "a-1", store.NoStream, event("first")) },
			func() { left = background(ctx, st, "a-2", store.NoStream, event("left")) },
			func() { stays = background(t.Context(), st, "a-3", store.NoStream, event("stays")) },
		)
		cancel()
		r := <-left
		if !errors.Is(r.err, context.Canceled) || banyan.Kind(r.err) != nil || !strings.Contains(r.err.Error(), "nothing was written") {
			t.Fatalf("error %v; want the context's, and that nothing was written", r.err)
		}
		first.goOn(answer{})
		second := <-g.calls
		if ids := store.IDs(second.commits); !slices.Equal(ids, []string{"stays"}) {
			t.Fatalf("the next group has %q; want only the append that stayed", ids)
		}
		second.goOn(answer{})
		if r := <-stays; r.err != nil {
			t.Fatal(r.err)
		}
		if found, err := st.Lookup(t.Context(), "left"); err != nil || len(found) > 0 {
			t.Fatalf("found %v, %v; want no trace", found, err)
		}
	})
}

func TestCancelledUnderWayIsUnknownAndSafeToRepeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := background(ctx, st, "a-1", store.NoStream, event("x"))
		underWay := <-g.calls
		cancel()
		if r := <-done; !errors.Is(r.err, banyan.ErrUnknown) || !errors.Is(r.err, context.Canceled) || !banyan.Retryable(r.err) {
			t.Fatalf("error %v; want kind %q", r.err, banyan.ErrUnknown)
		}
		underWay.goOn(answer{})
		again := background(t.Context(), st, "a-1", store.NoStream, event("x"))
		(<-g.calls).goOn(answer{})
		if r := <-again; r.err != nil || !r.Duplicate || r.Revision() != 1 {
			t.Fatalf("sent again: duplicate %v, revision %d, %v; want the first result", r.Duplicate, r.Revision(), r.err)
		}
	})
}

func TestOneWhoLeavesDoesNotStopTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		ctx1, cancel1 := context.WithCancel(t.Context())
		ctx2, cancel2 := context.WithCancel(t.Context())
		defer cancel1()
		defer cancel2()
		queue(t, g,
			func() { background(t.Context(), st, "a-1", store.NoStream, event("")) },
			func() { background(ctx1, st, "a-2", store.NoStream, event("")) },
			func() { background(ctx2, st, "a-3", store.NoStream, event("")) },
		).goOn(answer{})
		pair := <-g.calls
		cancel1()
		synctest.Wait()
		if pair.ctx.Err() != nil {
			t.Fatal("the group's context ended although one caller still waits")
		}
		cancel2()
		synctest.Wait()
		if pair.ctx.Err() == nil {
			t.Fatal("the group's context goes on although nobody waits")
		}
		pair.goOn(answer{})
	})
}

func TestBusyAppendIsSentAloneAndBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		var held, free <-chan result
		queue(t, g,
			func() { background(t.Context(), st, "a-1", store.NoStream, event("")) },
			func() { held = background(t.Context(), st, "held-1", store.NoStream, event("held")) },
			func() { free = background(t.Context(), st, "free-1", store.NoStream, event("free")) },
		).goOn(answer{})
		pair := <-g.calls
		outcomes, err := g.Backend.Append(t.Context(), pair.commits[1:])
		if err != nil {
			t.Fatal(err)
		}
		pair.goOn(answer{outcomes: []store.Outcome{{Busy: true}, outcomes[0]}})
		if r := <-free; r.err != nil {
			t.Fatal(r.err)
		}
		alone := <-g.calls
		if ids := store.IDs(alone.commits); !slices.Equal(ids, []string{"held"}) {
			t.Fatalf("sent again: %q; want the busy append alone", ids)
		}
		other := background(t.Context(), st, "other-1", store.NoStream, event(""))
		(<-g.calls).goOn(answer{})
		if r := <-other; r.err != nil { // while the busy one still waits
			t.Fatal(r.err)
		}
		alone.goOn(answer{})
		if r := <-held; r.err != nil || r.Revision() != 1 {
			t.Fatalf("the busy append: revision %d, %v", r.Revision(), r.err)
		}
	})
}

// A lone append that waits for somebody's transaction must not keep those that
// come after it from being committed.
func TestSlowLoneAppendDoesNotHoldTheOthersUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		start := time.Now() // of the bubble: an hour passes in no time
		held := background(t.Context(), st, "held-1", store.NoStream, event(""))
		blocked := <-g.calls
		first := background(t.Context(), st, "a-1", store.NoStream, event(""))
		second := background(t.Context(), st, "a-2", store.NoStream, event(""))
		call := <-g.calls // while the first call is still under way
		if len(call.commits) != 2 {
			t.Fatalf("the call beside the slow one has %d appends; want 2", len(call.commits))
		}
		if waited := time.Since(start); waited > time.Second {
			t.Fatalf("the others waited %v for the slow one; want at most a second", waited)
		}
		call.goOn(answer{})
		for _, d := range []<-chan result{first, second} {
			if r := <-d; r.err != nil {
				t.Fatal(r.err)
			}
		}
		blocked.goOn(answer{})
		if r := <-held; r.err != nil {
			t.Fatal(r.err)
		}
	})
}

func TestBusyAloneIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		done := background(t.Context(), st, "a-1", store.NoStream, event(""))
		(<-g.calls).goOn(answer{outcomes: []store.Outcome{{Busy: true}}})
		if r := <-done; !errors.Is(r.err, banyan.ErrUnavailable) {
			t.Fatalf("error %v; want kind %q", r.err, banyan.ErrUnavailable)
		}
	})
}

func TestSameIDsAreNeverInOneGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		var one, two, other <-chan result
		queue(t, g,
			func() { background(t.Context(), st, "a-0", store.NoStream, event("")) },
			func() { one = background(t.Context(), st, "a-1", store.NoStream, event("x"), event("y")) },
			func() { two = background(t.Context(), st, "a-1", store.NoStream, event("x"), event("y")) },
			func() { other = background(t.Context(), st, "a-2", store.NoStream, event("z")) },
		).goOn(answer{})
		for _, want := range [][]string{{"x", "y", "z"}, {"x", "y"}} {
			c := <-g.calls
			if ids := store.IDs(c.commits); !slices.Equal(ids, want) {
				t.Fatalf("a group has the ids %q; want %q", ids, want)
			}
			c.goOn(answer{})
		}
		a, b, c := <-one, <-two, <-other
		if err := errors.Join(a.err, b.err, c.err); err != nil || a.Duplicate || !b.Duplicate || c.Duplicate {
			t.Fatalf("duplicate %v, %v, %v, error %v; want only the second", a.Duplicate, b.Duplicate, c.Duplicate, err)
		}
	})
}

func TestCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		st := over(t, g, nil)
		done := background(t.Context(), st, "a-1", store.NoStream, event(""))
		underWay := <-g.calls
		go func() {
			if err := st.Close(); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		select {
		case <-g.closed:
			t.Fatal("the back end was closed while an append was under way")
		default:
		}
		if _, err := st.Append(t.Context(), "a-2", store.Any, event("")); !errors.Is(err, banyan.ErrClosed) {
			t.Fatalf("append to a closing store: %v; want kind %q", err, banyan.ErrClosed)
		}
		underWay.goOn(answer{})
		if r := <-done; r.err != nil {
			t.Fatalf("the append that was under way: %v", r.err)
		}
		<-g.closed
	})
}

func TestErrorsOfTheBackEnd(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	for name, c := range map[string]struct {
		answer answer
		want   error
	}{
		"no kind":          {answer{err: cause}, banyan.ErrUnknown},
		"unavailable":      {answer{err: fmt.Errorf("%w: %w", banyan.ErrUnavailable, cause)}, banyan.ErrUnavailable},
		"too few outcomes": {answer{outcomes: []store.Outcome{}}, banyan.ErrUnknown},
		"refused":          {answer{outcomes: []store.Outcome{{Err: banyan.ErrExists}}}, banyan.ErrExists},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				st := over(t, g, nil)
				done := background(t.Context(), st, "a-1", store.NoStream, event(""))
				(<-g.calls).goOn(c.answer)
				r := <-done
				if banyan.Kind(r.err) != c.want || (c.answer.err != nil && !errors.Is(r.err, cause)) {
					t.Fatalf("error %v; want kind %q with its cause", r.err, c.want)
				}
				if !strings.HasPrefix(r.err.Error(), "store: append a-1: ") {
					t.Fatalf("error %q does not say what failed", r.err)
				}
			})
		})
	}
}

// slowBackend takes a millisecond for each group, in bubble time.
type slowBackend struct{ store.Backend }

func (b slowBackend) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	time.Sleep(time.Millisecond)
	return b.Backend.Append(ctx, commits)
}

// TestCallersInALoopShareOneGroup: those who come back soon after their answer
// are waited for; groups do not settle at half of them.
func TestCallersInALoopShareOneGroup(t *testing.T) {
	t.Parallel()
	const callers, each = 16, 50
	synctest.Test(t, func(t *testing.T) {
		groups := 0
		st := over(t, slowBackend{mem.Open().Backend()}, &store.Options{Hooks: &store.Hooks{
			Appended: func(int, int, time.Duration, error) { groups++ },
		}})
		start := time.Now()
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for range each {
					time.Sleep(time.Duration(c) * 10 * time.Microsecond) // thinks
					if _, err := st.Append(t.Context(), fmt.Sprintf("a-%d", c), store.Any, event("")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if most := each + 5; groups > most {
			t.Errorf("%d callers with %d appends each made %d groups; want at most %d", callers, each, groups, most)
		}
		if took, most := time.Since(start), each*1500*time.Microsecond; took > most {
			t.Errorf("it took %v; want at most %v", took, most)
		}
	})
}

// TestCallersWhoDoNotComeBack are soon not waited for any more: the back end is
// never idle while appends wait.
func TestCallersWhoDoNotComeBack(t *testing.T) {
	t.Parallel()
	const calls, apart = 800, 240 * time.Microsecond // about four come during a commit
	synctest.Test(t, func(t *testing.T) {
		groups := 0
		st := over(t, slowBackend{mem.Open().Backend()}, &store.Options{Hooks: &store.Hooks{
			Appended: func(int, int, time.Duration, error) { groups++ },
		}})
		var wg sync.WaitGroup
		for i := range calls {
			time.Sleep(apart)
			wg.Go(func() {
				if _, err := st.Append(t.Context(), fmt.Sprintf("a-%d", i), store.Any, event("")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if least := int(calls*apart/time.Millisecond) - 5; groups < least {
			t.Errorf("%d commits of a millisecond in %v; want at least %d", groups, calls*apart, least)
		}
	})
}
