package storetest

import (
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// recoveryChecks close the store and open it again.
func recoveryChecks() []check {
	return []check{
		{"EverythingIsThere", ifReopens(everythingIsThere)},
		{"IDsAreStillKnown", ifReopens(idsAreStillKnown)},
		{"TombstonesStillClose", ifReopens(tombstonesStillClose)},
		{"PositionsGoOn", ifReopens(positionsGoOn)},
		{"EmptyStoreReopens", ifReopens(emptyStoreReopens)},
	}
}

// ifReopens runs a check where there is something to reopen. A back end that
// promises Durable must have it.
func ifReopens(run func(*kit)) func(*kit) {
	return func(k *kit) {
		switch {
		case k.h.Reopen != nil:
			run(k)
		case k.b.Promises().Durable:
			k.Fatal("the back end promises Durable, but Harness.Reopen is nil")
		default:
			k.Skip("the back end does not promise Durable and Harness.Reopen is nil: there is nothing to recover")
		}
	}
}

func (k *kit) reopen() {
	k.Helper()
	k.use(k.h.Reopen(k, k.b))
}

func everythingIsThere(k *kit) {
	want := k.mixed()
	promises := k.b.Promises()
	for range 3 {
		k.reopen()
		k.same("log", k.log(len(want)), want)
		streams := map[string]banyan.Revision{}
		for _, r := range want {
			streams[r.Stream] = r.Revision
		}
		for stream, n := range streams {
			k.revision(stream, int(n))
		}
		if now := k.b.Promises(); now != promises {
			k.Fatalf("promises are %+v after opening again; want %+v", now, promises)
		}
	}
}

func idsAreStillKnown(k *kit) {
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...), write("b-1", store.NoStream, events(1, "x")...))
	first := k.put(c)
	k.reopen()
	k.again(c, first)
	k.fill("a-1", 3)
	k.reopen()
	k.again(c, first)
	some := k.commit(write("a-1", store.Any, events(2, "x")...))
	some.Sections[0].Records[0] = c.Sections[0].Records[0]
	k.refused(k.append(some)[0], banyan.ErrExists, "some ids from before")
	if found := k.lookup(first[0].ID); len(found) != 1 {
		k.Fatal("Lookup does not find an event from before")
	}
	k.log(6)
}

func tombstonesStillClose(k *kit) {
	k.put(k.commit(write("a-1", store.NoStream, event("x", "1"), event(banyan.Tombstone, "{}"))))
	k.reopen()
	k.refused(k.append(k.one("a-1", store.Any))[0], banyan.ErrGone, "append")
}

func positionsGoOn(k *kit) {
	n := 0
	var last banyan.Position
	for round := range 4 {
		k.fill(fmt.Sprintf("a-%d", round%2), 5)
		n += 5
		log := k.log(n)
		if first := log[n-5].Position; first <= last {
			k.Fatalf("after opening again the first new position is %d; it was %d before", first, last)
		}
		last = log[n-1].Position
		k.reopen()
		if head := k.head(); head != last {
			k.Fatalf("head is %d after opening again; want %d", head, last)
		}
		k.conflict(k.append(k.one("a-0", store.NoStream))[0], store.ConflictError{Stream: "a-0", Have: banyan.Revision(5 * (round/2 + 1))})
	}
}

func emptyStoreReopens(k *kit) {
	k.reopen()
	k.log(0)
	k.put(k.one("a-1", store.NoStream))
	k.reopen()
	k.revision("a-1", 1)
}
