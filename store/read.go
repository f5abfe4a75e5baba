package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/banyanhq/banyan"
)

// ReadOptions select a part of a stream. The zero value is the whole stream.
type ReadOptions struct {
	// From is the first revision to return. 0: the first, or, backwards, the last.
	From banyan.Revision
	// Backward reads towards revision 1.
	Backward bool
	// Limit ends after so many events. 0: no limit.
	Limit int
	// Until ends before the first event whose Time is later. Zero: no limit. The
	// result is a state that the stream really had, also when a writer gave
	// times that do not ascend. Not together with Backward.
	Until time.Time
}

// Read yields the events of a stream. A stream that does not exist has none. A
// closed stream ends with its tombstone. After an error nothing more is yielded.
func (s *Store) Read(ctx context.Context, stream string, o ReadOptions) iter.Seq2[banyan.Event, error] {
	return func(yield func(banyan.Event, error) bool) {
		fail := func(err error) { yield(banyan.Event{}, fmt.Errorf("store: read %s: %w", stream, err)) }
		if err := o.check(stream); err != nil {
			fail(err)
			return
		}
		size := pageSize{}
		r := Range{From: o.From, Backward: o.Backward}
		for left, first := o.Limit, true; ; first = false {
			r.Limit = size.next()
			if o.Limit > 0 {
				r.Limit = min(r.Limit, left)
			}
			events, err := s.streamPage(ctx, stream, r, first, &size)
			if err != nil {
				fail(err)
				return
			}
			for _, e := range events {
				if !o.Until.IsZero() && e.Time.After(o.Until) {
					return
				}
				if !yield(e, nil) {
					return
				}
			}
			left -= len(events)
			if len(events) < r.Limit || (o.Limit > 0 && left <= 0) {
				return
			}
			r.From = events[len(events)-1].Revision + 1
			if o.Backward {
				if r.From -= 2; r.From == 0 {
					return
				}
			}
		}
	}
}

func (o ReadOptions) check(stream string) error {
	switch {
	case o.From < 0 || o.Limit < 0:
		return invalid("From and Limit must not be negative")
	case o.Backward && !o.Until.IsZero():
		return invalid("Until goes only with reading forwards")
	}
	return checkText("stream", stream, 1, maxStream)
}

// streamPage reads one page and checks that revisions follow each other. The
// first page backwards starts at the end of the stream where From is beyond it.
func (s *Store) streamPage(ctx context.Context, stream string, r Range, first bool, size *pageSize) ([]banyan.Event, error) {
	records, err := s.timed(func() ([]Record, error) { return s.backend.ReadStream(ctx, stream, r) })
	if err != nil {
		return nil, err
	}
	size.saw(records)
	step, want := banyan.Revision(1), max(r.From, 1)
	if r.Backward {
		step, want = -1, r.From
		if first && len(records) > 0 && (want == 0 || records[0].Revision < want) {
			want = records[0].Revision
		}
	}
	events := make([]banyan.Event, len(records))
	for i := range records {
		if records[i].Revision != want {
			return nil, fmt.Errorf("%w: revision %d follows where %d must; run banyan events verify", banyan.ErrCorrupt, records[i].Revision, want)
		}
		want += step
		if events[i], err = records[i].Event(); err != nil {
			return nil, err
		}
	}
	if started := len(records) > 0 || !first; r.Backward && started && len(records) < r.Limit && want != 0 {
		return nil, fmt.Errorf("%w: revision %d is missing; run banyan events verify", banyan.ErrCorrupt, want)
	}
	return events, nil
}

// timed runs one read of the back end between enter and Done, and the hook.
func (s *Store) timed(read func() ([]Record, error)) ([]Record, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	start := time.Now()
	records, err := read()
	s.opts.Hooks.Read(len(records), time.Since(start), err)
	return records, err
}

// Page is a piece of the log.
type Page struct {
	// Events that match the filter, in the order of the log. May be empty while
	// Next moves on: nothing matched in between.
	Events []banyan.Event
	// Next is the position to go on from. It equals the one asked from when the
	// log has nothing beyond it now.
	Next banyan.Position
}

// ReadPage reads one page of the log: at most limit events after a position that
// match the filter. Readers that keep a position of their own use it together
// with Wait; others use All or Follow.
func (s *Store) ReadPage(ctx context.Context, after banyan.Position, f Filter, limit int) (Page, error) {
	records, next, err := s.readRecords(ctx, after, f, limit)
	page := Page{Events: make([]banyan.Event, len(records)), Next: next}
	for i := 0; i < len(records) && err == nil; i++ {
		page.Events[i], err = records[i].Event()
	}
	if err != nil {
		return Page{}, fmt.Errorf("store: read log after %d: %w", after, err)
	}
	return page, nil
}

// readRecords reads one page and checks that positions go on as they must.
func (s *Store) readRecords(ctx context.Context, after banyan.Position, f Filter, limit int) ([]Record, banyan.Position, error) {
	if after < 0 || limit < 1 {
		return nil, 0, invalid("position %d, limit %d: a position from 0 and a limit from 1 are needed", after, limit)
	}
	var next banyan.Position
	records, err := s.timed(func() (records []Record, err error) {
		records, next, err = s.backend.ReadAll(ctx, after, f, limit)
		return records, err
	})
	if err != nil {
		return nil, 0, err
	}
	last, whole := after, s.promises.GapFree && f.IsZero()
	for i := range records {
		r := &records[i]
		if r.Position <= last || r.Position > next {
			return nil, 0, fmt.Errorf("%w: position %d follows %d; run banyan events verify", banyan.ErrCorrupt, r.Position, last)
		}
		if whole && r.Position != last+1 {
			return nil, 0, missing(last+1, r.Position-1)
		}
		last = r.Position
	}
	if whole && next != last {
		return nil, 0, missing(last+1, next)
	}
	return records, next, nil
}

func missing(from, to banyan.Position) error {
	return fmt.Errorf("%w: positions %d to %d are missing; run banyan events verify", banyan.ErrCorrupt, from, to)
}

// Wait returns nil once the log may have something beyond a position, at once
// when it has already. It returns ctx's error when that ends first.
func (s *Store) Wait(ctx context.Context, after banyan.Position) error {
	for {
		grown := s.appended.wait() // before looking, so that no append slips between
		head, err := s.Head(ctx)
		if err != nil || head > after {
			return err
		}
		if err := s.sleep(ctx, after, grown); err != nil {
			return fmt.Errorf("store: wait beyond %d: %w", after, err)
		}
	}
}

// sleep returns nil when it is time to look again.
func (s *Store) sleep(ctx context.Context, after banyan.Position, grown <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.Poll, errLook)
	defer cancel()
	if n, ok := s.backend.(Notifier); ok {
		stop := make(chan struct{})
		defer func() { cancel(); <-stop }()
		told := make(chan error, 1)
		go func() { defer close(stop); told <- n.WaitBeyond(ctx, after) }()
		select {
		case err := <-told:
			if err == nil || errors.Is(context.Cause(ctx), errLook) {
				return nil
			}
			return err
		case <-grown:
			return nil
		}
	}
	select {
	case <-grown:
		return nil
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errLook) {
			return nil
		}
		return ctx.Err()
	}
}

var errLook = errors.New("time to look again")

// Head returns the highest position that can be read now.
func (s *Store) Head(ctx context.Context) (banyan.Position, error) {
	if err := s.enter(); err != nil {
		return 0, fmt.Errorf("store: head: %w", err)
	}
	defer s.calls.Done()
	head, err := s.backend.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("store: head: %w", err)
	}
	return head, nil
}

// All yields the events after a position that match the filter, up to the end of
// the log as it is when it gets there.
func (s *Store) All(ctx context.Context, after banyan.Position, f Filter) iter.Seq2[banyan.Event, error] {
	return s.log(ctx, after, f, false)
}

// Follow yields the events after a position that match the filter: those there
// are, then those to come, without a gap between, until ctx ends or the loop is
// left. The end of ctx is not an error: the sequence just ends.
func (s *Store) Follow(ctx context.Context, after banyan.Position, f Filter) iter.Seq2[banyan.Event, error] {
	return func(yield func(banyan.Event, error) bool) {
		for e, err := range s.log(ctx, after, f, true) {
			if err != nil && ctx.Err() != nil {
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// log reads pages ahead of the consumer: the back end works on the next page
// while this goroutine checks and decodes the records of this one, each when its
// turn comes, and the loop's body works on them.
func (s *Store) log(ctx context.Context, after banyan.Position, f Filter, follow bool) iter.Seq2[banyan.Event, error] {
	return func(yield func(banyan.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan fetched)
		go s.fetch(ctx, after, f, follow, pages)
		defer func() {
			cancel()
			for range pages { // until fetch has ended
			}
		}()
		for p := range pages {
			if p.err != nil {
				yield(banyan.Event{}, fmt.Errorf("store: read log after %d: %w", p.after, p.err))
				return
			}
			for i := range p.records {
				e, err := p.records[i].Event()
				if err != nil {
					yield(banyan.Event{}, fmt.Errorf("store: read log after %d: %w", p.records[i].Position-1, err))
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

type fetched struct {
	records []Record
	after   banyan.Position
	err     error
}

// fetch sends pages until the end of the log, an error, or the end of ctx, and
// closes the channel.
func (s *Store) fetch(ctx context.Context, after banyan.Position, f Filter, follow bool, out chan<- fetched) {
	defer close(out)
	send := func(p fetched) bool {
		select {
		case out <- p:
			return p.err == nil
		case <-ctx.Done():
			return false
		}
	}
	size := pageSize{}
	for {
		records, next, err := s.readRecords(ctx, after, f, size.next())
		if err != nil {
			// Not through send: a caller whose ctx ended must still hear of it.
			out <- fetched{after: after, err: err}
			return
		}
		size.saw(records)
		if next > after {
			if after = next; len(records) > 0 && !send(fetched{records: records, after: after}) {
				return
			}
			continue
		}
		if !follow {
			return
		}
		if err := s.Wait(ctx, after); err != nil {
			out <- fetched{after: after, err: err}
			return
		}
	}
}

// pageSize chooses how many events to ask for, so that a page is about 2 MiB
// whatever the size of the events.
type pageSize struct{ events, bytes int }

const (
	firstPage = 256
	maxPage   = 4096
	pageBytes = 2 << 20
)

func (p *pageSize) next() int {
	if p.events == 0 {
		return firstPage
	}
	return min(max(pageBytes/(p.bytes/p.events+1), 1), maxPage)
}

// add takes a page into account; older pages count less and less.
func (p *pageSize) add(events, bytes int) {
	if events > 0 {
		p.events, p.bytes = p.events/2+events, p.bytes/2+bytes
	}
}

func (p *pageSize) saw(records []Record) {
	bytes := 0
	for i := range records {
		bytes += len(records[i].Data) + len(records[i].Meta)
	}
	p.add(len(records), bytes)
}

// Lookup returns the events with these ids, without those that do not exist, in
// no particular order.
func (s *Store) Lookup(ctx context.Context, ids ...string) ([]banyan.Event, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := s.timed(func() ([]Record, error) { return s.backend.Lookup(ctx, ids) })
	if err != nil {
		return nil, fmt.Errorf("store: look up %s: %w", ids[0], err)
	}
	events := make([]banyan.Event, len(records))
	for i := range records {
		if events[i], err = records[i].Event(); err != nil {
			return nil, fmt.Errorf("store: look up: %w", err)
		}
	}
	return events, nil
}

// PositionOf returns the position of an append, waiting until it has one. A
// token of no stored event is an error of kind banyan.ErrNotFound.
func (s *Store) PositionOf(ctx context.Context, t Token) (banyan.Position, error) {
	if t == "" {
		return 0, nil
	}
	for {
		events, err := s.Lookup(ctx, string(t))
		if err != nil {
			return 0, err
		}
		if len(events) == 0 {
			return 0, fmt.Errorf("store: position of %s: %w: no event has this id", t, banyan.ErrNotFound)
		}
		if p := events[0].Position; p > 0 {
			return p, nil
		}
		if _, err := s.Head(ctx); err != nil { // makes the back end give positions
			return 0, err
		}
		timer := time.NewTimer(min(s.opts.Poll, 5*time.Millisecond))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return 0, fmt.Errorf("store: position of %s: %w", t, ctx.Err())
		}
	}
}
