package storetest

import (
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// repeatChecks are about sending the same events again.
func repeatChecks() []check {
	return []check{
		{"RepeatReturnsTheFirstResult", repeatReturnsTheFirstResult},
		{"RepeatMuchLater", repeatMuchLater},
		{"RepeatThatConflicts", repeatThatConflicts},
		{"RepeatWithinAGroup", repeatWithinAGroup},
		{"RepeatOfSeveralStreams", repeatOfSeveralStreams},
		{"RepeatAfterTombstone", repeatAfterTombstone},
		{"SomeIDsStoredIsExists", someIDsStoredIsExists},
		{"IDOfAnotherEventIsExists", idOfAnotherEventIsExists},
		{"IDsAreExact", idsAreExact},
	}
}

// again sends a commit a second time and checks that nothing new is stored.
func (k *kit) again(c store.Commit, first []store.Record) {
	k.Helper()
	k.firstResult(k.append(c)[0], first)
}

func (k *kit) firstResult(o store.Outcome, first []store.Record) {
	k.Helper()
	if o.Err != nil || !o.Duplicate {
		k.Fatalf("repetition: error %v, duplicate %v; want the first result", o.Err, o.Duplicate)
	}
	k.same("repetition", o.Records, first)
}

func repeatReturnsTheFirstResult(k *kit) {
	for _, expect := range []store.Expect{store.Any, store.Exact(3)} {
		c := k.commit(write("a-1", expect, events(3, "x")...))
		first := k.put(c)
		k.again(c, first)
		k.again(c, first)
	}
	k.revision("a-1", 6)
	k.log(6)
}

func repeatMuchLater(k *kit) {
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...))
	first := k.put(c)
	k.fill("a-1", 700)
	k.fill("b-1", 700)
	k.again(c, first)
	k.log(1402)
}

func repeatThatConflicts(k *kit) {
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...))
	first := k.put(c)
	k.fill("a-1", 3)
	for _, expect := range []store.Expect{store.NoStream, store.Exact(1), store.Exact(99), store.Exists, store.Any} {
		c.Sections[0].Expect = expect
		k.again(c, first)
	}
	k.revision("a-1", 5)
}

func repeatWithinAGroup(k *kit) {
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...))
	first := k.put(c)
	outcomes := k.append(k.one("b-1", store.NoStream), c, k.one("a-1", store.Exact(2)), k.one("c-1", store.Exact(5)), k.one("a-1", store.Exact(3)))
	k.firstResult(outcomes[1], first)
	k.conflict(outcomes[3], store.ConflictError{Stream: "c-1", Want: 5, Have: 0})
	for _, i := range []int{0, 2, 4} {
		if outcomes[i].Err != nil || outcomes[i].Duplicate {
			k.Fatalf("commit %d beside a repetition: error %v, duplicate %v; want it stored", i, outcomes[i].Err, outcomes[i].Duplicate)
		}
	}
	k.revision("a-1", 4)
	k.log(5)
}

func repeatOfSeveralStreams(k *kit) {
	c := k.commit(write("b-1", store.NoStream, events(2, "x")...), write("a-1", store.NoStream, events(1, "x")...))
	first := k.put(c)
	k.fill("a-1", 2)
	k.again(c, first)
	k.log(5)
}

func repeatAfterTombstone(k *kit) {
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...))
	first := k.put(c)
	end := k.commit(write("a-1", store.Exact(2), event(banyan.Tombstone, "{}")))
	last := k.put(end)
	k.again(c, first)
	k.again(end, last)
	k.revision("a-1", 3)
}

func someIDsStoredIsExists(k *kit) {
	old := events(3, "x")
	k.put(k.commit(write("a-1", store.NoStream, old...)))
	for _, some := range [][]banyan.Event{{old[0], event("x", "1")}, {event("x", "1"), old[2]}, {old[0], event("x", "1"), old[1]}} {
		c := k.commit(write("a-1", store.Any, some...))
		k.refused(k.append(c)[0], banyan.ErrExists, "append with some ids that are stored")
		k.refused(k.append(k.one("b-1", store.Any), c)[1], banyan.ErrExists, "the same in a group")
	}
	split := k.commit(write("a-1", store.Any, old[0]), write("c-1", store.Any, event("x", "1")))
	k.refused(k.append(split)[0], banyan.ErrExists, "append to two streams with an id that is stored")
	k.revision("a-1", 3)
	k.revision("b-1", 3)
	k.revision("c-1", 0)
	k.log(6)
}

func idOfAnotherEventIsExists(k *kit) {
	old := event("x", `"data"`)
	k.put(k.commit(write("a-1", store.NoStream, old)))
	data, kind := old, old
	data.Data = []byte(`"other"`)
	kind.Type = "y"
	for what, w := range map[string]store.Write{"data": write("a-1", store.Any, data), "type": write("a-1", store.Any, kind), "stream": write("b-1", store.Any, old)} {
		k.refused(k.append(k.commit(w))[0], banyan.ErrExists, "an id with other "+what)
		k.refused(k.append(k.one("c-1", store.Any), k.commit(w))[1], banyan.ErrExists, "in a group, an id with other "+what)
	}
	k.revision("a-1", 1)
	k.revision("b-1", 0)
	k.log(4)
}

// idsAreExact has ids that databases like to take for one another.
func idsAreExact(k *kit) {
	ids := []string{"x", "X", "x ", " x", "é", "e\u0301", "1", "01", "1.0", "0b1ab1de-0000-7000-8000-000000000001", "0B1AB1DE-0000-7000-8000-000000000001"}
	for i, id := range ids {
		o := k.append(k.commit(write("a-1", store.Any, banyan.Event{ID: id, Type: "x", Data: []byte(fmt.Sprint(i))})))[0]
		if o.Err != nil || o.Duplicate {
			k.Fatalf("id %q: error %v, duplicate %v; want it stored", id, o.Err, o.Duplicate)
		}
	}
	found := k.lookup(ids...)
	for i, id := range ids {
		if r := found[id]; r.Revision != banyan.Revision(i+1) {
			k.Fatalf("Lookup of %q gives revision %d; want %d", id, r.Revision, i+1)
		}
	}
}
