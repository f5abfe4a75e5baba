package storetest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/store"
)

// snapshotChecks run where snapshots are promised; where they are not, they
// check that they are refused, and say so in the log of the test.
func snapshotChecks() []check {
	return []check{
		{"SnapshotOfNothing", ifSnapshots(snapshotOfNothing)},
		{"SnapshotIsKept", ifSnapshots(snapshotIsKept)},
		{"SnapshotNewestWins", ifSnapshots(snapshotNewestWins)},
		{"SnapshotOfAnotherSchemaReplaces", ifSnapshots(snapshotOfAnotherSchemaReplaces)},
		{"SnapshotsAreByStream", ifSnapshots(snapshotsAreByStream)},
		{"SnapshotKeepsNoSlice", ifSnapshots(snapshotKeepsNoSlice)},
	}
}

func ifSnapshots(run func(*kit, store.Snapshotter)) func(*kit) {
	return func(k *kit) {
		if b, ok := k.b.(store.Snapshotter); ok && k.b.Promises().Snapshots {
			run(k, b)
			return
		}
		k.Log("the back end promises no snapshots: only that they are refused is checked")
		snapshotsAreRefused(k)
	}
}

func snapshotsAreRefused(k *kit) {
	err := k.st.SaveSnapshot(k.ctx, store.Snapshot{Stream: "a-1", Revision: 1, Schema: 1})
	if !errors.Is(err, banyan.ErrInvalid) {
		k.Fatalf("SaveSnapshot: %v; want an error of kind %q", err, banyan.ErrInvalid)
	}
	if _, err := k.st.LoadSnapshot(k.ctx, "a-1", 1); !errors.Is(err, banyan.ErrInvalid) {
		k.Fatalf("LoadSnapshot: %v; want an error of kind %q", err, banyan.ErrInvalid)
	}
}

func snapshot(stream string, revision banyan.Revision, schema int, data string) store.SnapshotRecord {
	return store.SnapshotRecord{Snapshot: store.Snapshot{Stream: stream, Revision: revision, Schema: schema, Data: []byte(data)}, Checksum: 0xfedcba98}
}

func (k *kit) putSnapshot(b store.Snapshotter, s store.SnapshotRecord) {
	k.Helper()
	if err := b.PutSnapshot(k.ctx, s); err != nil {
		k.Fatalf("PutSnapshot %s@%d: %v", s.Stream, s.Revision, err)
	}
}

func (k *kit) hasSnapshot(b store.Snapshotter, want store.SnapshotRecord) {
	k.Helper()
	got, err := b.GetSnapshot(k.ctx, want.Stream)
	if err != nil {
		k.Fatalf("GetSnapshot %s: %v", want.Stream, err)
	}
	if !bytes.Equal(got.Data, want.Data) {
		k.Fatalf("snapshot of %s has data %.40q; want %.40q", want.Stream, got.Data, want.Data)
	}
	got.Data, want.Data = nil, nil
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		k.Fatalf("snapshot is %s; want %s", g, w)
	}
}

func snapshotOfNothing(k *kit, b store.Snapshotter) {
	k.fill("a-1", 1)
	if _, err := b.GetSnapshot(k.ctx, "a-1"); !errors.Is(err, banyan.ErrNotFound) {
		k.Fatalf("GetSnapshot: %v; want an error of kind %q", err, banyan.ErrNotFound)
	}
}

func snapshotIsKept(k *kit, b store.Snapshotter) {
	every := make([]byte, 2<<20)
	for i := range every {
		every[i] = byte(i)
	}
	for i, data := range []string{"", "\x00", `{"a": 1}`, string(every)} {
		s := snapshot(fmt.Sprintf("a-%d", i), 1<<40, 7, data)
		k.putSnapshot(b, s)
		k.hasSnapshot(b, s)
	}
}

func snapshotNewestWins(k *kit, b store.Snapshotter) {
	newest := snapshot("a-1", 10, 1, "ten")
	k.putSnapshot(b, snapshot("a-1", 5, 1, "five"))
	k.putSnapshot(b, newest)
	k.hasSnapshot(b, newest)
	for _, older := range []store.SnapshotRecord{snapshot("a-1", 9, 1, "nine"), snapshot("a-1", 1, 1, "one"), snapshot("a-1", 10, 1, "another ten")} {
		k.putSnapshot(b, older)
		k.hasSnapshot(b, newest)
	}
	newest = snapshot("a-1", 11, 1, "eleven")
	k.putSnapshot(b, newest)
	k.hasSnapshot(b, newest)
}

func snapshotOfAnotherSchemaReplaces(k *kit, b store.Snapshotter) {
	for _, s := range []store.SnapshotRecord{snapshot("a-1", 10, 1, "v1"), snapshot("a-1", 4, 2, "v2"), snapshot("a-1", 4, 1, "back")} {
		k.putSnapshot(b, s)
		k.hasSnapshot(b, s)
	}
}

func snapshotsAreByStream(k *kit, b store.Snapshotter) {
	streams := []string{"a-1", "A-1", "a-10", "a-1 ", "a-é", "a-e\u0301"}
	for i, s := range streams {
		k.putSnapshot(b, snapshot(s, banyan.Revision(i+1), 1, s))
	}
	for i, s := range streams {
		k.hasSnapshot(b, snapshot(s, banyan.Revision(i+1), 1, s))
	}
	k.log(0)
}

func snapshotKeepsNoSlice(k *kit, b store.Snapshotter) {
	s := snapshot("a-1", 1, 1, "as it was")
	k.putSnapshot(b, s)
	clear(s.Data)
	k.hasSnapshot(b, snapshot("a-1", 1, 1, "as it was"))
}
