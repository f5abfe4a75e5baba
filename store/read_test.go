package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// revisions reads a sequence to its end.
func revisions(t testing.TB, seq iter.Seq2[banyan.Event, error]) []int {
	t.Helper()
	var out []int
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, int(e.Revision))
	}
	return out
}

// upTo returns from … to, in either direction.
func upTo(from, to int) []int {
	var out []int
	for ; from < to; from++ {
		out = append(out, from)
	}
	for ; from > to; from-- {
		out = append(out, from)
	}
	return append(out, to)
}

func TestRead(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	const n = 1000 // several pages
	fill(t, st, "a-1", n)
	fill(t, st, "page-1", 256) // exactly one
	for name, c := range map[string]struct {
		stream string
		o      store.ReadOptions
		want   []int
	}{
		"all":                        {"a-1", store.ReadOptions{}, upTo(1, n)},
		"from":                       {"a-1", store.ReadOptions{From: 300}, upTo(300, n)},
		"from the last":              {"a-1", store.ReadOptions{From: n}, []int{n}},
		"from behind the end":        {"a-1", store.ReadOptions{From: n + 1}, nil},
		"limit":                      {"a-1", store.ReadOptions{Limit: 10}, upTo(1, 10)},
		"limit over pages":           {"a-1", store.ReadOptions{Limit: 700}, upTo(1, 700)},
		"limit of one page":          {"a-1", store.ReadOptions{Limit: 256}, upTo(1, 256)},
		"limit beyond the end":       {"a-1", store.ReadOptions{Limit: 5000}, upTo(1, n)},
		"from and limit":             {"a-1", store.ReadOptions{From: 250, Limit: 20}, upTo(250, 269)},
		"backwards":                  {"a-1", store.ReadOptions{Backward: true}, upTo(n, 1)},
		"backwards from":             {"a-1", store.ReadOptions{Backward: true, From: 400}, upTo(400, 1)},
		"backwards from the first":   {"a-1", store.ReadOptions{Backward: true, From: 1}, []int{1}},
		"backwards from behind":      {"a-1", store.ReadOptions{Backward: true, From: 5000, Limit: 2}, []int{n, n - 1}},
		"backwards, limit":           {"a-1", store.ReadOptions{Backward: true, Limit: 600}, upTo(n, n-599)},
		"backwards, the last":        {"a-1", store.ReadOptions{Backward: true, Limit: 1}, []int{n}},
		"exactly one page":           {"page-1", store.ReadOptions{}, upTo(1, 256)},
		"exactly one page backwards": {"page-1", store.ReadOptions{Backward: true}, upTo(256, 1)},
		"no such stream":             {"b-1", store.ReadOptions{}, nil},
		"no such stream backwards":   {"b-1", store.ReadOptions{Backward: true, From: 3}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := revisions(t, st.Read(t.Context(), c.stream, c.o)); !slices.Equal(got, c.want) {
				t.Fatalf("%d events %v; want %d", len(got), got, len(c.want))
			}
		})
	}
}

func TestReadUntil(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	day := func(d int) time.Time { return time.Date(2010, 12, d, 0, 0, 0, 0, time.UTC) }
	for _, d := range []int{1, 3, 5, 2, 9} { // a writer gave times that do not ascend
		e := event("")
		e.Time = day(d)
		if _, err := st.Append(t.Context(), "a-1", store.Any, e); err != nil {
			t.Fatal(err)
		}
	}
	for until, want := range map[time.Time]int{day(1).Add(-1): 0, day(1): 1, day(2): 1, day(3): 2, day(4): 2, day(5): 4, day(8): 4, day(9): 5, {}: 5} {
		if got := revisions(t, st.Read(t.Context(), "a-1", store.ReadOptions{Until: until})); len(got) != want {
			t.Errorf("until %v: revisions %v; want the first %d", until, got, want)
		}
	}
	if got := revisions(t, st.Read(t.Context(), "a-1", store.ReadOptions{From: 2, Limit: 2, Until: day(5)})); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("from 2, limit 2, until 5: %v; want [2 3]", got)
	}
}

func TestReadRefusesBadOptions(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	for name, c := range map[string]struct {
		stream string
		o      store.ReadOptions
	}{
		"from":     {"a-1", store.ReadOptions{From: -1}},
		"limit":    {"a-1", store.ReadOptions{Limit: -1}},
		"until":    {"a-1", store.ReadOptions{Backward: true, Until: time.Unix(0, 0)}},
		"no name":  {"", store.ReadOptions{}},
		"bad name": {"a\x00", store.ReadOptions{}},
	} {
		n := 0
		for _, err := range st.Read(t.Context(), c.stream, c.o) {
			if n++; !errors.Is(err, banyan.ErrInvalid) {
				t.Errorf("%s: error %v; want kind %q", name, err, banyan.ErrInvalid)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d yields; want the error and nothing more", name, n)
		}
	}
	for _, c := range []struct {
		after banyan.Position
		limit int
	}{{-1, 1}, {0, 0}, {0, -1}} {
		if _, err := st.ReadPage(t.Context(), c.after, store.Filter{}, c.limit); !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("ReadPage after %d, limit %d: error %v; want kind %q", c.after, c.limit, err, banyan.ErrInvalid)
		}
	}
}

func TestAllReadsEverythingThatMatches(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	for i := range 40 {
		fill(t, st, fmt.Sprintf("%s-%d", []string{"a", "b"}[i%2], i), 50)
	}
	for name, c := range map[string]struct {
		after banyan.Position
		f     store.Filter
		want  int
	}{
		"everything": {0, store.Filter{}, 2000},
		"after":      {1990, store.Filter{}, 10},
		"the end":    {2000, store.Filter{}, 0},
		"prefix":     {0, store.Filter{Prefixes: []string{"b-"}}, 1000},
		"nothing":    {0, store.Filter{Types: []string{"no such"}}, 0},
	} {
		n, last := 0, c.after
		for e, err := range st.All(t.Context(), c.after, c.f) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Position <= last || !c.f.Matches(e.Type, e.Stream) {
				t.Fatalf("%s: position %d of %s follows %d", name, e.Position, e.Stream, last)
			}
			n, last = n+1, e.Position
		}
		if n != c.want {
			t.Errorf("%s: %d events; want %d", name, n, c.want)
		}
	}
}

// TestBreakReleasesEverything would hang or fail as a bubble when an iterator
// left a goroutine behind.
func TestBreakReleasesEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, nil)
		fill(t, st, "a-1", 2000)
		for name, seq := range map[string]func() iter.Seq2[banyan.Event, error]{
			"All":    func() iter.Seq2[banyan.Event, error] { return st.All(t.Context(), 0, store.Filter{}) },
			"Follow": func() iter.Seq2[banyan.Event, error] { return st.Follow(t.Context(), 0, store.Filter{}) },
		} {
			for _, at := range []int{1, 255, 256, 257, 2000} {
				n := 0
				for _, err := range seq() {
					if err != nil {
						t.Fatal(err)
					}
					if n++; n == at {
						break
					}
				}
				if n != at {
					t.Fatalf("%s: %d events before the break; want %d", name, n, at)
				}
			}
			next, stop := iter.Pull2(seq())
			if _, err, ok := next(); err != nil || !ok {
				t.Fatalf("%s: %v, %v", name, err, ok)
			}
			stop()
		}
	})
}

func TestFollowCatchesUpAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := mem.Open()
		here, there := over(t, db.Backend(), nil), over(t, db.Backend(), nil) // another process
		fill(t, here, "a-1", 600)
		ctx, cancel := context.WithCancel(t.Context())
		var seen atomic.Int64
		ended := make(chan error, 1)
		go func() {
			last := banyan.Position(100)
			for e, err := range here.Follow(ctx, last, store.Filter{}) {
				if err != nil || e.Position != last+1 {
					ended <- fmt.Errorf("position %d follows %d: %w", e.Position, last, err)
					return
				}
				last = e.Position
				seen.Add(1)
			}
			ended <- nil
		}()
		synctest.Wait()
		expect := func(want int64, when string) {
			t.Helper()
			if got := seen.Load(); got != want {
				t.Fatalf("%s the follower has seen %d events; want %d", when, got, want)
			}
		}
		expect(500, "before anything new")
		fill(t, here, "a-2", 3)
		synctest.Wait()
		expect(503, "at once after an append in this process")
		fill(t, there, "a-3", 4)
		synctest.Wait()
		expect(503, "before it polls")
		time.Sleep(50 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		expect(507, "after Poll")
		cancel()
		if err := <-ended; err != nil {
			t.Fatalf("the end of ctx is an error: %v", err)
		}
	})
}

func TestFollowEndsWhenTheStoreCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, nil)
		ended := make(chan error, 1)
		go func() {
			var last error
			for _, err := range st.Follow(t.Context(), 0, store.Filter{}) {
				last = err
			}
			ended <- last
		}()
		synctest.Wait()
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, banyan.ErrClosed) {
			t.Fatalf("error %v; want kind %q", err, banyan.ErrClosed)
		}
	})
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := open(t, nil)
		fill(t, st, "a-1", 2)
		if err := st.Wait(t.Context(), 1); err != nil { // there is something already
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := st.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v; want the context's", err)
		}
		done := make(chan error, 1)
		go func() { done <- st.Wait(t.Context(), 2) }()
		synctest.Wait()
		fill(t, st, "a-1", 1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestClosedStoreRefusesEverything(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	if err := errors.Join(st.Close(), st.Close()); err != nil {
		t.Fatalf("closing twice: %v", err)
	}
	ctx := t.Context()
	_, head := st.Head(ctx)
	_, page := st.ReadPage(ctx, 0, store.Filter{}, 1)
	_, lookup := st.Lookup(ctx, "x")
	_, position := st.PositionOf(ctx, "x")
	_, verify := st.Verify(ctx, nil)
	_, load := st.LoadSnapshot(ctx, "a-1", 1)
	_, appended := st.Append(ctx, "a-1", store.Any, event(""))
	errs := map[string]error{
		"Head": head, "ReadPage": page, "Lookup": lookup, "PositionOf": position, "Verify": verify, "LoadSnapshot": load, "Append": appended,
		"Wait": st.Wait(ctx, 0), "SaveSnapshot": st.SaveSnapshot(ctx, store.Snapshot{Stream: "a-1", Revision: 1, Schema: 1}),
	}
	for _, err := range st.Read(ctx, "a-1", store.ReadOptions{}) {
		errs["Read"] = err
	}
	for _, err := range st.All(ctx, 0, store.Filter{}) {
		errs["All"] = err
	}
	if len(errs) != 11 {
		t.Fatalf("%d calls failed; want 11", len(errs))
	}
	for call, err := range errs {
		if !errors.Is(err, banyan.ErrClosed) {
			t.Errorf("%s: error %v; want kind %q", call, err, banyan.ErrClosed)
		}
	}
}

// late gives positions only a while after Head was called, as a back end whose
// log is put into order after the commit.
type late struct {
	store.Backend
	heads atomic.Int64
}

func (l *late) Head(ctx context.Context) (banyan.Position, error) {
	l.heads.Add(1)
	return l.Backend.Head(ctx)
}

func (l *late) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	records, err := l.Backend.Lookup(ctx, ids)
	for i := range records {
		if l.heads.Load() < 3 {
			records[i].Position = 0
		}
	}
	return records, err
}

func TestPositionOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &late{Backend: mem.Open().Backend()}
		st := over(t, b, nil)
		fill(t, st, "a-1", 4)
		result, err := st.Append(t.Context(), "a-1", store.Any, event("x"), event("y"))
		if err != nil {
			t.Fatal(err)
		}
		if at, err := st.PositionOf(t.Context(), ""); at != 0 || err != nil {
			t.Fatalf("the empty token is at %d, %v; want 0", at, err)
		}
		if _, err := st.PositionOf(t.Context(), "no such"); !errors.Is(err, banyan.ErrNotFound) {
			t.Fatalf("error %v; want kind %q", err, banyan.ErrNotFound)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		if _, err := st.PositionOf(ctx, result.Token()); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("error %v; want the context's", err)
		}
		if at, err := st.PositionOf(t.Context(), result.Token()); at != 6 || err != nil {
			t.Fatalf("position %d, %v; want 6", at, err)
		}
	})
}
