package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// backend is the store role of a DB.
type backend struct{ db *DB }

var (
	_ store.Backend     = (*backend)(nil)
	_ store.Snapshotter = (*backend)(nil)
	_ store.Checker     = (*backend)(nil)
)

// Promises implements store.Backend.
func (b *backend) Promises() store.Promises {
	return store.Promises{
		Backend:   "postgres",
		Durable:   b.db.durable,
		Shared:    true,
		GapFree:   true,
		Snapshots: true,
		Writers:   1,
	}
}

// Close implements store.Backend: the connections belong to the DB.
func (b *backend) Close() error { return nil }

// Append implements store.Backend.
//
// The rule that keeps revisions without gaps and batches in order: revision n+1
// is inserted only after n was seen committed, by a query that ended before, or
// by this process when it wrote or read n. The unique index on (stream,
// revision) decides between those who saw the same n.
func (b *backend) Append(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	if len(commits) == 1 {
		return b.single(ctx, commits)
	}
	outcomes := make([]store.Outcome, len(commits))
	free, places := make([]store.Commit, 0, len(commits)), make([]int, 0, len(commits))
	for i := range commits {
		if b.db.held.has(&commits[i]) {
			outcomes[i].Busy = true
			continue
		}
		free, places = append(free, commits[i]), append(places, i)
	}
	if len(free) == 0 {
		return outcomes, nil
	}
	done, err := b.persist(ctx, b.db.writers, free)
	if locked(err) {
		done, err = b.apart(ctx, free)
	}
	if err != nil {
		return nil, classify(err)
	}
	for i, place := range places {
		outcomes[place] = done[i]
	}
	return outcomes, nil
}

// single appends one commit and waits for whoever holds the end of its streams.
func (b *backend) single(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	held := b.db.held.has(&commits[0])
	if !held {
		outcomes, err := b.persist(ctx, b.db.writers, commits)
		if !locked(err) {
			return outcomes, classify(err)
		}
		b.db.held.mark(&commits[0])
	}
	outcomes, err := b.persist(ctx, b.db.waiters, commits)
	if err == nil {
		b.db.held.release(&commits[0])
	}
	return outcomes, classify(err)
}

// apart runs the commits of a group one by one after the group met a lock, to
// find the ones that are concerned. Each answer stands for itself here: an
// error must not hide that commits before it were stored.
func (b *backend) apart(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
	outcomes := make([]store.Outcome, len(commits))
	var broken error
	for i := range commits {
		switch {
		case broken != nil:
			outcomes[i].Err = fmt.Errorf("%w: an append before it failed: %w", banyan.ErrUnavailable, broken)
			continue
		case b.db.held.has(&commits[i]):
			outcomes[i].Busy = true
			continue
		}
		done, err := b.persist(ctx, b.db.writers, commits[i:i+1])
		switch {
		case err == nil:
			outcomes[i] = done[0]
		case locked(err):
			b.db.held.mark(&commits[i])
			outcomes[i].Busy = true
		default:
			if broken = classify(err); banyan.Kind(broken) == nil {
				broken = fmt.Errorf("%w: send the same events with the same ids again: %w", banyan.ErrUnknown, broken)
			}
			outcomes[i].Err, broken = broken, err
		}
	}
	return outcomes, nil
}

const (
	groupTries  = 4   // of a group, before its commits are tried one by one
	singleTries = 200 // of one commit: each failed one means that others got on
)

// persist repeats attempts that others were faster than.
func (b *backend) persist(ctx context.Context, p *pool, commits []store.Commit) ([]store.Outcome, error) {
	for try := 0; ; try++ {
		var outcomes []store.Outcome
		err := b.db.with(ctx, p, func(s session) error {
			var err error
			outcomes, err = b.attempt(ctx, s, commits, try > 0)
			return err
		})
		switch {
		case err == nil:
			return outcomes, nil
		case !taken(err) && !rerun(err):
			return nil, err
		case len(commits) > 1 && try >= groupTries:
			return b.apart(ctx, commits)
		case try >= singleTries:
			return nil, fmt.Errorf("%w: others were faster %d times: %w", banyan.ErrUnavailable, try+1, err)
		}
		if err := pause(ctx, try); err != nil {
			return nil, unwritten(err)
		}
	}
}

// attempt appends in one statement. At first it trusts what is known without a
// query; sure asks for everything.
func (b *backend) attempt(ctx context.Context, s session, commits []store.Commit, sure bool) ([]store.Outcome, error) {
	d, err := b.decide(ctx, s, commits, sure)
	if err != nil {
		return nil, classifyRead(err)
	}
	if len(d.Insert) == 0 {
		return d.Outcomes, nil
	}
	if err := s.insert(ctx, d.Insert); err != nil {
		return nil, err
	}
	b.db.heads.saw(d.Insert)
	return d.Outcomes, nil
}

func (b *backend) decide(ctx context.Context, s session, commits []store.Commit, sure bool) (store.Decision, error) {
	if !sure {
		heads, missing := b.assume(commits)
		if err := s.heads(ctx, missing, heads); err != nil {
			return store.Decision{}, err
		}
		if d := store.Decide(commits, heads, nil); len(d.Unclear) == 0 {
			return d, nil
		}
	}
	return decideSure(ctx, s, commits)
}

// assume returns the heads that need no query, and the streams that do. A
// stream that must not exist needs none: if it does, the index refuses revision
// 1. An entry that does not fit makes Decide refuse, and then all is looked up.
func (b *backend) assume(commits []store.Commit) (heads map[string]store.Head, missing []string) {
	heads = make(map[string]store.Head, len(commits))
	for i := range commits {
		for _, section := range commits[i].Sections {
			if _, ok := heads[section.Stream]; ok {
				continue
			}
			head, ok := b.db.heads.get(section.Stream)
			if !ok && section.Expect != store.NoStream {
				missing = append(missing, section.Stream)
			}
			heads[section.Stream] = head
		}
	}
	return heads, missing
}

// heads adds the ends of the streams to a map.
func (s session) heads(ctx context.Context, streams []string, into map[string]store.Head) error {
	if len(streams) == 0 {
		return nil
	}
	var e encoder
	e.texts(streams)
	return s.query(ctx, &s.sql.heads, e.params, func(v [][]byte) error {
		into[streams[getInt8(v[0])]] = store.Head{Revision: banyan.Revision(getInt8(v[1])), Closed: v[2][0] != 0}
		return nil
	})
}

// insert writes records and their ticket as one batch.
func (s session) insert(ctx context.Context, records []store.Record) error {
	var e encoder
	e.records(records)
	return s.query(ctx, &s.sql.insert, e.params, func([][]byte) error { return nil })
}

// pause waits a random time that grows with the tries.
func pause(ctx context.Context, try int) error {
	most := min(time.Millisecond<<min(try, 6), 50*time.Millisecond)
	timer := time.NewTimer(rand.N(most))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func unwritten(err error) error {
	return fmt.Errorf("nothing was written: %w: %w", banyan.ErrUnavailable, err)
}
