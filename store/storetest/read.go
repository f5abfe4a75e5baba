package storetest

import (
	"fmt"
	"slices"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// readChecks are about streams, ids and the head.
func readChecks() []check {
	return []check{
		{"ReadStreamOfNothing", readStreamOfNothing},
		{"ReadStreamForwards", readStreamForwards},
		{"ReadStreamBackwards", readStreamBackwards},
		{"ReadStreamEveryRange", readStreamEveryRange},
		{"LookupByID", lookupByID},
		{"LookupOfManyIDs", lookupOfManyIDs},
		{"LookupGetsItsPosition", lookupGetsItsPosition},
		{"HeadIsTheLastPosition", headIsTheLastPosition},
	}
}

func (k *kit) slice(stream string, r store.Range) []store.Record {
	k.Helper()
	records, err := k.b.ReadStream(k.ctx, stream, r)
	if err != nil {
		k.Fatalf("ReadStream %s %+v: %v", stream, r, err)
	}
	return records
}

func readStreamOfNothing(k *kit) {
	k.fill("a-1", 2)
	for _, r := range []store.Range{{Limit: 10}, {From: 1, Limit: 10}, {From: 5, Limit: 10}, {Backward: true, Limit: 10}, {From: 5, Backward: true, Limit: 10}} {
		if records := k.slice("b-1", r); len(records) > 0 {
			k.Fatalf("%+v of a stream without events returned %d", r, len(records))
		}
	}
	if records := k.slice("a-1", store.Range{From: 3, Limit: 10}); len(records) > 0 {
		k.Fatalf("reading behind the end returned %d events", len(records))
	}
}

func readStreamForwards(k *kit) {
	all := k.fill("a-1", 25)
	k.fill("a-2", 5)
	k.same("all", k.slice("a-1", store.Range{Limit: 100}), all)
	k.same("from 1", k.slice("a-1", store.Range{From: 1, Limit: 100}), all)
	k.same("limit 10", k.slice("a-1", store.Range{Limit: 10}), all[:10])
	k.same("from 11, limit 10", k.slice("a-1", store.Range{From: 11, Limit: 10}), all[10:20])
	k.same("from 25", k.slice("a-1", store.Range{From: 25, Limit: 10}), all[24:])
}

func readStreamBackwards(k *kit) {
	all := k.fill("a-1", 25)
	slices.Reverse(all)
	k.same("all", k.slice("a-1", store.Range{Backward: true, Limit: 100}), all)
	k.same("limit 10", k.slice("a-1", store.Range{Backward: true, Limit: 10}), all[:10])
	k.same("from 25", k.slice("a-1", store.Range{Backward: true, From: 25, Limit: 1}), all[:1])
	k.same("from 5", k.slice("a-1", store.Range{Backward: true, From: 5, Limit: 100}), all[20:])
	k.same("from 1", k.slice("a-1", store.Range{Backward: true, From: 1, Limit: 100}), all[24:])
	k.same("from behind the end", k.slice("a-1", store.Range{Backward: true, From: 99, Limit: 2}), all[:2])
}

func readStreamEveryRange(k *kit) {
	const n = 9
	all := k.fill("a-1", n)
	for from := range n + 3 {
		for limit := 1; limit <= n+1; limit++ {
			var up, down []store.Record
			for rev := max(from, 1); rev <= n && len(up) < limit; rev++ {
				up = append(up, all[rev-1])
			}
			start := min(from, n)
			if from == 0 {
				start = n
			}
			for rev := start; rev >= 1 && len(down) < limit; rev-- {
				down = append(down, all[rev-1])
			}
			r := store.Range{From: banyan.Revision(from), Limit: limit}
			k.same(fmt.Sprintf("%+v", r), k.slice("a-1", r), up)
			r.Backward = true
			k.same(fmt.Sprintf("%+v", r), k.slice("a-1", r), down)
		}
	}
}

func lookupByID(k *kit) {
	a, b := k.fill("a-1", 3), k.fill("b-1", 2)
	found := k.lookup(b[1].ID, "nothing", a[0].ID, banyan.NewID())
	if len(found) != 2 {
		k.Fatalf("found %d; want 2", len(found))
	}
	k.same("found", []store.Record{found[a[0].ID], found[b[1].ID]}, []store.Record{a[0], b[1]})
	if found := k.lookup("nothing"); len(found) > 0 {
		k.Fatalf("found %v; want nothing", found)
	}
	again := k.lookup(a[0].ID, a[0].ID)
	k.same("an id asked for twice", []store.Record{again[a[0].ID]}, a[:1])
}

func lookupOfManyIDs(k *kit) {
	all := k.fill("a-1", 500)
	ids := make([]string, 0, 5000)
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	for len(ids) < 5000 {
		ids = append(ids, banyan.NewID())
	}
	if found := k.lookup(ids...); len(found) != 500 {
		k.Fatalf("found %d of 5,000 ids; want 500", len(found))
	}
}

func lookupGetsItsPosition(k *kit) {
	r := k.fill("a-1", 3)[1]
	for tick := newTicker(k); ; tick.wait("event %s has a position", r.ID) {
		k.head()
		if p := k.lookup(r.ID)[r.ID].Position; p > 0 {
			k.same("log", k.log(3)[1:2], []store.Record{k.lookup(r.ID)[r.ID]})
			return
		}
	}
}

func headIsTheLastPosition(k *kit) {
	if head := k.head(); head != 0 {
		k.Fatalf("head of an empty log is %d; want 0", head)
	}
	for n := 1; n <= 5; n++ {
		k.fill(fmt.Sprintf("a-%d", n%2), 1)
		log := k.log(n)
		if head, last := k.head(), log[n-1].Position; head != last {
			k.Fatalf("head is %d with %d events; want %d", head, n, last)
		}
	}
}
