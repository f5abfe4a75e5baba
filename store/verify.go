package store

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/banyanhq/banyan"
)

// Report is what Verify found.
type Report struct {
	Events  int64
	Streams int
	Last    banyan.Position
	Faults  []string // at most maxFaults; the first found first
	More    int      // faults beyond those
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Faults) == 0 }

const maxFaults = 100

func (r *Report) fault(format string, args ...any) {
	if len(r.Faults) == maxFaults {
		r.More++
		return
	}
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// Verify reads the whole log and checks every event: its checksum, that
// positions ascend (and have no holes, where that is promised), that the
// revisions of every stream are 1, 2, 3 …, that no closed stream goes on, and
// what the back end can check of itself. progress, which may be nil, is called
// after each page with the last position read and the head of the log. An error
// means that it could not read on, not that it found a fault. Memory: about 50
// bytes for each stream.
func (s *Store) Verify(ctx context.Context, progress func(at, head banyan.Position)) (Report, error) {
	report, err := s.verify(ctx, progress)
	if err != nil {
		return report, fmt.Errorf("store: verify: %w", err)
	}
	return report, nil
}

func (s *Store) verify(ctx context.Context, progress func(at, head banyan.Position)) (Report, error) {
	var report Report
	head, err := s.Head(ctx)
	if err != nil {
		return report, err
	}
	v := verifier{report: &report, gapFree: s.promises.GapFree, heads: map[uint64]Head{}, seed: maphash.MakeSeed()}
	for size := (pageSize{}); ; {
		var next banyan.Position
		records, err := s.timed(func() (records []Record, err error) {
			records, next, err = s.backend.ReadAll(ctx, report.Last, Filter{}, size.next())
			return records, err
		})
		if err != nil {
			return report, err
		}
		if next <= report.Last {
			break
		}
		size.saw(records)
		for i := range records {
			v.record(&records[i])
		}
		report.Last = max(report.Last, next)
		if progress != nil {
			progress(report.Last, head)
		}
	}
	report.Streams = len(v.heads)
	return report, s.selfCheck(ctx, &report)
}

func (s *Store) selfCheck(ctx context.Context, report *Report) error {
	b, ok := s.backend.(Checker)
	if !ok {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	faults, err := b.Check(ctx)
	for _, f := range faults {
		report.fault("%s", f)
	}
	return err
}

// verifier keeps the end of each stream by a 64-bit hash of its name: in a log
// of 5 million streams two share one with a probability of about 1 in 1.5
// million, and would only be reported, not damaged.
type verifier struct {
	report  *Report
	gapFree bool
	last    banyan.Position
	heads   map[uint64]Head
	seed    maphash.Seed
}

func (v *verifier) record(r *Record) {
	v.report.Events++
	where := fmt.Sprintf("position %d, event %s (%s@%d)", r.Position, r.ID, r.Stream, r.Revision)
	if _, err := r.Event(); err != nil {
		cause := err
		if inner := errors.Unwrap(err); inner != nil && !errors.Is(inner, banyan.ErrCorrupt) {
			cause = inner
		}
		v.report.fault("position %d: %v", r.Position, cause)
	}
	switch {
	case r.Position <= v.last:
		v.report.fault("%s: the position before it is %d", where, v.last)
	case v.gapFree && r.Position != v.last+1:
		v.report.fault("%s: positions %d to %d are missing", where, v.last+1, r.Position-1)
	}
	v.last = r.Position
	key := maphash.String(v.seed, r.Stream)
	head := v.heads[key]
	if r.Revision != head.Revision+1 {
		v.report.fault("%s: the revision of its stream before it is %d", where, head.Revision)
	}
	if head.Closed {
		v.report.fault("%s: its stream was closed by a tombstone at revision %d", where, head.Revision)
	}
	v.heads[key] = Head{Revision: r.Revision, Closed: r.Type == banyan.Tombstone}
}
