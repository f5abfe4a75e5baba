package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/banyanhq/banyan"
	"github.com/banyanhq/banyan/mem"
	"github.com/banyanhq/banyan/store"
)

// damaged is a back end whose readings pass through spoil.
type damaged struct {
	store.Backend
	spoil  func([]store.Record) []store.Record
	faults []string
}

func (d *damaged) ReadStream(ctx context.Context, s string, r store.Range) ([]store.Record, error) {
	records, err := d.Backend.ReadStream(ctx, s, r)
	return d.spoil(records), err
}

func (d *damaged) ReadAll(ctx context.Context, p banyan.Position, f store.Filter, n int) ([]store.Record, banyan.Position, error) {
	records, next, err := d.Backend.ReadAll(ctx, p, f, n)
	return d.spoil(records), next, err
}

func (d *damaged) Lookup(ctx context.Context, ids []string) ([]store.Record, error) {
	records, err := d.Backend.Lookup(ctx, ids)
	return d.spoil(records), err
}

func (d *damaged) Check(context.Context) ([]string, error) { return d.faults, nil }

// drain reads to the end and returns the events and the error.
func drain(seq iter.Seq2[banyan.Event, error]) (events []banyan.Event, err error) {
	for e, err := range seq {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

func TestDamageIsNeverServed(t *testing.T) {
	t.Parallel()
	const seeds = 1000
	b := &damaged{Backend: mem.Open().Backend(), spoil: func(r []store.Record) []store.Record { return r }}
	st := over(t, b, nil)
	var ids []string
	for i := range 10 {
		e := banyan.Event{ID: fmt.Sprintf("id-%d", i), Type: "order.placed", Source: "/shop", Data: []byte(`{"total":"9.90"}`), Meta: banyan.Metadata{Actor: "eve"}}
		if _, err := st.Append(t.Context(), "a-1", store.Any, e); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	readers := []func() ([]banyan.Event, error){
		func() ([]banyan.Event, error) { return drain(st.Read(t.Context(), "a-1", store.ReadOptions{})) },
		func() ([]banyan.Event, error) {
			return drain(st.Read(t.Context(), "a-1", store.ReadOptions{Backward: true}))
		},
		func() ([]banyan.Event, error) { return drain(st.All(t.Context(), 0, store.Filter{})) },
		func() ([]banyan.Event, error) { return st.Lookup(t.Context(), ids...) },
	}
	whole, err := readers[0]()
	if err != nil || len(whole) != 10 {
		t.Fatalf("%d events, %v; want 10", len(whole), err)
	}
	for seed := range uint64(seeds) {
		b.spoil = flipOne(rand.New(rand.NewPCG(seed, 1)))
		reader := seed % uint64(len(readers))
		events, err := readers[reader]()
		if !errors.Is(err, banyan.ErrCorrupt) {
			t.Fatalf("seed %d, reader %d: error %v; want kind %q", seed, reader, err, banyan.ErrCorrupt)
		}
		for _, e := range events {
			if !slices.ContainsFunc(whole, func(w banyan.Event) bool { return fmt.Sprint(w) == fmt.Sprint(e) }) {
				t.Fatalf("seed %d, reader %d: served %+v, which was never written", seed, reader, e)
			}
		}
	}
}

// flipOne flips one bit of one record of each reading.
func flipOne(rng *rand.Rand) func([]store.Record) []store.Record {
	return func(records []store.Record) []store.Record {
		if len(records) == 0 {
			return records
		}
		victim := rng.IntN(len(records))
		var ways []store.Record
		flips(records[victim], func(_ string, r store.Record) { ways = append(ways, r) })
		records[victim] = ways[rng.IntN(len(ways))]
		return records
	}
}

func TestMissingAndReorderedEventsAreNoticed(t *testing.T) {
	t.Parallel()
	without := func(position banyan.Position) func([]store.Record) []store.Record {
		return func(records []store.Record) []store.Record {
			return slices.DeleteFunc(records, func(r store.Record) bool { return r.Position == position })
		}
	}
	swap := func(records []store.Record) []store.Record {
		if len(records) > 20 {
			records[9], records[10] = records[10], records[9]
		}
		return records
	}
	twice := func(records []store.Record) []store.Record {
		if len(records) > 20 {
			records = slices.Insert(records, 5, records[5])
		}
		return records
	}
	const n = 600
	for name, c := range map[string]struct {
		spoil   func([]store.Record) []store.Record
		readers string
	}{
		"one is missing":                 {without(100), "Read backwards All"},
		"the first of a page":            {without(257), "Read All"},
		"the last of a page":             {without(256), "All"},
		"the first of a page, backwards": {without(n - 256), "backwards All"},
		"the first":                      {without(1), "Read backwards All"},
		"the last":                       {without(n), "All"},
		"two change places":              {swap, "Read backwards All"},
		"one comes twice":                {twice, "Read backwards All"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &damaged{Backend: mem.Open().Backend(), spoil: c.spoil}
			st := over(t, b, nil)
			fill(t, st, "a-1", n)
			for reader, seq := range map[string]iter.Seq2[banyan.Event, error]{
				"Read":      st.Read(t.Context(), "a-1", store.ReadOptions{}),
				"backwards": st.Read(t.Context(), "a-1", store.ReadOptions{Backward: true}),
				"All":       st.All(t.Context(), 0, store.Filter{}),
			} {
				events, err := drain(seq)
				if strings.Contains(c.readers, reader) && !errors.Is(err, banyan.ErrCorrupt) {
					t.Errorf("%s gave %d events and error %v; want kind %q", reader, len(events), err, banyan.ErrCorrupt)
				}
			}
		})
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	reseal := func(r *store.Record) { r.Checksum = r.Sum() }
	for name, c := range map[string]struct {
		spoil func([]store.Record) []store.Record
		own   []string // faults that the back end finds
		says  []string // in order; nil: no fault
	}{
		"nothing wrong": {func(r []store.Record) []store.Record { return r }, nil, nil},
		"a changed byte": {func(r []store.Record) []store.Record {
			r[3].Data = []byte("2")
			return r
		}, nil, []string{"checksum"}},
		"metadata that cannot be read": {func(r []store.Record) []store.Record {
			r[3].Meta = []byte("{")
			reseal(&r[3])
			return r
		}, nil, []string{"metadata"}},
		"a missing event": {func(r []store.Record) []store.Record { return slices.Delete(r, 3, 4) }, nil, []string{"positions 4 to 4 are missing", "the revision of its stream before it is 3"}},
		"a position twice": {func(r []store.Record) []store.Record {
			r[3].Position = r[2].Position
			return r
		}, nil, []string{"the position before it is 3", "positions 4 to 4 are missing"}},
		"a revision twice": {func(r []store.Record) []store.Record {
			r[3].Revision = r[2].Revision
			reseal(&r[3])
			return r
		}, nil, []string{"the revision of its stream before it is 3", "the revision of its stream before it is 3"}},
		"an event behind a tombstone": {func(r []store.Record) []store.Record {
			r[8].Type = banyan.Tombstone
			reseal(&r[8])
			return r
		}, nil, []string{"closed by a tombstone at revision 9"}},
		"what the back end finds": {func(r []store.Record) []store.Record { return r }, []string{"page 7 is torn"}, []string{"page 7 is torn"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &damaged{Backend: mem.Open().Backend(), faults: c.own, spoil: func(r []store.Record) []store.Record {
				if len(r) == 0 {
					return r
				}
				return c.spoil(r)
			}}
			st := over(t, b, nil)
			fill(t, st, "a-1", 10)
			fill(t, st, "b-1", 5)
			var at, head banyan.Position
			report, err := st.Verify(t.Context(), func(a, h banyan.Position) { at, head = a, h })
			if err != nil {
				t.Fatal(err)
			}
			if report.OK() != (c.says == nil) || len(report.Faults) != len(c.says) {
				t.Fatalf("faults %q; want %q", report.Faults, c.says)
			}
			for i, want := range c.says {
				if !strings.Contains(report.Faults[i], want) {
					t.Errorf("fault %q; want one that says %q", report.Faults[i], want)
				}
			}
			if report.Streams != 2 || report.Last != 15 || at != 15 || head != 15 {
				t.Errorf("report %+v, progress %d of %d; want 2 streams and 15 of 15", report, at, head)
			}
		})
	}
}

func TestVerifyCountsFaultsWithoutEnd(t *testing.T) {
	t.Parallel()
	b := &damaged{Backend: mem.Open().Backend(), spoil: func(records []store.Record) []store.Record {
		for i := range records {
			records[i].Checksum++
		}
		return records
	}}
	st := over(t, b, nil)
	b2, err := st.Prepare(t.Context(), []store.Write{{Stream: "a-1", Events: slices.Repeat([]banyan.Event{{Type: "x", Data: []byte("1")}}, 500)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(t.Context(), []store.Commit{b2}); err != nil {
		t.Fatal(err)
	}
	report, err := st.Verify(t.Context(), nil)
	if err != nil || len(report.Faults) != 100 || report.More != 400 || report.Events != 500 {
		t.Fatalf("%d faults and %d more of %d events, %v; want 100 and 400 of 500", len(report.Faults), report.More, report.Events, err)
	}
}

func TestDamagedSnapshotIsNotFound(t *testing.T) {
	t.Parallel()
	b := mem.Open().Backend()
	st := over(t, b, nil)
	snap := store.Snapshot{Stream: "a-1", Revision: 3, Schema: 2, Data: []byte("state")}
	if err := st.SaveSnapshot(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
	if got, err := st.LoadSnapshot(t.Context(), "a-1", 2); err != nil || string(got.Data) != "state" || got.Revision != 3 {
		t.Fatalf("snapshot %+v, %v", got, err)
	}
	for what, schema := range map[string]int{"older schema": 1, "newer schema": 3} {
		if _, err := st.LoadSnapshot(t.Context(), "a-1", schema); !errors.Is(err, banyan.ErrNotFound) {
			t.Errorf("%s: error %v; want kind %q", what, err, banyan.ErrNotFound)
		}
	}
	r, err := b.(store.Snapshotter).GetSnapshot(t.Context(), "a-1")
	if err != nil {
		t.Fatal(err)
	}
	r.Revision, r.Data = 4, []byte("State") // its checksum is that of before
	if err := b.(store.Snapshotter).PutSnapshot(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := st.LoadSnapshot(t.Context(), "a-1", 2); !errors.Is(err, banyan.ErrNotFound) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("error %v; want kind %q that says it is damaged", err, banyan.ErrNotFound)
	}
}

func TestSnapshotsThatCannotBe(t *testing.T) {
	t.Parallel()
	st := open(t, nil)
	without := over(t, struct{ store.Backend }{mem.Open().Backend()}, nil)
	for what, err := range map[string]error{
		"no revision":     st.SaveSnapshot(t.Context(), store.Snapshot{Stream: "a-1", Schema: 1}),
		"no schema":       st.SaveSnapshot(t.Context(), store.Snapshot{Stream: "a-1", Revision: 1}),
		"no snapshotter":  without.SaveSnapshot(t.Context(), store.Snapshot{Stream: "a-1", Revision: 1, Schema: 1}),
		"none to load of": func() error { _, err := without.LoadSnapshot(t.Context(), "a-1", 1); return err }(),
	} {
		if !errors.Is(err, banyan.ErrInvalid) {
			t.Errorf("%s: error %v; want kind %q", what, err, banyan.ErrInvalid)
		}
	}
}
