package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// promiseChecks are about what the back end says of itself.
func promiseChecks() []check {
	return []check{
		{"PromisesAreComplete", promisesAreComplete},
		{"PromisesStay", promisesStay},
		{"Durable", durable},
		{"GapFree", gapFree},
		{"PositionOnAppend", positionOnAppend},
		{"Snapshots", snapshots},
		{"Shared", shared},
		{"Notifier", notifier},
		{"NotifierEndsWithItsContext", notifierEnds},
		{"CheckerFindsNoFault", checkerFindsNoFault},
		{"VerifyFindsNoFault", verifyFindsNoFault},
	}
}

func promisesAreComplete(k *kit) {
	if p := k.b.Promises(); p.Backend == "" || p.Writers < 1 {
		k.Fatalf("promises %+v: Backend must have a name and Writers be at least 1", p)
	}
}

func promisesStay(k *kit) {
	before := k.b.Promises()
	k.mixed()
	if after := k.b.Promises(); after != before {
		k.Fatalf("promises are %+v and were %+v", after, before)
	}
}

func durable(k *kit) {
	if k.b.Promises().Durable && k.h.Reopen == nil {
		k.Fatal("the back end promises Durable, but Harness.Reopen is nil: nothing tests it")
	}
}

func gapFree(k *kit) {
	l := newLedger()
	k.parallel(6, func(i int) error { return k.contend(l, fmt.Sprintf("hot-%d", i%2), 20) })
	k.refused(k.append(k.one("hot-0", store.NoStream))[0], banyan.ErrConflict, "append")
	k.fill("a-1", 3)
	for i, r := range k.log(len(l.accepted) + 3) {
		if k.b.Promises().GapFree && r.Position != banyan.Position(i+1) {
			k.Fatalf("event %d of the log has position %d; GapFree is promised", i+1, r.Position)
		}
		if r.Position < banyan.Position(i+1) {
			k.Fatalf("event %d of the log has position %d", i+1, r.Position)
		}
	}
}

func positionOnAppend(k *kit) {
	var answers []store.Record
	for i := range 5 {
		answers = append(answers, k.fill(fmt.Sprintf("a-%d", i%2), 3)...)
	}
	positions := map[string]banyan.Position{}
	for _, r := range k.log(len(answers)) {
		positions[r.ID] = r.Position
	}
	for _, r := range answers {
		switch {
		case k.b.Promises().PositionOnAppend && r.Position != positions[r.ID]:
			k.Fatalf("the answer has position %d, the log %d; PositionOnAppend is promised", r.Position, positions[r.ID])
		case !k.b.Promises().PositionOnAppend && r.Position != 0:
			k.Fatalf("the answer has position %d, but PositionOnAppend is not promised: it must be 0", r.Position)
		}
		at, err := k.st.PositionOf(k.ctx, store.Token(r.ID))
		if err != nil || at != positions[r.ID] {
			k.Fatalf("PositionOf %s is %d, %v; want %d", r.ID, at, err, positions[r.ID])
		}
	}
}

func snapshots(k *kit) {
	_, able := k.b.(store.Snapshotter)
	if promised := k.b.Promises().Snapshots; promised && !able {
		k.Fatal("the back end promises Snapshots, but is no store.Snapshotter")
	} else if !promised {
		snapshotsAreRefused(k)
	}
}

func shared(k *kit) {
	if !k.b.Promises().Shared {
		k.Skip("the back end does not promise Shared: a second process must not open it")
	}
	if k.h.Share == nil {
		k.Fatal("the back end promises Shared, but Harness.Share is nil: nothing tests it")
	}
	other := &kit{TB: k.TB, h: k.h, ctx: k.ctx}
	other.use(k.h.Share(k, k.b))
	c := k.commit(write("a-1", store.NoStream, events(2, "x")...))
	first := k.put(c)
	other.same("a-1", other.stream("a-1"), first)
	other.again(c, first)
	other.conflict(other.append(other.one("a-1", store.NoStream))[0], store.ConflictError{Stream: "a-1", Have: 2})
	other.put(other.one("a-1", store.Exact(2)))
	k.revision("a-1", 3)
	k.same("log", k.log(3), other.log(3))
	l := newLedger()
	k.parallel(8, func(i int) error { return []*kit{k, other}[i%2].contend(l, fmt.Sprintf("hot-%d", i%3), 25) })
	k.log(3 + len(l.accepted))
}

func notifier(k *kit) {
	b, ok := k.b.(store.Notifier)
	if !ok {
		k.Skip("the back end is no store.Notifier: Store polls Head")
	}
	for n := 1; n <= 5; n++ {
		after := k.head()
		told := make(chan error, 1)
		go func() { told <- b.WaitBeyond(k.ctx, after) }()
		k.fill("a-1", 1)
		select {
		case err := <-told:
			if err != nil {
				k.Fatalf("WaitBeyond: %v", err)
			}
		case <-k.ctx.Done():
			k.Fatalf("WaitBeyond(%d) does not return after an append", after)
		}
		k.log(n)
	}
	if err := b.WaitBeyond(k.ctx, 0); err != nil { // there is something already
		k.Fatalf("WaitBeyond(0): %v", err)
	}
}

func notifierEnds(k *kit) {
	b, ok := k.b.(store.Notifier)
	if !ok {
		k.Skip("the back end is no store.Notifier: Store polls Head")
	}
	ctx, cancel := context.WithCancel(k.ctx)
	told := make(chan error, 1)
	go func() { told <- b.WaitBeyond(ctx, 1<<40) }()
	cancel()
	select {
	case err := <-told:
		if err != nil && !errors.Is(err, context.Canceled) {
			k.Fatalf("WaitBeyond: %v; want the context's error, or nil for a look too early", err)
		}
	case <-k.ctx.Done():
		k.Fatal("WaitBeyond does not return when its context ends")
	}
}

func checkerFindsNoFault(k *kit) {
	b, ok := k.b.(store.Checker)
	if !ok {
		k.Skip("the back end is no store.Checker: it has nothing that only it can see")
	}
	k.mixed()
	if faults, err := b.Check(k.ctx); err != nil || len(faults) > 0 {
		k.Fatalf("Check of a healthy store: %q, %v", faults, err)
	}
}

func verifyFindsNoFault(k *kit) {
	n := len(k.mixed())
	report, err := k.st.Verify(k.ctx, nil)
	if err != nil || !report.OK() || report.Events != int64(n) {
		k.Fatalf("Verify of a healthy store of %d events: %+v, %v", n, report, err)
	}
}
