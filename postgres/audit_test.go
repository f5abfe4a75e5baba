package postgres_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// seen is one event as a reader of the log got it.
type seen struct {
	ID       string
	Stream   string
	Revision banyan.Revision
	Position banyan.Position
	Sum      uint64 // of everything in it
}

func see(e banyan.Event) seen {
	h := fnv.New64a()
	fmt.Fprintf(h, "%+v", e)
	return seen{ID: e.ID, Stream: e.Stream, Revision: e.Revision, Position: e.Position, Sum: h.Sum64()}
}

// audit compares what a reader saw with what was committed and returns the
// differences. doubtful events may be there or not: nobody knows whether they
// were committed in time.
func audit(got []seen, committed, doubtful map[string]bool) []string {
	var faults []string
	count := map[string]int{}
	heads := map[string]banyan.Revision{}
	last := banyan.Position(0)
	for _, s := range got {
		if count[s.ID]++; count[s.ID] > 1 {
			faults = append(faults, "twice: "+s.ID)
		}
		if !committed[s.ID] && !doubtful[s.ID] {
			faults = append(faults, "never committed: "+s.ID)
		}
		if s.Revision != heads[s.Stream]+1 {
			faults = append(faults, fmt.Sprintf("out of order: %s@%d after %d", s.Stream, s.Revision, heads[s.Stream]))
		}
		if s.Position != 0 && s.Position != last+1 {
			faults = append(faults, fmt.Sprintf("out of order: position %d after %d", s.Position, last))
		}
		heads[s.Stream], last = s.Revision, s.Position
	}
	for id := range committed {
		if count[id] == 0 {
			faults = append(faults, "missed: "+id)
		}
	}
	return faults
}

// wantNoFaults fails with the first of the faults.
func wantNoFaults(t testing.TB, who string, faults []string) {
	t.Helper()
	if len(faults) > 0 {
		t.Errorf("%s: %d faults, the first are %v", who, len(faults), faults[:min(5, len(faults))])
	}
}

// wantSame compares the sequences of two readers to the last byte.
func wantSame(t testing.TB, who string, got, want []seen) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d events, want %d; the first difference is at index %d:\ngot  %+v\nwant %+v", who, len(got), len(want), i, got[i:min(i+3, len(got))], want[i:min(i+3, len(want))])
}

// follow reads pages until done is closed and the end is reached.
func follow(t testing.TB, s *store.Store, size int, done <-chan struct{}) []seen {
	t.Helper()
	r := &reader{size: func() int { return size }}
	if !r.read(t.Context(), s, done) {
		t.Error("the log could not be read to its end")
	}
	return r.out
}

// reader reads the log and keeps its place in it, as a subscriber would that
// stores both together.
type reader struct {
	size   func() int // of the next page
	cursor banyan.Position
	out    []seen
	err    error // that ended it last
}

// read reads on until done is closed and the end is reached, and reports whether
// it is. It leaves off at once when ctx ends, also in the middle of a page.
func (r *reader) read(ctx context.Context, s *store.Store, done <-chan struct{}) bool {
	for last := false; ; {
		page, err := s.ReadPage(ctx, r.cursor, store.Filter{}, r.size())
		if r.err = err; err != nil {
			return false
		}
		for _, e := range page.Events {
			if ctx.Err() != nil {
				return false
			}
			r.out, r.cursor = append(r.out, see(e)), e.Position
		}
		switch {
		case len(page.Events) > 0:
		case last:
			return true
		default:
			select {
			case <-done:
				last = true
			default:
				wait, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				_ = s.Wait(wait, r.cursor)
				cancel()
			}
		}
	}
}

func closed() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}
