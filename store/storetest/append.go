package storetest

import (
	"context"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// appendChecks are about what is accepted, what is refused, and that either is
// complete.
func appendChecks() []check {
	return []check{
		{"ExpectNoStream", expectNoStream},
		{"ExpectExact", expectExact},
		{"ExpectAny", expectAny},
		{"ExpectExists", expectExists},
		{"RevisionsAscend", revisionsAscend},
		{"AnswerIsWhatIsStored", answerIsWhatIsStored},
		{"StreamsAreAtomic", streamsAreAtomic},
		{"OneRefusedStreamRefusesAll", oneRefusedStreamRefusesAll},
		{"RefusedLeavesNothing", refusedLeavesNothing},
		{"GroupIsAnsweredInOrder", groupIsAnsweredInOrder},
		{"GroupConflictTouchesNoNeighbour", groupConflictTouchesNoNeighbour},
		{"GroupSeesItsOwnCommits", groupSeesItsOwnCommits},
		{"GroupRaceHasOneWinner", groupRaceHasOneWinner},
		{"GroupOfAThousand", groupOfAThousand},
		{"AppendOfTenThousand", appendOfTenThousand},
		{"TombstoneClosesForEver", tombstoneClosesForEver},
		{"TombstoneWithinAGroup", tombstoneWithinAGroup},
		{"StreamNamesAreExact", streamNamesAreExact},
		{"EndedContextIsWholeOrNothing", endedContextIsWholeOrNothing},
		{"KeepsNoSlice", keepsNoSlice},
	}
}

func expectNoStream(k *kit) {
	k.put(k.one("a-1", store.NoStream))
	k.conflict(k.append(k.one("a-1", store.NoStream))[0], store.ConflictError{Stream: "a-1", Want: store.NoStream, Have: 1})
	k.put(k.one("a-2", store.Exact(0)))
	k.revision("a-1", 1)
	k.revision("a-2", 1)
}

func expectExact(k *kit) {
	k.conflict(k.append(k.one("a-1", store.Exact(1)))[0], store.ConflictError{Stream: "a-1", Want: 1, Have: 0})
	k.fill("a-1", 3)
	for _, wrong := range []banyan.Revision{1, 2, 4, 1 << 40} {
		k.conflict(k.append(k.one("a-1", store.Exact(wrong)))[0], store.ConflictError{Stream: "a-1", Want: store.Exact(wrong), Have: 3})
	}
	k.put(k.one("a-1", store.Exact(3)))
	k.conflict(k.append(k.one("a-1", store.Exact(3)))[0], store.ConflictError{Stream: "a-1", Want: 3, Have: 4})
	k.revision("a-1", 4)
}

func expectAny(k *kit) {
	k.put(k.one("a-1", store.Any))
	k.put(k.one("a-1", store.Any))
	k.revision("a-1", 2)
}

func expectExists(k *kit) {
	k.conflict(k.append(k.one("a-1", store.Exists))[0], store.ConflictError{Stream: "a-1", Want: store.Exists, Have: 0})
	k.put(k.one("a-1", store.Any))
	k.put(k.one("a-1", store.Exists))
	k.revision("a-1", 2)
}

func revisionsAscend(k *kit) {
	want := banyan.Revision(0)
	for _, size := range []int{1, 3, 1, 10, 2} {
		for _, r := range k.put(k.commit(write("a-1", store.Exact(want), events(size, "happened")...))) {
			if want++; r.Revision != want {
				k.Fatalf("revision %d; want %d", r.Revision, want)
			}
		}
	}
}

func answerIsWhatIsStored(k *kit) {
	first := k.put(k.commit(write("a-1", store.NoStream, events(3, "happened")...)))
	both := k.put(k.commit(write("b-1", store.NoStream, events(2, "happened")...), write("a-1", store.Exact(3), events(2, "other")...)))
	k.same("b-1", k.stream("b-1"), both[:2])
	k.same("a-1", k.stream("a-1"), append(first, both[2:]...))
	for _, r := range append(first, both...) {
		if r.Sum() != r.Checksum {
			k.Fatalf("event %s: the answer's checksum is %08x; want %08x", r.ID, r.Checksum, r.Sum())
		}
	}
}

func streamsAreAtomic(k *kit) {
	k.fill("b-1", 2)
	k.put(k.commit(write("a-1", store.NoStream, events(1, "x")...), write("b-1", store.Exact(2), events(2, "x")...), write("c-1", store.Any, events(3, "x")...)))
	k.revision("a-1", 1)
	k.revision("b-1", 4)
	k.revision("c-1", 3)
	k.log(8)
}

func oneRefusedStreamRefusesAll(k *kit) {
	k.fill("b-1", 2)
	wrong := write("b-1", store.Exact(1), events(2, "x")...)
	right := []store.Write{write("a-1", store.NoStream, events(1, "x")...), write("c-1", store.Any, events(1, "x")...)}
	for i, writes := range [][]store.Write{{wrong, right[0], right[1]}, {right[0], wrong, right[1]}, {right[0], right[1], wrong}} {
		c := k.commit(writes...)
		k.conflict(k.append(c)[0], store.ConflictError{Stream: "b-1", Want: 1, Have: 2})
		if n := len(k.lookup(store.IDs([]store.Commit{c})...)); n > 0 {
			k.Fatalf("order %d: %d events of a refused append are stored", i, n)
		}
	}
	k.revision("a-1", 0)
	k.revision("b-1", 2)
	k.revision("c-1", 0)
	k.log(2)
}

func refusedLeavesNothing(k *kit) {
	k.fill("a-1", 2)
	before := k.log(2)
	head := k.head()
	c := k.commit(write("a-1", store.NoStream, events(3, "happened")...))
	k.refused(k.append(c)[0], banyan.ErrConflict, "append")
	if found := k.lookup(store.IDs([]store.Commit{c})...); len(found) > 0 {
		k.Fatalf("%d events of a refused append are stored", len(found))
	}
	k.same("log", k.log(2), before)
	if now := k.head(); now != head {
		k.Fatalf("head is %d after a refused append; want %d", now, head)
	}
	c.Sections[0].Expect = store.Exact(2) // the ids are still free
	k.put(c)
	k.revision("a-1", 5)
}

func groupIsAnsweredInOrder(k *kit) {
	var group []store.Commit
	for i := range 20 {
		group = append(group, k.commit(write(fmt.Sprintf("a-%d", i%7), store.Any, events(1+i%3, "happened")...)))
	}
	for i, o := range k.append(group...) {
		if o.Err != nil || o.Duplicate {
			k.Fatalf("commit %d: error %v, duplicate %v", i, o.Err, o.Duplicate)
		}
		ids := store.IDs(group[i : i+1])
		if len(o.Records) != len(ids) {
			k.Fatalf("commit %d of %d events is answered with %d", i, len(ids), len(o.Records))
		}
		for j := range ids {
			if o.Records[j].ID != ids[j] {
				k.Fatalf("commit %d is answered with event %s; want %s", i, o.Records[j].ID, ids[j])
			}
		}
	}
}

func groupConflictTouchesNoNeighbour(k *kit) {
	k.fill("b-1", 1)
	outcomes := k.append(
		k.one("a-1", store.NoStream),
		k.one("b-1", store.NoStream),
		k.commit(write("c-1", store.NoStream, events(2, "x")...), write("b-1", store.Exact(7), events(1, "x")...)),
		k.one("c-1", store.NoStream),
		k.one("b-1", store.Exact(1)),
	)
	k.conflict(outcomes[1], store.ConflictError{Stream: "b-1", Want: 0, Have: 1})
	k.conflict(outcomes[2], store.ConflictError{Stream: "b-1", Want: 7, Have: 1})
	for _, i := range []int{0, 3, 4} {
		if outcomes[i].Err != nil {
			k.Fatalf("commit %d: %v; the conflict of another must not touch it", i, outcomes[i].Err)
		}
	}
	k.revision("a-1", 1)
	k.revision("b-1", 2)
	k.revision("c-1", 1)
	k.log(4)
}

func groupSeesItsOwnCommits(k *kit) {
	k.fill("a-1", 4)
	outcomes := k.append(k.one("a-1", store.Exact(4)), k.one("a-1", store.Exact(5)), k.one("b-1", store.NoStream), k.one("b-1", store.Exists), k.one("a-1", store.Exact(6)))
	for i, o := range outcomes {
		if o.Err != nil {
			k.Fatalf("commit %d: %v; it must see those before it in the group", i, o.Err)
		}
	}
	if r := outcomes[4].Records[0].Revision; r != 7 {
		k.Fatalf("the last commit got revision %d; want 7", r)
	}
	k.revision("a-1", 7)
	k.revision("b-1", 2)
}

func groupRaceHasOneWinner(k *kit) {
	outcomes := k.append(k.one("a-1", store.NoStream), k.one("a-1", store.NoStream), k.one("a-1", store.Exact(1)))
	if outcomes[0].Err != nil || outcomes[2].Err != nil {
		k.Fatalf("errors %v and %v; want the first and the third stored", outcomes[0].Err, outcomes[2].Err)
	}
	k.conflict(outcomes[1], store.ConflictError{Stream: "a-1", Want: 0, Have: 1})
	k.revision("a-1", 2)
}

func groupOfAThousand(k *kit) {
	group := make([]store.Commit, 1000)
	for i := range group {
		group[i] = k.one(fmt.Sprintf("a-%d", i%300), store.Any)
	}
	for i, o := range k.append(group...) {
		if o.Err != nil {
			k.Fatalf("commit %d: %v", i, o.Err)
		}
	}
	k.revision("a-0", 4)
	k.revision("a-299", 3)
	k.log(1000)
}

func appendOfTenThousand(k *kit) {
	stored := k.put(k.commit(write("a-1", store.NoStream, events(10_000, "happened")...)))
	k.same("a-1", k.stream("a-1"), stored)
	k.log(10_000)
}

func tombstoneClosesForEver(k *kit) {
	k.fill("a-1", 2)
	k.put(k.commit(write("a-1", store.Exact(2), event(banyan.Tombstone, "{}"))))
	for _, expect := range []store.Expect{store.Any, store.Exists, store.Exact(3), store.NoStream} {
		k.refused(k.append(k.one("a-1", expect))[0], banyan.ErrGone, "append that expects "+expect.String())
	}
	k.refused(k.append(k.commit(write("a-1", store.Any, event(banyan.Tombstone, "{}"))))[0], banyan.ErrGone, "second tombstone")
	k.refused(k.append(k.commit(write("b-1", store.Any, events(1, "x")...), write("a-1", store.Any, events(1, "x")...)))[0], banyan.ErrGone, "append with another stream")
	k.revision("b-1", 0)
	if log := k.log(3); log[2].Type != banyan.Tombstone || log[2].Revision != 3 {
		k.Fatalf("the log ends with %s@%d; want the tombstone at revision 3", log[2].Type, log[2].Revision)
	}
	k.revision("a-1", 3)
}

func tombstoneWithinAGroup(k *kit) {
	outcomes := k.append(k.commit(write("a-1", store.NoStream, event("x", "1"), event(banyan.Tombstone, "{}"))), k.one("a-1", store.Any), k.one("a-2", store.Any))
	if outcomes[0].Err != nil || outcomes[2].Err != nil {
		k.Fatalf("errors %v and %v; want both stored", outcomes[0].Err, outcomes[2].Err)
	}
	k.refused(outcomes[1], banyan.ErrGone, "append behind the tombstone")
}

// streamNamesAreExact has names that databases like to take for one another.
func streamNamesAreExact(k *kit) {
	streams := []string{
		"a-1", "A-1", "a-10", "a-1 ", " a-1", "a_1", "a%1", "a-%", "a-_", "a-*", "a-[1]", "a-1'", `a-1"`, `a-1\`, "a-1;--",
		"a-é", "a-e\u0301", "a-É", "a-ß", "a-ss", "a-İ", "a-i", "a-\u00a0", "a-日本", "a-🦫", "a", "-",
	}
	for i, name := range streams {
		k.put(k.commit(write(name, store.NoStream, events(i%3+1, "happened")...)))
	}
	for i, name := range streams {
		records := k.stream(name)
		if len(records) != i%3+1 {
			k.Fatalf("stream %q has %d events; want %d", name, len(records), i%3+1)
		}
		for _, r := range records {
			if r.Stream != name {
				k.Fatalf("stream %q has an event of stream %q", name, r.Stream)
			}
		}
	}
}

func endedContextIsWholeOrNothing(k *kit) {
	ctx, cancel := context.WithCancel(k.ctx)
	cancel()
	c := k.commit(write("a-1", store.NoStream, events(5, "x")...), write("b-1", store.NoStream, events(5, "x")...))
	_, err := k.b.Append(ctx, []store.Commit{c})
	if n := len(k.lookup(store.IDs([]store.Commit{c})...)); n != 0 && n != 10 {
		k.Fatalf("%d of 10 events are stored", n)
	} else if n == 10 && err != nil && banyan.Kind(err) != nil && banyan.Kind(err) != banyan.ErrUnknown {
		k.Fatalf("all is stored, but the error says that nothing was: %v", err)
	}
	if o := k.append(c)[0]; o.Err != nil || len(o.Records) != 10 {
		k.Fatalf("sent again: %d records, error %v; want the result", len(o.Records), o.Err)
	}
	k.log(10)
}

func keepsNoSlice(k *kit) {
	e := banyan.Event{ID: banyan.NewID(), Type: "x", ContentType: "text/plain", Data: []byte("as it was"), Meta: banyan.Metadata{Actor: "eve"}}
	c := k.commit(write("a-1", store.NoStream, e))
	r := &c.Sections[0].Records[0]
	data, meta := string(r.Data), string(r.Meta)
	k.put(c)
	clear(r.Data)
	clear(r.Meta)
	read := k.stream("a-1")[0]
	if string(read.Data) != data || string(read.Meta) != meta {
		k.Fatalf("data %q, metadata %q after the caller changed its slices; want %q, %q", read.Data, read.Meta, data, meta)
	}
	k.fill("a-1", 20)
	k.stream("a-1")
	k.log(21)
	if read.Sum() != read.Checksum {
		k.Fatalf("a record that was handed out has changed: data %q", read.Data)
	}
}
