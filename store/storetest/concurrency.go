package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// concurrencyChecks are about many callers of the same store at once.
func concurrencyChecks() []check {
	return []check{
		{"HotStreamsHaveOneWinner", hotStreamsHaveOneWinner},
		{"CallersOfOneStore", callersOfOneStore},
		{"ReadersSeeEveryEventOnce", readersSeeEveryEventOnce},
		{"FollowerSeesEveryEventOnce", followerSeesEveryEventOnce},
		{"RepetitionsAtOnceStoreOnce", repetitionsAtOnceStoreOnce},
		{"StreamsInOppositeOrder", streamsInOppositeOrder},
		{"GroupsAtOnce", groupsAtOnce},
		{"ReadersSeeWholeAppends", readersSeeWholeAppends},
		{"CancelledAppendsAreWholeOrNothing", cancelledAppendsAreWholeOrNothing},
		{"SnapshotsAtOnce", ifSnapshots(snapshotsAtOnce)},
	}
}

// parallel runs f(0) … f(n-1) at once and fails when one fails.
func (k *kit) parallel(n int, f func(i int) error) {
	k.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		k.Fatal(err)
	}
}

// send appends one commit from any goroutine.
func (k *kit) send(c store.Commit) (store.Outcome, error) {
	outcomes, err := k.b.Append(k.ctx, []store.Commit{c})
	switch {
	case err != nil:
		return store.Outcome{}, fmt.Errorf("append: %w", err)
	case len(outcomes) != 1:
		return store.Outcome{}, fmt.Errorf("append answered %d of 1 commits", len(outcomes))
	case outcomes[0].Busy:
		return store.Outcome{}, errors.New("a commit that is alone is answered Busy")
	}
	return outcomes[0], nil
}

// prepare is commit for any goroutine.
func (k *kit) prepare(writes ...store.Write) store.Commit {
	c, err := k.st.Prepare(k.ctx, writes)
	if err != nil {
		panic(fmt.Sprintf("storetest prepares a commit that is not valid: %v", err))
	}
	return c
}

// ledger collects from many goroutines which events were accepted.
type ledger struct {
	mu       sync.Mutex
	accepted map[string]banyan.Revision // guarded by mu; by event id
	refused  map[string]bool            // guarded by mu; by event id
}

func newLedger() *ledger {
	return &ledger{accepted: map[string]banyan.Revision{}, refused: map[string]bool{}}
}

func (l *ledger) enter(c store.Commit, o store.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range o.Records {
		l.accepted[r.ID] = r.Revision
	}
	if o.Err != nil {
		for _, id := range store.IDs([]store.Commit{c}) {
			l.refused[id] = true
		}
	}
}

// agrees checks that streams and log have exactly what was accepted.
func (l *ledger) agrees(k *kit) {
	k.Helper()
	heads := map[string]banyan.Revision{}
	for _, r := range k.log(len(l.accepted)) {
		if heads[r.Stream]++; r.Revision != heads[r.Stream] {
			k.Fatalf("position %d is %s@%d; want revision %d", r.Position, r.Stream, r.Revision, heads[r.Stream])
		}
		want, ok := l.accepted[r.ID]
		if !ok || want != r.Revision {
			k.Fatalf("event %s is %s@%d; its writer was told revision %d (stored: %v, refused: %v)", r.ID, r.Stream, r.Revision, want, ok, l.refused[r.ID])
		}
	}
	for stream, n := range heads {
		k.revision(stream, int(n))
	}
}

// contend appends n events to the stream's head as the goroutine sees it.
func (k *kit) contend(l *ledger, stream string, n int) error {
	for range n {
		end, err := k.b.ReadStream(k.ctx, stream, store.Range{Backward: true, Limit: 1})
		if err != nil {
			return fmt.Errorf("ReadStream: %w", err)
		}
		var head banyan.Revision
		if len(end) == 1 {
			head = end[0].Revision
		}
		c := k.prepare(write(stream, store.Exact(head), event("happened", "1")))
		o, err := k.send(c)
		if err != nil {
			return err
		}
		if o.Err != nil && !errors.Is(o.Err, banyan.ErrConflict) {
			return fmt.Errorf("append that expects revision %d: %w", head, o.Err)
		}
		if o.Err == nil && o.Records[0].Revision != head+1 {
			return fmt.Errorf("append that expects revision %d got revision %d", head, o.Records[0].Revision)
		}
		l.enter(c, o)
	}
	return nil
}

func hotStreamsHaveOneWinner(k *kit) {
	l := newLedger()
	k.parallel(9, func(i int) error { return k.contend(l, fmt.Sprintf("hot-%d", i%3), 40) })
	l.agrees(k)
}

// callersOfOneStore is the way of a real service: many callers, group commit.
func callersOfOneStore(k *kit) {
	var mu sync.Mutex
	stored := 0
	k.parallel(16, func(i int) error {
		for n := range 20 {
			stream := fmt.Sprintf("a-%d", (i+n)%4)
			for {
				var head banyan.Revision
				for e, err := range k.st.Read(k.ctx, stream, store.ReadOptions{Backward: true, Limit: 1}) {
					if err != nil {
						return err
					}
					head = e.Revision
				}
				result, err := k.st.Append(k.ctx, stream, store.Exact(head), events(2, "happened")...)
				if errors.Is(err, banyan.ErrConflict) {
					continue
				}
				if err != nil || result.Revision() != head+2 {
					return fmt.Errorf("append at %d: revision %d, %w", head, result.Revision(), err)
				}
				break
			}
		}
		mu.Lock()
		defer mu.Unlock()
		stored += 40
		return nil
	})
	k.log(stored)
	for i := range 4 {
		k.revision(fmt.Sprintf("a-%d", i), stored/4)
	}
}

// busy appends while readers read; it returns how many events there will be,
// and starts the writers when start is closed.
func (k *kit) busy(start <-chan struct{}) (total int, wait func() error) {
	const writers, appends, size = 6, 40, 3
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			<-start
			for i := range appends {
				o, err := k.send(k.prepare(write(fmt.Sprintf("s-%d", (w+i)%4), store.Any, events(size, "happened")...), write(fmt.Sprintf("w-%d", w), store.Any, events(1, "wrote")...)))
				if err = errors.Join(err, o.Err); err != nil {
					errs[w] = err
					return
				}
			}
		})
	}
	return writers * appends * (size + 1), func() error { wg.Wait(); return errors.Join(errs...) }
}

func readersSeeEveryEventOnce(k *kit) {
	start := make(chan struct{})
	total, wait := k.busy(start)
	seen := make([][]store.Record, 5)
	var once sync.Once
	k.parallel(len(seen), func(i int) error {
		once.Do(func() { close(start) })
		var err error
		seen[i], err = k.tail(total, []int{1, 2, 7, 50, 1000}[i])
		return err
	})
	if err := wait(); err != nil {
		k.Fatal(err)
	}
	log := k.log(total)
	for i := range seen {
		k.same(fmt.Sprintf("reader %d", i), seen[i], log)
	}
}

// tail reads the log as it grows until it has seen total events.
func (k *kit) tail(total, limit int) ([]store.Record, error) {
	var seen []store.Record
	pause := time.NewTicker(200 * time.Microsecond) // leaves the processor to the writers
	defer pause.Stop()
	for after := banyan.Position(0); len(seen) < total; {
		records, next, err := k.b.ReadAll(k.ctx, after, store.Filter{}, limit)
		if err != nil {
			return nil, fmt.Errorf("after %d of %d events: ReadAll: %w", len(seen), total, err)
		}
		if k.ctx.Err() != nil {
			return nil, fmt.Errorf("a reader that is at position %d saw %d of %d events and then no more", after, len(seen), total)
		}
		if next == after {
			<-pause.C
		}
		seen, after = append(seen, records...), next
	}
	return seen, nil
}

func followerSeesEveryEventOnce(k *kit) {
	start := make(chan struct{})
	total, wait := k.busy(start)
	close(start)
	var ids []string
	for e, err := range k.st.Follow(k.ctx, 0, store.Filter{Prefixes: []string{"s-"}}) {
		if err != nil {
			k.Fatalf("Follow: %v", err)
		}
		if ids = append(ids, e.ID); len(ids) == total*3/4 {
			break
		}
	}
	if err := wait(); err != nil {
		k.Fatal(err)
	}
	want := filter(k.log(total), store.Filter{Prefixes: []string{"s-"}})
	if len(ids) != len(want) {
		k.Fatalf("the follower saw %d events; want %d", len(ids), len(want))
	}
	for i := range want {
		if ids[i] != want[i].ID {
			k.Fatalf("event %d of the follower is %s; want %s", i, ids[i], want[i].ID)
		}
	}
}

func repetitionsAtOnceStoreOnce(k *kit) {
	const rounds, callers = 20, 8
	for round := range rounds {
		c := k.commit(write(fmt.Sprintf("a-%d", round%3), store.Any, events(2, "x")...), write("b-1", store.Any, events(1, "x")...))
		outcomes := make([]store.Outcome, callers)
		k.parallel(callers, func(i int) (err error) {
			outcomes[i], err = k.send(c)
			return errors.Join(err, outcomes[i].Err)
		})
		fresh := 0
		for _, o := range outcomes {
			if !o.Duplicate {
				fresh++
			}
			k.same("every answer", o.Records, outcomes[0].Records)
		}
		if fresh != 1 {
			k.Fatalf("%d of %d callers were told that theirs was the first; want 1", fresh, callers)
		}
	}
	k.log(rounds * 3)
}

func streamsInOppositeOrder(k *kit) {
	k.parallel(8, func(i int) error {
		for range 25 {
			a, b := write("a-1", store.Any, events(1, "x")...), write("b-1", store.Any, events(1, "x")...)
			if i%2 == 0 {
				a, b = b, a
			}
			o, err := k.send(k.prepare(a, b))
			if err := errors.Join(err, o.Err); err != nil {
				return err
			}
		}
		return nil
	})
	k.revision("a-1", 200)
	k.revision("b-1", 200)
	k.log(400)
}

func groupsAtOnce(k *kit) {
	l := newLedger()
	k.parallel(6, func(i int) error {
		for round := range 8 {
			var group []store.Commit
			for j := range 10 {
				group = append(group, k.prepare(write(fmt.Sprintf("hot-%d", (i*7+j*3+round)%10), store.Any, events(2, "x")...)))
			}
			outcomes, err := k.b.Append(k.ctx, group)
			if err != nil || len(outcomes) != len(group) {
				return fmt.Errorf("append answered %d of %d: %w", len(outcomes), len(group), err)
			}
			for j, o := range outcomes {
				if o.Busy { // as Store does
					if o, err = k.send(group[j]); err != nil {
						return err
					}
				}
				if o.Err != nil {
					return fmt.Errorf("commit %d of a group: %w", j, o.Err)
				}
				l.enter(group[j], o)
			}
		}
		return nil
	})
	l.agrees(k)
	k.log(6 * 8 * 10 * 2)
}

func readersSeeWholeAppends(k *kit) {
	const appends, size = 60, 5
	k.parallel(4, func(i int) error {
		if i == 0 {
			for range appends {
				o, err := k.send(k.prepare(write("a-1", store.Any, events(size, "x")...), write("b-1", store.Any, events(size, "x")...)))
				if err := errors.Join(err, o.Err); err != nil {
					return err
				}
			}
			return nil
		}
		for n := 0; n < appends*size; {
			a, err := k.b.ReadStream(k.ctx, "a-1", store.Range{Limit: 1000})
			if err != nil {
				return fmt.Errorf("ReadStream: %w", err)
			}
			b, err := k.b.ReadStream(k.ctx, "b-1", store.Range{Limit: 1000})
			if err != nil {
				return fmt.Errorf("ReadStream: %w", err)
			}
			if n = len(a); n%size != 0 || len(b)%size != 0 || len(b) < n {
				return fmt.Errorf("read %d events of a-1 and then %d of b-1, which are appended together by %d each", n, len(b), size)
			}
		}
		return nil
	})
}

func cancelledAppendsAreWholeOrNothing(k *kit) {
	var mu sync.Mutex
	total := 0
	k.parallel(6, func(i int) error {
		for n := range 25 {
			c := k.prepare(write(fmt.Sprintf("a-%d", i%3), store.Any, events(3, "x")...), write("b-1", store.Any, events(1, "x")...))
			ctx, cancel := context.WithTimeout(k.ctx, time.Duration(n*n)*4*time.Microsecond)
			outcomes, err := k.b.Append(ctx, []store.Commit{c})
			cancel()
			found, lookErr := k.b.Lookup(k.ctx, store.IDs([]store.Commit{c}))
			switch {
			case lookErr != nil:
				return fmt.Errorf("lookup: %w", lookErr)
			case len(found) != 0 && len(found) != 4:
				return fmt.Errorf("%d of 4 events of one append are stored (it said: %w)", len(found), err)
			case err == nil && outcomes[0].Err == nil && len(found) == 0:
				return errors.New("an append was acknowledged, but nothing is stored")
			case errors.Is(err, banyan.ErrUnavailable) && len(found) > 0:
				return fmt.Errorf("the error says that nothing was written, but it is stored: %w", err)
			}
			o, err := k.send(c)
			if err := errors.Join(err, o.Err); err != nil {
				return fmt.Errorf("sent again: %w", err)
			}
			mu.Lock()
			total += 4
			mu.Unlock()
		}
		return nil
	})
	k.log(total)
}

func snapshotsAtOnce(k *kit, b store.Snapshotter) {
	const n = 40
	k.parallel(8, func(i int) error {
		for j := range n {
			rev := banyan.Revision((j*7+i*11)%n + 1)
			if err := b.PutSnapshot(k.ctx, snapshot("a-1", rev, 1, fmt.Sprint(rev))); err != nil {
				return fmt.Errorf("PutSnapshot: %w", err)
			}
		}
		return nil
	})
	k.hasSnapshot(b, snapshot("a-1", n, 1, fmt.Sprint(n)))
}
