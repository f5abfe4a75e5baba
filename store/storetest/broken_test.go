package storetest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
	"github.com/banyanhq/banyan/store/storetest"
)

// right opens back ends that do what they must; reopening one keeps its data,
// as if memory were a disk.
var right = storetest.Harness{
	Open:   func(t testing.TB) store.Backend { return fromMem(t) },
	Reopen: func(_ testing.TB, b store.Backend) store.Backend { return b },
	Share:  func(_ testing.TB, b store.Backend) store.Backend { return b },
}

func fromMem(t testing.TB) *broken {
	db := mem.Open()
	t.Cleanup(func() { _ = db.Close() })
	b := db.Backend()
	return &broken{Backend: b, Snapshotter: b.(store.Snapshotter)}
}

// broken is a back end with some methods replaced. The others are right.
type broken struct {
	store.Backend
	store.Snapshotter
	append     func(context.Context, []store.Commit) ([]store.Outcome, error)
	readStream func(context.Context, string, store.Range) ([]store.Record, error)
	readAll    func(context.Context, banyan.Position, store.Filter, int) ([]store.Record, banyan.Position, error)
	lookup     func(context.Context, []string) ([]store.Record, error)
	head       func(context.Context) (banyan.Position, error)
	put        func(context.Context, store.SnapshotRecord) error
	get        func(context.Context, string) (store.SnapshotRecord, error)
	promises   func(store.Promises) store.Promises
	waitBeyond func(context.Context, banyan.Position) error
	check      func() []string
}

func (b *broken) Append(ctx context.Context, c []store.Commit) ([]store.Outcome, error) {
	if b.append != nil {
		return b.append(ctx, c)
	}
	return b.Backend.Append(ctx, c)
}

func (b *broken) ReadStream(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
	if b.readStream != nil {
		return b.readStream(ctx, s, r)
	}
	return b.Backend.ReadStream(ctx, s, r)
}

func (b *broken) ReadAll(ctx context.Context, p banyan.Position, f store.Filter, n int) ([]store.Record, banyan.Position, error) {
	if b.readAll != nil {
		return b.readAll(ctx, p, f, n)
	}
	return b.Backend.ReadAll(ctx, p, f, n)
}

func (b *broken) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	if b.lookup != nil {
		return b.lookup(ctx, ids)
	}
	return b.Backend.Lookup(ctx, ids)
}

func (b *broken) Head(ctx context.Context) (banyan.Position, error) {
	if b.head != nil {
		return b.head(ctx)
	}
	return b.Backend.Head(ctx)
}

func (b *broken) PutSnapshot(ctx context.Context, s store.SnapshotRecord) error {
	if b.put != nil {
		return b.put(ctx, s)
	}
	return b.Snapshotter.PutSnapshot(ctx, s)
}

func (b *broken) GetSnapshot(ctx context.Context, s string) (store.SnapshotRecord, error) {
	if b.get != nil {
		return b.get(ctx, s)
	}
	return b.Snapshotter.GetSnapshot(ctx, s)
}

func (b *broken) WaitBeyond(ctx context.Context, after banyan.Position) error {
	if b.waitBeyond != nil {
		return b.waitBeyond(ctx, after)
	}
	for tick := time.NewTicker(time.Millisecond); ; {
		if head, err := b.Head(ctx); err != nil || head > after {
			tick.Stop()
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

func (b *broken) Check(context.Context) ([]string, error) {
	if b.check != nil {
		return b.check(), nil
	}
	return nil, nil
}

func (b *broken) Promises() store.Promises {
	p := b.Backend.Promises()
	p.Durable, p.Shared = true, true // for right, and what it reopens
	if b.promises != nil {
		p = b.promises(p)
	}
	return p
}

// each changes a copy of every record of a commit.
func each(commits []store.Commit, change func(*store.Record)) []store.Commit {
	out := slices.Clone(commits)
	for i := range out {
		out[i].Sections = slices.Clone(out[i].Sections)
		for j := range out[i].Sections {
			s := &out[i].Sections[j]
			s.Records = slices.Clone(s.Records)
			for k := range s.Records {
				change(&s.Records[k])
			}
		}
	}
	return out
}

// appendEach sends every commit alone, as change makes it.
func (b *broken) appendEach(ctx context.Context, commits []store.Commit, change func(store.Commit) []store.Commit) ([]store.Outcome, error) {
	out := make([]store.Outcome, len(commits))
	for i, c := range commits {
		for _, part := range change(c) {
			answers, err := b.Backend.Append(ctx, []store.Commit{part})
			if err != nil {
				return nil, err
			}
			runtime.Gosched()
			out[i].Duplicate = answers[0].Duplicate
			out[i].Records = append(out[i].Records, answers[0].Records...)
			out[i].Err = errors.Join(out[i].Err, answers[0].Err)
		}
		if out[i].Err != nil {
			out[i].Records = nil
		}
	}
	return out, nil
}

func TestRightBackEndPasses(t *testing.T) {
	t.Parallel()
	for _, name := range storetest.CheckNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if failure := storetest.RunCheck(t, right, name, time.Minute); failure != "" {
				t.Fatal(failure)
			}
		})
	}
}

// mutant is a way to be wrong, and the checks that must notice.
type mutant struct {
	name    string
	caught  []string
	spoil   func(b *broken)
	reopen  func(b *broken) // what opening again breaks
	harness func(h *storetest.Harness)
}

func TestBrokenBackEndsFail(t *testing.T) {
	t.Parallel()
	for _, m := range allMutants() {
		for _, name := range m.caught {
			t.Run(m.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				h := m.build()
				for range 20 { // a race does not show every time
					if storetest.RunCheck(t, h, name, 2*time.Second) != "" {
						return
					}
				}
				t.Fatalf("%s does not notice a back end that is wrong: %s", name, m.name)
			})
		}
	}
}

// TestEveryCheckIsProven keeps checks that can never fail out of the suite.
func TestEveryCheckIsProven(t *testing.T) {
	t.Parallel()
	proven := map[string]bool{}
	for _, m := range allMutants() {
		for _, name := range m.caught {
			proven[name] = true
		}
	}
	for _, name := range storetest.CheckNames() {
		if !proven[name] {
			t.Errorf("no broken back end shows that %s can fail", name)
		}
	}
}

func allMutants() []mutant {
	return slices.Concat(appendMutants(), limitMutants(), readMutants(), keepMutants(), promiseMutants())
}

func (m mutant) build() storetest.Harness {
	h := right
	h.Open = func(t testing.TB) store.Backend {
		b := fromMem(t)
		if m.spoil != nil {
			m.spoil(b)
		}
		return b
	}
	if m.reopen != nil {
		h.Reopen = func(_ testing.TB, b store.Backend) store.Backend {
			m.reopen(b.(*broken))
			return b
		}
	}
	if m.harness != nil {
		m.harness(&h)
	}
	return h
}

func TestDifferentialFindsBrokenBackEnds(t *testing.T) {
	t.Parallel()
	reference := func(t testing.TB) store.Backend { return fromMem(t) }
	if failure := storetest.RunDifferential(t, storetest.Comparison{Open: right.Open, Reference: reference, Steps: 200}, 1, time.Minute); failure != "" {
		t.Fatalf("a right back end: %s", failure)
	}
	found := 0
	all := slices.Concat(appendMutants(), readMutants())
	for _, m := range all {
		for seed := range uint64(10) {
			c := storetest.Comparison{Open: m.build().Open, Reference: reference, Steps: 100}
			if storetest.RunDifferential(t, c, seed, 2*time.Second) != "" {
				found++
				break
			}
		}
	}
	if found < len(all)/2 {
		t.Fatalf("random sequences found %d of %d broken back ends; want at least half", found, len(all))
	}
	t.Logf("random sequences found %d of %d broken back ends", found, len(all))
}

func appendMutants() []mutant {
	return []mutant{
		{
			name:   "it checks no expectation",
			caught: []string{"Contract/ExpectNoStream", "Contract/ExpectExact", "Contract/ExpectExists", "Contract/OneRefusedStreamRefusesAll", "Contract/GroupRaceHasOneWinner", "Concurrency/HotStreamsHaveOneWinner", "Promises/GapFree"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					commits = each(commits, func(*store.Record) {})
					for i := range commits {
						for j := range commits[i].Sections {
							commits[i].Sections[j].Expect = store.Any
						}
					}
					return b.Backend.Append(ctx, commits)
				}
			},
		},
		{
			name:   "it checks the expectation before it writes, and not in one step",
			caught: []string{"Concurrency/HotStreamsHaveOneWinner", "Concurrency/CallersOfOneStore"},
			spoil: func(b *broken) {
				b.promises = func(p store.Promises) store.Promises { p.Writers = 8; return p }
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.appendEach(ctx, commits, func(c store.Commit) []store.Commit {
						s := slices.Clone(c.Sections)
						end, _ := b.Backend.ReadStream(ctx, s[0].Stream, store.Range{Backward: true, Limit: 1})
						if s[0].Expect >= 0 && (len(end) == 0) == (s[0].Expect == 0) && (len(end) == 0 || int64(end[0].Revision) == int64(s[0].Expect)) {
							s[0].Expect = store.Any
						}
						for range 50 {
							runtime.Gosched()
						}
						return []store.Commit{{Sections: s}}
					})
				}
			},
		},
		{
			name:   "its answer is a revision too high",
			caught: []string{"Contract/RevisionsAscend", "Contract/AnswerIsWhatIsStored", "Concurrency/GroupsAtOnce"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						for j := range out[i].Records {
							out[i].Records[j].Revision++
						}
					}
					return out, err
				}
			},
		},
		{
			name:   "a refused append leaves its first event",
			caught: []string{"Contract/RefusedLeavesNothing", "Contract/OneRefusedStreamRefusesAll", "Concurrency/HotStreamsHaveOneWinner"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						if errors.Is(out[i].Err, banyan.ErrConflict) {
							s := commits[i].Sections[0]
							s.Records, s.Expect = s.Records[:1], store.Any
							_, _ = b.Backend.Append(ctx, []store.Commit{{Sections: []store.Section{s}}})
						}
					}
					return out, err
				}
			},
		},
		{
			name:   "an append to several streams is several appends",
			caught: []string{"Contract/OneRefusedStreamRefusesAll", "Contract/GroupConflictTouchesNoNeighbour", "Contract/TombstoneClosesForEver", "Concurrency/ReadersSeeWholeAppends"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.appendEach(ctx, commits, func(c store.Commit) (parts []store.Commit) {
						for _, s := range c.Sections {
							parts = append(parts, store.Commit{Sections: []store.Section{s}})
						}
						return parts
					})
				}
			},
		},
		{
			name:   "readers see an append while it is being written",
			caught: []string{"Concurrency/ReadersSeeWholeAppends"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.appendEach(ctx, commits, func(c store.Commit) (parts []store.Commit) {
						for _, s := range c.Sections {
							for i := range s.Records {
								parts = append(parts, store.Commit{Sections: []store.Section{{Stream: s.Stream, Expect: store.Any, Records: s.Records[i : i+1]}}})
							}
						}
						return parts
					})
				}
			},
		},
		{
			name:   "a conflict refuses those behind it in the group",
			caught: []string{"Contract/GroupConflictTouchesNoNeighbour", "Contract/GroupRaceHasOneWinner", "Contract/RepeatWithinAGroup"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out := make([]store.Outcome, len(commits))
					var refused error
					for i, c := range commits {
						if out[i].Err = refused; refused == nil {
							one, err := b.Backend.Append(ctx, []store.Commit{c})
							if err != nil {
								return nil, err
							}
							out[i], refused = one[0], one[0].Err
						}
					}
					return out, nil
				}
			},
		},
		{
			name:   "a group is decided on the heads before it",
			caught: []string{"Contract/GroupSeesItsOwnCommits"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					seen := map[string]bool{}
					commits = each(commits, func(*store.Record) {})
					for i := range commits {
						for j := range commits[i].Sections {
							s := &commits[i].Sections[j]
							if seen[s.Stream] && s.Expect > 0 {
								s.Expect--
							}
							seen[s.Stream] = true
						}
					}
					return b.Backend.Append(ctx, commits)
				}
			},
		},
		{
			name:   "outcomes are in the wrong order",
			caught: []string{"Contract/GroupIsAnsweredInOrder"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					slices.Reverse(out)
					return out, err
				}
			},
		},
		{
			name:   "a tombstone is an event like any other",
			caught: []string{"Contract/TombstoneClosesForEver", "Contract/TombstoneWithinAGroup", "Recovery/TombstonesStillClose"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.Backend.Append(ctx, each(commits, func(r *store.Record) {
						if r.Type == banyan.Tombstone {
							r.Type = "end"
						}
					}))
				}
			},
		},
		{
			name:   "a repetition is not said to be one",
			caught: []string{"Contract/RepeatReturnsTheFirstResult", "Concurrency/RepetitionsAtOnceStoreOnce"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						out[i].Duplicate = false
					}
					return out, err
				}
			},
		},
		{
			name:   "a repetition that conflicts is a conflict",
			caught: []string{"Contract/RepeatThatConflicts"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						s := commits[i].Sections[0]
						if out[i].Duplicate && s.Expect >= 0 && out[i].Records[0].Revision != banyan.Revision(s.Expect)+1 || out[i].Duplicate && s.Expect == store.NoStream {
							out[i] = store.Outcome{Err: &store.ConflictError{Stream: s.Stream, Want: s.Expect}}
						}
					}
					return out, err
				}
			},
		},
		{
			name:   "ids are known for the last 1,000 events only",
			caught: []string{"Contract/RepeatMuchLater"},
			spoil: func(b *broken) {
				var age sync.Map
				var count atomic.Int64
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.Backend.Append(ctx, each(commits, func(r *store.Record) {
						n := count.Add(1)
						if first, known := age.LoadOrStore(r.ID, n); known && n-first.(int64) > 1000 {
							r.ID += "'"
						}
					}))
				}
			},
		},
		{
			name:   "some ids that are stored pass for a repetition",
			caught: []string{"Contract/SomeIDsStoredIsExists"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						if errors.Is(out[i].Err, banyan.ErrExists) {
							found, _ := b.Backend.Lookup(ctx, store.IDs(commits[i:i+1]))
							out[i] = store.Outcome{Records: found, Duplicate: true}
						}
					}
					return out, err
				}
			},
		},
		{
			name:   "an id is a repetition whatever the event says",
			caught: []string{"Contract/IDOfAnotherEventIsExists"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					found, _ := b.Backend.Lookup(ctx, store.IDs(commits))
					return b.Backend.Append(ctx, each(commits, func(r *store.Record) {
						for _, f := range found {
							if f.ID == r.ID {
								r.Data, r.Type, r.Stream = f.Data, f.Type, f.Stream
							}
						}
					}))
				}
			},
		},
		{
			name:   "an ended context is said to have written nothing, but it did",
			caught: []string{"Contract/EndedContextIsWholeOrNothing", "Concurrency/CancelledAppendsAreWholeOrNothing"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(context.WithoutCancel(ctx), commits)
					if ctx.Err() != nil {
						return nil, fmt.Errorf("%w: %w", banyan.ErrUnavailable, ctx.Err())
					}
					return out, err
				}
			},
		},
	}
}

// refuseIf answers a group with an error when too says so.
func refuseIf(too func([]store.Commit) bool) func(*broken) {
	return func(b *broken) {
		b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
			if too(commits) {
				return nil, fmt.Errorf("%w: too many parameters", banyan.ErrInvalid)
			}
			return b.Backend.Append(ctx, commits)
		}
	}
}

func limitMutants() []mutant {
	return []mutant{
		{name: "a group has at most 500 appends", caught: []string{"Contract/GroupOfAThousand"}, spoil: refuseIf(func(c []store.Commit) bool { return len(c) > 500 })},
		{name: "a group has at most 5,000 events", caught: []string{"Contract/AppendOfTenThousand"}, spoil: refuseIf(func(c []store.Commit) bool { return len(store.IDs(c)) > 5000 })},
		{
			name: "any revision means an existing stream", caught: []string{"Contract/ExpectAny", "Contract/StreamsAreAtomic"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					commits = each(commits, func(*store.Record) {})
					for i := range commits {
						for j := range commits[i].Sections {
							if s := &commits[i].Sections[j]; s.Expect == store.Any {
								s.Expect = store.Exists
							}
						}
					}
					return b.Backend.Append(ctx, commits)
				}
			},
		},
		{
			name: "the second stream of an append is lost", caught: []string{"Contract/StreamsAreAtomic", "Contract/RepeatOfSeveralStreams", "Contract/AnswerIsWhatIsStored"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					return b.appendEach(ctx, commits, func(c store.Commit) []store.Commit {
						return []store.Commit{{Sections: c.Sections[:1]}}
					})
				}
			},
		},
		{
			name: "a closed stream forgets what was sent before", caught: []string{"Contract/RepeatAfterTombstone"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						end, _ := b.Backend.ReadStream(ctx, commits[i].Sections[0].Stream, store.Range{Backward: true, Limit: 1})
						if out[i].Duplicate && end[0].Type == banyan.Tombstone {
							out[i] = store.Outcome{Err: banyan.ErrGone}
						}
					}
					return out, err
				}
			},
		},
		{
			name: "it locks streams in the order given", caught: []string{"Concurrency/StreamsInOppositeOrder"},
			spoil: func(b *broken) {
				var locks sync.Map
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					for _, s := range store.Streams(commits) {
						lock, _ := locks.LoadOrStore(s, make(chan struct{}, 1))
						select {
						case lock.(chan struct{}) <- struct{}{}:
							defer func() { <-lock.(chan struct{}) }()
						case <-ctx.Done():
							return nil, fmt.Errorf("deadlock: %w", ctx.Err())
						}
						runtime.Gosched()
					}
					return b.Backend.Append(ctx, commits)
				}
			},
		},
	}
}

func readMutants() []mutant {
	return []mutant{
		{
			name:   "the log is reordered within a page",
			caught: []string{"Contract/LogOrderAgreesWithStreams", "Contract/LogIsTheSameForAll", "Contract/LogEveryPageSize", "Promises/VerifyFindsNoFault"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after, f, limit)
					for i := 1; i < len(records); i += 2 {
						records[i-1], records[i] = records[i], records[i-1]
						records[i-1].Position, records[i].Position = records[i].Position, records[i-1].Position
					}
					return records, next, err
				}
			},
		},
		{
			name:   "a page begins with the last event of the page before",
			caught: []string{"Contract/LogEveryPageSize", "Contract/LogAfterEveryPosition", "Contract/LogNextStaysAtTheEnd"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					return b.Backend.ReadAll(ctx, max(after-1, 0), f, limit)
				}
			},
		},
		{
			name:   "an event is skipped while another is being appended",
			caught: []string{"Concurrency/ReadersSeeEveryEventOnce", "Concurrency/FollowerSeesEveryEventOnce"},
			spoil: func(b *broken) {
				var underWay atomic.Int64
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					underWay.Add(1)
					defer underWay.Add(-1)
					defer func() {
						for range 20 {
							runtime.Gosched()
						}
					}()
					return b.Backend.Append(ctx, commits)
				}
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after, f, limit)
					if n := len(records); n > 1 && underWay.Load() > 0 {
						records = slices.Delete(records, n-2, n-1)
					}
					return records, next, err
				}
			},
		},
		{
			name:   "the filter ignores prefixes",
			caught: []string{"Contract/LogFilterByPrefix", "Contract/LogFilterByBoth", "Contract/LogEveryPageSize"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					return b.Backend.ReadAll(ctx, after, store.Filter{Types: f.Types}, limit)
				}
			},
		},
		{
			name:   "the filter knows the first type only",
			caught: []string{"Contract/LogFilterByType", "Contract/LogFilterByBoth"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					f.Types = f.Types[:min(1, len(f.Types))]
					return b.Backend.ReadAll(ctx, after, f, limit)
				}
			},
		},
		{
			name:   "% and _ in a prefix stand for anything",
			caught: []string{"Contract/LogPrefixesAreExact"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					f.Prefixes = slices.Clone(f.Prefixes)
					for i, p := range f.Prefixes {
						if at := strings.IndexAny(p, "%_"); at >= 0 {
							f.Prefixes[i] = p[:at]
						}
					}
					return b.Backend.ReadAll(ctx, after, f, limit)
				}
			},
		},
		{
			name:   "next stays where it is when nothing matches",
			caught: []string{"Contract/LogNextMovesPastWhatDoesNotMatch"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after, f, limit)
					if len(records) == 0 {
						next = after
					}
					return records, next, err
				}
			},
		},
		{
			name:   "next moves on behind the end",
			caught: []string{"Contract/LogOfNothing", "Contract/LogNextStaysAtTheEnd"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after, f, limit)
					if next == after && ctx.Err() == nil {
						next++
					}
					return records, next, err
				}
			},
		},
		{
			name:   "backwards from behind the end is nothing",
			caught: []string{"Contract/ReadStreamBackwards", "Contract/ReadStreamEveryRange"},
			spoil: func(b *broken) {
				b.readStream = func(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
					records, err := b.Backend.ReadStream(ctx, s, r)
					if r.Backward && r.From > 0 && len(records) > 0 && records[0].Revision < r.From {
						records = nil
					}
					return records, err
				}
			},
		},
		{
			name:   "backwards leaves out where it starts",
			caught: []string{"Contract/ReadStreamBackwards", "Contract/ReadStreamEveryRange"},
			spoil: func(b *broken) {
				b.readStream = func(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
					if r.Backward && r.From > 1 {
						r.From--
					}
					return b.Backend.ReadStream(ctx, s, r)
				}
			},
		},
		{
			name:   "the limit is one too many",
			caught: []string{"Contract/ReadStreamForwards", "Contract/ReadStreamEveryRange"},
			spoil: func(b *broken) {
				b.readStream = func(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
					r.Limit++
					return b.Backend.ReadStream(ctx, s, r)
				}
			},
		},
		{
			name:   "a stream without events is an error",
			caught: []string{"Contract/ReadStreamOfNothing"},
			spoil: func(b *broken) {
				b.readStream = func(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
					records, err := b.Backend.ReadStream(ctx, s, r)
					if err == nil && len(records) == 0 {
						err = banyan.ErrNotFound
					}
					return records, err
				}
			},
		},
		{
			name:   "Lookup takes 100 ids",
			caught: []string{"Contract/LookupOfManyIDs"},
			spoil: func(b *broken) {
				b.lookup = func(ctx context.Context, ids []string) ([]store.Record, error) {
					return b.Backend.Lookup(ctx, ids[:min(len(ids), 100)])
				}
			},
		},
		{
			name:   "Lookup never has a position",
			caught: []string{"Contract/LookupGetsItsPosition", "Contract/LogIsTheSameForAll"},
			spoil: func(b *broken) {
				b.lookup = func(ctx context.Context, ids []string) ([]store.Record, error) {
					records, err := b.Backend.Lookup(ctx, ids)
					for i := range records {
						records[i].Position = 0
					}
					return records, err
				}
			},
		},
		{
			name:   "Lookup invents what it does not find",
			caught: []string{"Contract/LookupByID"},
			spoil: func(b *broken) {
				b.lookup = func(ctx context.Context, ids []string) ([]store.Record, error) {
					records, err := b.Backend.Lookup(ctx, ids)
					return append(records, store.Record{ID: "invented"}), err
				}
			},
		},
		{
			name:   "the head is one too low",
			caught: []string{"Contract/HeadIsTheLastPosition"},
			spoil: func(b *broken) {
				b.head = func(ctx context.Context) (banyan.Position, error) {
					head, err := b.Backend.Head(ctx)
					return max(head-1, 0), err
				}
			},
		},
	}
}

// keep changes what is stored.
func keep(change func(*store.Record)) func(*broken) {
	return func(b *broken) {
		b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
			return b.Backend.Append(ctx, each(commits, change))
		}
	}
}

func keepMutants() []mutant {
	const ms = 1000
	return []mutant{
		{name: "trailing zero bytes are lost", caught: []string{"Contract/DataIsKeptByteForByte"}, spoil: keep(func(r *store.Record) { r.Data = bytes.TrimRight(r.Data, "\x00") })},
		{name: "data is text", caught: []string{"Contract/DataIsKeptByteForByte", "Contract/LargeData"}, spoil: keep(func(r *store.Record) { r.Data = bytes.ToValidUTF8(r.Data, []byte("?")) })},
		{name: "data ends at 1 MiB", caught: []string{"Contract/LargeData"}, spoil: keep(func(r *store.Record) { r.Data = r.Data[:min(len(r.Data), 1<<20)] })},
		{name: "names end at 255 bytes", caught: []string{"Contract/LongestNames"}, spoil: keep(func(r *store.Record) { r.Source = r.Source[:min(len(r.Source), 255)] })},
		{name: "text is ASCII", caught: []string{"Contract/TextIsKept", "Contract/LongestNames"}, spoil: keep(func(r *store.Record) { r.Source = strings.ToValidUTF8(r.Source[:min(1, len(r.Source))], "") })},
		{name: "metadata is lost", caught: []string{"Contract/MetadataIsKept", "Contract/UnusualRecords"}, spoil: keep(func(r *store.Record) { r.Meta = nil })},
		{name: "times are milliseconds", caught: []string{"Contract/TimesAreKept"}, spoil: keep(func(r *store.Record) { r.Time -= r.Time % ms })},
		{name: "times before 1970 are lost", caught: []string{"Contract/TimesAreKept", "Contract/UnusualRecords"}, spoil: keep(func(r *store.Record) { r.Time = max(r.Time, 0) })},
		{name: "the schema version is 16 bits", caught: []string{"Contract/SchemaIsKept", "Contract/UnusualRecords"}, spoil: keep(func(r *store.Record) { r.Schema = int32(int16(r.Schema)) })},
		{name: "ids are in lower case", caught: []string{"Contract/IDsAreExact"}, spoil: keep(func(r *store.Record) { r.ID = strings.ToLower(r.ID) })},
		{
			name: "streams are in lower case", caught: []string{"Contract/StreamNamesAreExact"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					commits = each(commits, func(r *store.Record) { r.Stream = strings.ToLower(r.Stream) })
					for i := range commits {
						for j := range commits[i].Sections {
							commits[i].Sections[j].Stream = strings.ToLower(commits[i].Sections[j].Stream)
						}
					}
					return b.Backend.Append(ctx, commits)
				}
			},
		},
		{
			name: "it keeps the caller's slices", caught: []string{"Contract/KeepsNoSlice"},
			spoil: func(b *broken) {
				var given sync.Map
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					each(commits, func(r *store.Record) { given.Store(r.ID, r.Data) })
					return b.Backend.Append(ctx, commits)
				}
				b.readStream = func(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
					records, err := b.Backend.ReadStream(ctx, s, r)
					for i := range records {
						if data, ok := given.Load(records[i].ID); ok {
							records[i].Data = data.([]byte)
						}
					}
					return records, err
				}
			},
		},
		{name: "the last snapshot wins, not the newest", caught: []string{"Contract/SnapshotNewestWins", "Concurrency/SnapshotsAtOnce"}, spoil: snapshots(func(_, _ store.SnapshotRecord) bool { return true })},
		{
			name: "it keeps the caller's slice of a snapshot", caught: []string{"Contract/SnapshotKeepsNoSlice"},
			spoil: snapshots(func(have, s store.SnapshotRecord) bool { return s.Schema != have.Schema || s.Revision > have.Revision }),
		},
		{
			name: "a snapshot ends at its first zero byte", caught: []string{"Contract/SnapshotIsKept"},
			spoil: func(b *broken) {
				b.put = func(ctx context.Context, s store.SnapshotRecord) error {
					s.Data, _, _ = bytes.Cut(s.Data, []byte{0})
					return b.Snapshotter.PutSnapshot(ctx, s)
				}
			},
		},
		{name: "a snapshot of another schema does not replace", caught: []string{"Contract/SnapshotOfAnotherSchemaReplaces"}, spoil: snapshots(func(have, s store.SnapshotRecord) bool { return s.Revision > have.Revision })},
		{
			name: "there is one snapshot for all streams", caught: []string{"Contract/SnapshotsAreByStream"},
			spoil: func(b *broken) {
				b.get = func(ctx context.Context, _ string) (store.SnapshotRecord, error) {
					return b.Snapshotter.GetSnapshot(ctx, "a-1")
				}
			},
		},
		{
			name: "no snapshot is an empty one", caught: []string{"Contract/SnapshotOfNothing"},
			spoil: func(b *broken) {
				b.get = func(ctx context.Context, s string) (store.SnapshotRecord, error) {
					r, _ := b.Snapshotter.GetSnapshot(ctx, s)
					return r, nil
				}
			},
		},
		{
			name: "ids are forgotten when it is opened again", caught: []string{"Recovery/IDsAreStillKnown"},
			reopen: func(b *broken) {
				old := map[string]bool{}
				records, _, _ := b.Backend.ReadAll(context.Background(), 0, store.Filter{}, 1000)
				for _, r := range records {
					old[r.ID] = true
				}
				keep(func(r *store.Record) {
					if old[r.ID] {
						r.ID += "'"
					}
				})(b)
			},
		},
		{
			name: "the last event is lost when it is opened again", caught: []string{"Recovery/EverythingIsThere", "Recovery/PositionsGoOn"},
			reopen: func(b *broken) {
				head, _ := b.Backend.Head(context.Background())
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after, f, limit)
					return slices.DeleteFunc(records, func(r store.Record) bool { return r.Position == head }), next, err
				}
			},
		},
		{
			name: "opening again starts anew", caught: []string{"Recovery/TombstonesStillClose", "Recovery/EverythingIsThere", "Recovery/EmptyStoreReopens"},
			reopen: func(b *broken) { b.Backend = mem.Open().Backend() },
		},
	}
}

// snapshots keeps snapshots by a rule of its own.
func snapshots(replaces func(have, s store.SnapshotRecord) bool) func(*broken) {
	return func(b *broken) {
		var mu sync.Mutex
		kept := map[string]store.SnapshotRecord{}
		b.put = func(_ context.Context, s store.SnapshotRecord) error {
			mu.Lock()
			defer mu.Unlock()
			if have, ok := kept[s.Stream]; !ok || replaces(have, s) {
				kept[s.Stream] = s
			}
			return nil
		}
		b.get = func(_ context.Context, stream string) (store.SnapshotRecord, error) {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(kept)[stream], nil
		}
	}
}

func promise(change func(*store.Promises)) func(*broken) {
	return func(b *broken) {
		b.promises = func(p store.Promises) store.Promises { change(&p); return p }
	}
}

func promiseMutants() []mutant {
	return []mutant{
		{name: "it has no name", caught: []string{"Promises/PromisesAreComplete"}, spoil: promise(func(p *store.Promises) { p.Backend = "" })},
		{name: "it has no writers", caught: []string{"Promises/PromisesAreComplete"}, spoil: promise(func(p *store.Promises) { p.Writers = 0 })},
		{
			name: "promises change", caught: []string{"Promises/PromisesStay"},
			spoil: func(b *broken) {
				var n atomic.Int64
				promise(func(p *store.Promises) { p.Writers = int(n.Add(1)) })(b)
			},
		},
		{name: "durable cannot be tested", caught: []string{"Promises/Durable", "Recovery/EverythingIsThere"}, harness: func(h *storetest.Harness) { h.Reopen = nil }},
		{name: "shared cannot be tested", caught: []string{"Promises/Shared"}, harness: func(h *storetest.Harness) { h.Share = nil }},
		{name: "each process has events of its own", caught: []string{"Promises/Shared"}, harness: func(h *storetest.Harness) {
			h.Share = func(t testing.TB, _ store.Backend) store.Backend { return h.Open(t) }
		}},
		{name: "it gives positions that it does not promise", caught: []string{"Promises/PositionOnAppend"}, spoil: promise(func(p *store.Promises) { p.PositionOnAppend = false })},
		{
			name: "it promises positions that it does not give", caught: []string{"Promises/PositionOnAppend"},
			spoil: func(b *broken) {
				b.append = func(ctx context.Context, commits []store.Commit) ([]store.Outcome, error) {
					out, err := b.Backend.Append(ctx, commits)
					for i := range out {
						for j := range out[i].Records {
							out[i].Records[j].Position = 0
						}
					}
					return out, err
				}
			},
		},
		{
			name: "positions have holes", caught: []string{"Promises/GapFree", "Promises/VerifyFindsNoFault"},
			spoil: func(b *broken) {
				b.readAll = func(ctx context.Context, after banyan.Position, f store.Filter, limit int) ([]store.Record, banyan.Position, error) {
					records, next, err := b.Backend.ReadAll(ctx, after/2, f, limit)
					for i := range records {
						records[i].Position *= 2
					}
					return records, max(next*2, after), err
				}
			},
		},
		{
			name: "it promises snapshots and cannot keep them", caught: []string{"Promises/Snapshots"},
			harness: func(h *storetest.Harness) {
				open := h.Open
				h.Open = func(t testing.TB) store.Backend { return struct{ store.Backend }{open(t)} }
			},
		},
		{name: "it does not notify", caught: []string{"Promises/Notifier"}, spoil: func(b *broken) {
			b.waitBeyond = func(ctx context.Context, _ banyan.Position) error { <-ctx.Done(); return ctx.Err() }
		}},
		{name: "waiting does not end with the context", caught: []string{"Promises/NotifierEndsWithItsContext"}, spoil: func(b *broken) {
			b.waitBeyond = func(context.Context, banyan.Position) error { select {} }
		}},
		{name: "its own check finds a fault", caught: []string{"Promises/CheckerFindsNoFault", "Promises/VerifyFindsNoFault"}, spoil: func(b *broken) { b.check = func() []string { return []string{"a fault"} } }},
	}
}
